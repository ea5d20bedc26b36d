"""``astrollava-train``: run a recipe, export or publish what it made, evaluate a model.

::

    astrollava-train run training/astrollava_training/recipes/astrollava-7b.toml --data data
    astrollava-train export runs/astrollava-7b -o astrollava-7b --quantize q4_k_m
    astrollava-train evaluate embedded --split test
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from astrollava.errors import AstrollavaError, InvalidRequest
from astrollava_training.commands.run import VOTES

__all__ = ["main"]

#: Modules with an ``add_parser`` of their own; see `astrollava_training.commands`.
_COMMANDS = (
    "astrollava_training.commands.run",
    "astrollava_training.commands.export",
    "astrollava_training.commands.bench",
    "astrollava_training.commands.evaluate",
    "astrollava_training.commands.trust",
    "astrollava_training.commands.ratings",
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astrollava-train", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        import_module(name).add_parser(commands)
    _add_publish(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``astrollava-train``.

    Returns
    -------
    int
        0 when done, 2 for what was asked for wrongly or cannot be done, 130 for Ctrl-C.
    """
    given = _parser().parse_args(arguments)
    try:
        given.work(given)
    except (AstrollavaError, ValueError, FileNotFoundError) as error:
        print(f"astrollava-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("astrollava-train: stopped. Finished stages are kept", file=sys.stderr)
        return 130
    return 0


def _add_publish(commands: Any) -> None:
    publish = commands.add_parser(
        "publish", help="export, calibrate, prove and evaluate a finished run from scratch"
    )
    publish.add_argument("recipe", type=Path)
    publish.add_argument("run", type=Path, nargs="?", help="runs/<name of the recipe>")
    publish.add_argument(
        "-o",
        "--out",
        type=Path,
        help="the GGUF pair and its card; astrollava/models/<name of the recipe>",
    )
    _add_votes(publish)
    publish.set_defaults(work=_publish)


def _add_votes(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", type=Path, default=VOTES, help=f"votes.csv, pictures beside it; {VOTES}"
    )


def _check_votes(path: Path) -> None:
    if not path.is_file():
        raise InvalidRequest(f"no table of votes at {path}", hint="Name one with --data")


def _publish(given: argparse.Namespace) -> None:
    from astrollava_training.config import load_recipe
    from astrollava_training.publish import publish
    from astrollava_training.run import load

    _check_votes(given.data)
    recipe = load_recipe(given.recipe)
    model, tokenizer = load(recipe, given.run or Path("runs", recipe.name))
    out = given.out or Path("astrollava/models", recipe.name)
    figures = publish(model, tokenizer, recipe, given.data, out)
    print(f"{out}: {figures['bytes'] / 1e6:.1f} MB; see {out / 'card.md'}")
