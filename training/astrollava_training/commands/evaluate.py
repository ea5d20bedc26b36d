"""``astrollava-train evaluate`` and ``compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrollava_training.commands.parser import VOTES, add_device, add_pictures, add_resampling

if TYPE_CHECKING:
    from astrollava_training.evaluate import Dataset

__all__ = ["add_parser", "tell_notes", "tell_split"]


def add_parser(commands: Any) -> None:
    """Add both commands."""
    _add_evaluate(commands)
    compare = commands.add_parser(
        "compare",
        help="two reports on the same pictures, paired: which model is better, and surely?",
        description="Pair two reports of evaluate, picture by picture, and tell which model is"
        " better, by how much, and how sure that is.",
    )
    compare.add_argument("first", type=Path, help="folder of a report of evaluate")
    compare.add_argument("second", type=Path, help="folder of another, on the same pictures")
    add_resampling(compare)
    compare.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="write compare.json and compare.md here"
    )
    compare.set_defaults(work=_compare)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score a model on pictures of known classes, beside blind answers",
        description="Score a model on pictures of known classes, beside what answers score that"
        " need no picture. Prints the tables.",
    )
    evaluate.add_argument(
        "model",
        nargs="?",
        default="embedded",
        help="embedded, a name of the catalogue, text.gguf[,mmproj.gguf], or the folder of a"
        " checkpoint (default: embedded)",
    )
    evaluate.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help="write report.json, report.md and report.html here; the same command goes on where"
        " it was stopped (default: nothing is kept)",
    )
    pictures = evaluate.add_argument_group("the pictures")
    pictures.add_argument(
        "--data",
        default=str(VOTES),
        help="an .h5 of Galaxy10, a Parquet file or folder, a .csv of votes or labels, a folder by"
        " class; galaxy10-decals, galaxy10-decals-test or galaxy10-sdss to download"
        " (default: %(default)s)",
    )
    pictures.add_argument(
        "--mirror",
        metavar="URL",
        help="https://host to download data from (default: where they are published)",
    )
    pictures.add_argument(
        "--vocabulary",
        metavar="NAME",
        help="galaxy10: pictures of other classes have none; own: every name is a class as it is"
        " written (default: by how many names are those of galaxy10)",
    )
    add_pictures(pictures, usual="test")
    pictures.add_argument(
        "--views",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show FITS files through other stretches, too, and as outreach JPEGs (default: yes)",
    )
    asked = evaluate.add_argument_group("what is asked and scored")
    asked.add_argument(
        "--questions",
        action=argparse.BooleanOptionalAction,
        help="ask plain questions, too (default: where there are votes)",
    )
    asked.add_argument(
        "--similarity",
        action=argparse.BooleanOptionalAction,
        help="the paper's MiniLM cosine (default: where all-MiniLM-L6-v2 is installed and each"
        " class has a text)",
    )
    asked.add_argument(
        "--rule",
        choices=("sum", "word", "corrected"),
        help="how log-probabilities of answers become probabilities (default: as the model does)",
    )
    add_resampling(asked)
    checkpoint = evaluate.add_argument_group("of a checkpoint, which torch computes")
    add_device(checkpoint)
    checkpoint.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="what it is computed in (default: %(default)s)",
    )
    evaluate.set_defaults(work=_evaluate)


def _evaluate(given: argparse.Namespace) -> None:
    from astrollava_training import evaluate
    from astrollava_training.evaluate.notes import notes_of, notes_of_unread

    data = evaluate.open_data(given.data, mirror=given.mirror, vocabulary=given.vocabulary)
    if not given.views:
        data = data.with_views(())
    plan = evaluate.Plan(
        split=given.split or "usual",
        limit=given.limit,
        paper=given.similarity,
        questions=given.questions,
        rule=given.rule,
        resamples=given.resamples,
        seed=given.seed,
    ).settled(data)
    items = data.chosen(plan.split, plan.limit)
    tell_split(given.split, plan.split, data, len(items))
    tell_notes([*notes_of(data, plan.split, items), *plan.notes(data)])
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
