"""CSV tables of pictures: with the votes of Galaxy Zoo, or with labels."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.galaxies import read_votes
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets import gz_decals
from astrollava_training.evaluate.sets._common import hash_of, truth_of, vocabulary_of
from astrollava_training.evaluate.sets.views import is_fits, views_of
from astrollava_training.evaluate.truth import truth

__all__ = ["read"]

_SPLITS = {"training": "train", "validation": "val", "valid": "val"}


def read(path: Path) -> Dataset:
    """Read a table whose column ``image`` has paths relative to it.

    Its other columns say what it is: the vote fractions of Galaxy Zoo 2 (as in
    `astrollava_training.data.galaxies`), those of Galaxy Zoo DECaLS, or ``label``. A column
    ``split`` is followed; without one `split_of` gives each picture a split.

    Raises
    ------
    InvalidRequest
        It is none of these, or a row makes no sense.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    columns = list(rows[0]) if rows else []
    if "image" not in columns:
        raise InvalidRequest(
            f"{path} has {len(rows)} rows with the columns {columns[:12]}",
            expected="rows with a column 'image'",
        )
    facts: dict[str, Any] = {"file": path.name, "sha256": _hash(path, rows)}
    try:
        if "t01_smooth_or_features_a01_smooth" in columns:
            return _voted(path, [f for _, _, f in read_votes(path)], rows, facts)
        if gz_decals.knows(columns):
            return _voted(path, [gz_decals.facts_of(row) for row in rows], rows, facts)
    except ValueError as error:
        raise InvalidRequest(f"{path} makes no sense: {error}") from None
    if "label" in columns:
        return _labelled(path, rows, facts)
    raise InvalidRequest(
        f"{path} has the columns {columns[:12]}",
        expected="vote fractions of Galaxy Zoo 2 or Galaxy Zoo DECaLS, or 'label'",
    )


def _hash(path: Path, rows: list[dict[str, str]]) -> str:
    """Return the SHA-256 of the table, and of the sizes of the pictures it names.

    To read a survey's pictures only to hash them would take longer than many an evaluation.
    """
    sizes = []
    for row in rows:
        picture = path.parent / row["image"]
        sizes.append(str(picture.stat().st_size) if picture.is_file() else "-")
    told = hash_of([path], path.parent) + " ".join(sizes)
    return hashlib.sha256(told.encode()).hexdigest()


def _voted(
    path: Path, votes: list[Facts], rows: list[dict[str, str]], facts: Mapping[str, Any]
) -> Dataset:
    items = []
    for row, known in zip(rows, votes, strict=True):
        label = None if known.label is None else LABELS.index(known.label)
        items.append(_item(path, row, label, truth(known), {"votes": asdict(known)}))
    return Dataset(path.stem, GALAXY10, tuple(items), facts)


def _labelled(path: Path, rows: list[dict[str, str]], facts: Mapping[str, Any]) -> Dataset:
    vocabulary, places = vocabulary_of(row["label"] for row in rows if row["label"].strip())
    items = []
    for row in rows:
        label = places.get(row["label"])
        items.append(_item(path, row, label, truth_of(vocabulary, label), {}))
    views = views_of() if all(is_fits(Path(row["image"])) for row in rows) else ()
    return Dataset(path.stem, vocabulary, tuple(items), facts, views=views)


def _item(
    path: Path,
    row: Mapping[str, str],
    label: int | None,
    known: Mapping[str, str],
    about: Mapping[str, Any],
) -> Item:
    name = row["image"]
    split = row.get("split") or split_of(name)
    group = row.get("object") or name
    return Item(
        name, lambda: path.parent / name, label, _SPLITS.get(split, split), known, group, about
    )
