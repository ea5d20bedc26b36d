"""``astrollava-train evaluate`` and ``compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrollava_training.commands.parser import VOTES

if TYPE_CHECKING:
    from astrollava_training.evaluate import Dataset

__all__ = ["add_parser", "tell_notes", "tell_split"]


def add_parser(commands: Any) -> None:
    """Add both commands."""
    _add_evaluate(commands)
    compare = commands.add_parser(
        "compare",
        help="two reports on the same pictures, paired: which model is better, and surely?",
    )
    compare.add_argument("first", type=Path, help="folder of a report")
    compare.add_argument("second", type=Path, help="folder of another")
    compare.add_argument("--resamples", type=int, default=1000, help="of the bootstrap; 1000")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("-o", "--out", type=Path, help="write compare.json and compare.md here")
    compare.set_defaults(work=_compare)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="score a model on pictures of known classes, beside blind answers"
    )
    evaluate.add_argument(
        "model",
        nargs="?",
        default="embedded",
        help="embedded, a name of the catalogue, text.gguf[,mmproj.gguf], or the folder of a"
        " checkpoint",
    )
    evaluate.add_argument(
        "--data",
        default=str(VOTES),
        help="an .h5 of Galaxy10, a Parquet file or folder, a .csv of votes or labels, a folder by"
        f" class; galaxy10-decals, galaxy10-decals-test, galaxy10-sdss to download; {VOTES}",
    )
    evaluate.add_argument(
        "--split",
        default="usual",
        choices=("train", "val", "test", "all"),
        help="the pictures scored; by default test where the data name splits, else every picture",
    )
    evaluate.add_argument(
        "--vocabulary",
        help="what classes are named by: galaxy10, and pictures of other names have no class; or"
        " own, every name as it is written",
    )
    evaluate.add_argument(
        "--limit",
        type=int,
        help="so many pictures at most, of each class its share; a larger number takes in these",
    )
    evaluate.add_argument(
        "--similarity",
        action=argparse.BooleanOptionalAction,
        help="the paper's MiniLM cosine; where all-MiniLM-L6-v2 is installed",
    )
    evaluate.add_argument(
        "--questions",
        action=argparse.BooleanOptionalAction,
        help="ask plain questions too; where there are votes",
    )
    evaluate.add_argument(
        "--views",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show FITS files through other stretches, too, and as outreach JPEGs",
    )
    evaluate.add_argument(
        "--rule",
        choices=("sum", "word", "corrected"),
        help="how log-probabilities of answers become probabilities; the model's own way",
    )
    evaluate.add_argument("--resamples", type=int, default=1000, help="of the bootstrap; 1000")
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--mirror", help="https://host to download data from")
    evaluate.add_argument("--device", help="of torch, for a checkpoint; a GPU where there is one")
    evaluate.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="what torch computes in, for a checkpoint",
    )
    evaluate.add_argument(
        "-o",
        "--out",
        type=Path,
        help="write report.json, report.md and report.html here; the same command goes on where"
        " it was stopped",
    )
    evaluate.set_defaults(work=_evaluate)


def _evaluate(given: argparse.Namespace) -> None:
    from astrollava_training import evaluate
    from astrollava_training.evaluate.notes import notes_of, notes_of_unread

    data = evaluate.open_data(given.data, mirror=given.mirror, vocabulary=given.vocabulary)
    if not given.views:
        data = data.with_views(())
    plan = evaluate.Plan(
        split=given.split,
        limit=given.limit,
        paper=given.similarity,
        questions=given.questions,
        rule=given.rule,
        resamples=given.resamples,
        seed=given.seed,
    ).settled(data)
    items = data.chosen(plan.split, plan.limit)
    tell_split(None if given.split == "usual" else given.split, plan.split, data, len(items))
    tell_notes(notes_of(data, plan.split, items))
    with evaluate.open_model(given.model, device=given.device, dtype=given.dtype) as model:
        report = evaluate.evaluate(model, data, plan, out=given.out)
    tell_notes(notes_of_unread(report.about["unread"]))
    print(report.markdown())
    if given.out is not None:
        for path in report.write(given.out):
            print(path)


def tell_notes(notes: Iterable[str]) -> None:
    """Tell what readers of the scores must know, apart from the tables and before any wait."""
    for note in notes:
        print(f"astrollava-train: note: {note}", file=sys.stderr)


def tell_split(given: str | None, split: str, data: Dataset, count: int) -> None:
    """Tell which pictures are asked about: commands differ in what they take by default."""
    whole = "all splits" if split == "all" else f"the split {split!r}"
    chosen = "" if given else ", by default: --split takes another"
    tell_notes([f"{count} pictures of {whole} of {data.name}{chosen}"])


def _compare(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate.compare import compare

    found = compare(given.first, given.second, resamples=given.resamples, seed=given.seed)
    print(found.markdown())
    if given.out is not None:
        found.write(given.out)
