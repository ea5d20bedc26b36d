"""``ratings``: sheets on which people rate blind, and what the ratings say."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.commands.evaluate import tell_split
from astrollava_training.commands.parser import VOTES, add_pictures, add_resampling, add_seed, whole

__all__ = ["add_parser"]

_COLUMNS = ("picture", "source", "text")


def add_parser(commands: Any) -> None:
    """Add the command."""
    ratings = commands.add_parser(
        "ratings",
        help="let people rate texts blind, and score that",
        description="Let people rate texts about pictures without knowing whose they are, and"
        " score the ratings.",
    )
    what = ratings.add_subparsers(dest="what", required=True)
    sheet = what.add_parser(
        "sheet",
        help="write pages to rate on, and the key that tells sources",
        description="Write pages to rate texts on, each a file for a browser, and the key that"
        " tells whose the texts are. The texts are those of a table, or of models.",
    )
    sheet.add_argument(
        "texts",
        type=Path,
        nargs="?",
        help="CSV with the columns picture (a path beside the table), source, text and, for"
        " answers, question",
    )
    sheet.add_argument(
        "--model",
        action="append",
        default=[],
        help="describe pictures of --data with this model; again for more models",
    )
    pictures = sheet.add_argument_group("the pictures that --model describes")
    pictures.add_argument(
        "--data", default=str(VOTES), help="as for evaluate (default: %(default)s)"
    )
    add_pictures(pictures, usual="val", limit=20)
    sheet.add_argument(
        "--raters",
        type=whole(1),
        default=1,
        metavar="N",
        help="pages to write, each with the texts in an order of its own (default: %(default)s)",
    )
    sheet.add_argument(
        "--control",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add what the first source says about other pictures, which raters should rate low"
        " (default: yes)",
    )
    sheet.add_argument(
        "--title",
        default="What is said about these pictures",
        help="heading of the pages (default: %(default)s)",
    )
    add_seed(sheet)
    sheet.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="folder of pages and key"
    )
    sheet.set_defaults(work=_sheet)
    score = what.add_parser(
        "score",
        help="agreement, means and paired differences",
        description="Score what raters wrote: their agreement, the mean of each source, and the"
        " paired differences between sources.",
    )
    score.add_argument("key", type=Path, help="key.json, written beside the pages")
    score.add_argument("tables", type=Path, nargs="+", help="the CSV file of each rater")
    add_resampling(score)
    score.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="write ratings.json and ratings.md here"
    )
    score.set_defaults(work=_score)


def _sheet(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate.people import write_sheets

    if (given.texts is None) == (not given.model):
        raise InvalidRequest(
            "texts and --model together" if given.model else "neither texts nor --model",
            expected="a table of texts, or models that describe pictures",
        )
    texts = _described(given) if given.model else _read(given.texts)
    pages, key = write_sheets(
        texts,
        given.out,
        pages=given.raters,
        control=given.control,
        title=given.title,
        seed=given.seed,
    )
    for page in pages:
        print(page)
    print(f"{key}: which row is from whom. Keep it from the raters")


def _described(given: argparse.Namespace) -> list[Any]:
    from astrollava_training.evaluate import open_data, open_model
    from astrollava_training.evaluate.people import Text

    data = open_data(given.data)
    split = given.split or data.usual_split("val")
    items = data.chosen(split, given.limit)
    tell_split(given.split, split, data, len(items))
    texts = []
    for name in given.model:
        with open_model(name) as model:
            said = model.describe(item.load for item in items)
        texts += [
            Text(item.id, item.load(), name, text) for item, text in zip(items, said, strict=True)
        ]
    return texts


def _read(table: Path) -> list[Any]:
    from astrollava_training.evaluate.csv_files import csv_rows
    from astrollava_training.evaluate.people import Text

    rows = csv_rows(table)
    if missing := set(_COLUMNS) - set(rows[0] if rows else ()):
        raise InvalidRequest(
            f"{table} has {len(rows)} rows without the column {', '.join(sorted(missing))}",
            expected=f"{', '.join(_COLUMNS)} and, for answers, question",
        )
    return [
        Text(
            row["picture"],
            table.parent / row["picture"],
            row["source"],
            row["text"],
            row.get("question", ""),
        )
        for row in rows
    ]


def _score(given: argparse.Namespace) -> None:
    from astrollava_training.evaluate.people import read_ratings, score_ratings
    from astrollava_training.evaluate.report import plain
    from astrollava_training.evaluate.trust_report import ratings_markdown

    found = score_ratings(
        read_ratings(given.key, given.tables), resamples=given.resamples, seed=given.seed
    )
    text = ratings_markdown(found)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "ratings.md").write_text(text, encoding="utf-8")
        data = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)
        (given.out / "ratings.json").write_text(data + "\n", encoding="utf-8")
