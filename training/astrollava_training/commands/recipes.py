"""``recipes``: the recipes that come along, and where their files lie."""

from __future__ import annotations

import argparse
from typing import Any

from astrollava_training.kinds import find_recipe, packaged

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    recipes = commands.add_parser(
        "recipes",
        help="list the recipes that come along, with their files",
        description="List the recipes that come along: the name that run takes, and the file, to"
        " be read or copied into one of your own.",
    )
    recipes.set_defaults(work=_recipes)


def _recipes(_: argparse.Namespace) -> None:
    names = packaged()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {find_recipe(f'{name}.toml').resolve()}")
