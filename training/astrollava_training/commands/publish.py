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
        "publish", help="export, calibrate, prove and evaluate a finished run from scratch"
    )
    add_recipe(publish)
    publish.add_argument("run", type=Path, nargs="?", help="runs/<name of the recipe>")
    publish.add_argument(
        "-o",
        "--out",
        type=Path,
        help="the GGUF pair and its card; astrollava/models/<name of the recipe>",
    )
    publish.add_argument(
        "--data",
        type=Path,
        default=VOTES,
        help=f"votes.csv, pictures beside it (beside a checkout: {VOTES})",
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
