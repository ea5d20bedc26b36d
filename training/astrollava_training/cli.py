"""``astrollava-train``: run a recipe, publish what it made, evaluate a model.

::

    astrollava-train run recipes/embedded.toml --data ../shared/data/galaxies/votes.csv -o
    runs/embedded astrollava-train publish recipes/embedded.toml runs/embedded -o
    astrollava/models/embedded astrollava-train evaluate embedded --data
    ../shared/data/galaxies/votes.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from astrollava.errors import AstrollavaError

__all__ = ["main"]

_VOTES = Path("../shared/data/galaxies/votes.csv")
_RUN = Path("runs/embedded")
_EMBEDDED = Path("astrollava/models/embedded")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="astrollava-train", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="train the model of a recipe, from the last finished stage on"
    )
    run.add_argument("recipe", type=Path)
    run.add_argument("-o", "--out", type=Path, default=_RUN, help="checkpoints and log")
    publish = commands.add_parser(
        "publish", help="export, calibrate, prove and evaluate a finished run"
    )
    publish.add_argument("recipe", type=Path)
    publish.add_argument("run", type=Path, nargs="?", default=_RUN)
    publish.add_argument(
        "-o", "--out", type=Path, default=_EMBEDDED, help="the GGUF pair and its card"
    )
    evaluate = commands.add_parser("evaluate", help="score a model on galaxies with votes")
    evaluate.add_argument(
        "model", nargs="?", default="embedded", help="embedded, or the path of a pair"
    )
    evaluate.add_argument("--split", default="test", choices=("train", "val", "test"))
    evaluate.add_argument("--limit", type=int, default=None, help="score the first pictures only")
    evaluate.add_argument("--similarity", action="store_true", help="add the paper's MiniLM cosine")
    evaluate.add_argument(
        "-o", "--out", type=Path, default=None, help="write the report into this folder"
    )
    for command in (run, publish, evaluate):
        command.add_argument(
            "--data", type=Path, default=_VOTES, help="votes.csv, pictures beside it"
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``astrollava-train`` and return its exit code."""
    given = _parser().parse_args(arguments)
    if not given.data.is_file():
        print(
            f"astrollava-train: no table of votes at {given.data}. Name one with --data",
            file=sys.stderr,
        )
        return 2
    try:
        return int({"run": _run, "publish": _publish, "evaluate": _evaluate}[given.command](given))
    except (AstrollavaError, ValueError, FileNotFoundError) as error:
        print(f"astrollava-train: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    from astrollava_training.config import load_recipe
    from astrollava_training.run import run

    run(load_recipe(given.recipe), given.data, given.out)
    return 0


def _publish(given: argparse.Namespace) -> int:
    from astrollava_training.config import load_recipe
    from astrollava_training.publish import publish
    from astrollava_training.run import load

    recipe = load_recipe(given.recipe)
    model, tokenizer = load(recipe, given.run)
    figures = publish(model, tokenizer, recipe, given.data, given.out)
    print(f"{given.out}: {figures['bytes'] / 1e6:.1f} MB; see {given.out / 'card.md'}")
    return 0


def _evaluate(given: argparse.Namespace) -> int:
    from astrollava import Describer
    from astrollava_training import evaluate

    with Describer(given.model) as describer:
        report = evaluate.embedded(
            describer,
            given.data,
            split=given.split,
            limit=given.limit,
            similarity=given.similarity,
        )
    print(report.markdown())
    if given.out is not None:
        report.write(given.out)
    return 0
