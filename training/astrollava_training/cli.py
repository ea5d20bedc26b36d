"""``astrollava-train``: run a recipe, publish what it made, evaluate a model.

::

    astrollava-train run training/astrollava_training/recipes/embedded.toml
    astrollava-train publish training/astrollava_training/recipes/embedded.toml
    astrollava-train evaluate embedded --split test
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from astrollava.errors import AstrollavaError

__all__ = ["main"]

_VOTES = Path("../shared/data/galaxies/votes.csv")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="astrollava-train", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="train the model of a recipe, from the last finished stage on"
    )
    run.add_argument("recipe", type=Path)
    run.add_argument(
        "-o", "--out", type=Path, help="checkpoints and log; runs/<name of the recipe>"
    )
    run.add_argument("--device", help="of torch: cpu, cuda, ...; a GPU where there is one")
    run.add_argument(
        "--workers",
        type=int,
        default=max((os.cpu_count() or 2) // 2, 1),
        help="processes that simulate; half the cores. They do not change what is made",
    )
    publish = commands.add_parser(
        "publish", help="export, calibrate, prove and evaluate a finished run"
    )
    publish.add_argument("recipe", type=Path)
    publish.add_argument("run", type=Path, nargs="?", help="runs/<name of the recipe>")
    publish.add_argument(
        "-o",
        "--out",
        type=Path,
        help="the GGUF pair and its card; astrollava/models/<name of the recipe>",
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
            "--data", type=Path, default=_VOTES, help=f"votes.csv, pictures beside it; {_VOTES}"
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``astrollava-train``.

    Returns
    -------
    int
        0 when done, 2 for what was asked for wrongly or cannot be done, 130 for Ctrl-C.
    """
    given = _parser().parse_args(arguments)
    if not given.data.is_file():
        print(
            f"astrollava-train: no table of votes at {given.data}. Name one with --data",
            file=sys.stderr,
        )
        return 2
    try:
        {"run": _run, "publish": _publish, "evaluate": _evaluate}[given.command](given)
    except (AstrollavaError, ValueError, FileNotFoundError) as error:
        print(f"astrollava-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("astrollava-train: stopped. Finished stages are kept", file=sys.stderr)
        return 130
    return 0


def _run(given: argparse.Namespace) -> None:
    import torch

    from astrollava_training.config import load_recipe
    from astrollava_training.run import run

    recipe = load_recipe(given.recipe)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    out = given.out or Path("runs", recipe.name)
    run(recipe, given.data, out, device=device, workers=given.workers)
    print(f"{out}: finished; see {out / 'log.jsonl'}")


def _publish(given: argparse.Namespace) -> None:
    from astrollava_training.config import load_recipe
    from astrollava_training.publish import publish
    from astrollava_training.run import load

    recipe = load_recipe(given.recipe)
    model, tokenizer = load(recipe, given.run or Path("runs", recipe.name))
    out = given.out or Path("astrollava/models", recipe.name)
    figures = publish(model, tokenizer, recipe, given.data, out)
    print(f"{out}: {figures['bytes'] / 1e6:.1f} MB; see {out / 'card.md'}")


def _evaluate(given: argparse.Namespace) -> None:
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
