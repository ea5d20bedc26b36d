"""``publish``: a finished run from scratch as the model that is shipped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.commands.parser import VOTES, add_recipe, find_votes

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    publish = commands.add_parser(
        "publish",
        help="export, calibrate, prove and evaluate a finished run from scratch",
        description="Make of a finished run from scratch the model that is shipped: export it,"
        " fit its temperature, prove it against torch, evaluate it, and write its card.",
    )
    add_recipe(publish)
    publish.add_argument("run", type=Path, nargs="?", help="folder of the run (default: runs/NAME)")
    publish.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the GGUF pair and its card (default: astrollava/models/NAME)",
    )
    publish.add_argument(
        "--data",
        type=Path,
        default=VOTES,
        metavar="TABLE",
        help="the table of votes, pictures beside it (default: %(default)s)",
    )
    publish.set_defaults(work=_publish)


def _publish(given: argparse.Namespace) -> None:
    from astrollava_training.config import Recipe
    from astrollava_training.kinds import load_any
    from astrollava_training.publish import publish
    from astrollava_training.run import load

    votes = find_votes(given.data)
    recipe = load_any(given.recipe)
    if not isinstance(recipe, Recipe):
        raise InvalidRequest(
            f"{given.recipe} is of another kind",
            expected="a recipe from scratch",
            hint="Use export for the run of a two-stage recipe",
        )
    model, tokenizer = load(recipe, given.run or Path("runs", recipe.name))
    out = given.out or Path("astrollava/models", recipe.name)
    figures = publish(model, tokenizer, recipe, votes, out)
    print(f"{out}: {figures['bytes'] / 1e6:.1f} MB; see {out / 'card.md'}")
