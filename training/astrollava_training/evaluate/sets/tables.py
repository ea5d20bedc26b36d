"""CSV tables of pictures: with the votes of Galaxy Zoo, or with labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.galaxies import facts_of_votes
from astrollava_training.evaluate.csv_files import csv_rows
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets import gz_decals
from astrollava_training.evaluate.sets._common import counts_of, hash_of
from astrollava_training.evaluate.sets.classes import (
    check_stated,
    classes_of,
    meanings_of,
    truth_of,
)
from astrollava_training.evaluate.sets.views import is_fits, views_of
from astrollava_training.evaluate.truth import truth

__all__ = ["read"]

_SPLITS = {"training": "train", "validation": "val", "valid": "val"}


def read(path: Path, vocabulary: str | None = None) -> Dataset:
    """Read a table whose column ``image`` has paths relative to it.

    Its other columns say what it is: the vote fractions of Galaxy Zoo 2 (as in
    `astrollava_training.data.galaxies`), those of Galaxy Zoo DECaLS, or ``label``. A column
    ``split`` is followed; without one `split_of` gives each picture a split.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    vocabulary : str, optional
        What the labels are named by, see `classes_of`; votes are of ``"galaxy10"``.

    Raises
    ------
    InvalidRequest
        It is none of these, or a row makes no sense.
    """
    rows = csv_rows(path)
    columns = list(rows[0]) if rows else []
    if "image" not in columns:
        raise InvalidRequest(
            f"{path} has {len(rows)} rows with the columns {columns[:12]}",
            expected="rows with a column 'image'",
        )
    facts: dict[str, Any] = {"file": path.name, "sha256": _hash(path, rows)}
    reader = next((reader for knows, reader in _VOTES if knows(columns)), None)
    if reader is not None:
        check_stated(path, GALAXY10, vocabulary)
        return _voted(path, reader, rows, facts)
    if "label" in columns:
        return _labelled(path, rows, facts, vocabulary)
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


_Reader = Callable[[Mapping[str, str]], Facts]

#: Whether the columns are those of a survey's votes, and what reads a row of them.
_VOTES: Final[tuple[tuple[Callable[[list[str]], bool], _Reader], ...]] = (
    (lambda columns: "t01_smooth_or_features_a01_smooth" in columns, facts_of_votes),
    (gz_decals.knows, gz_decals.facts_of),
)


def _voted(
    path: Path,
    reader: _Reader,
    rows: list[dict[str, str]],
    facts: Mapping[str, Any],
) -> Dataset:
    items = []
    for number, row in enumerate(rows, 1):
        try:
            known = reader(row)
        except ValueError as error:
            raise InvalidRequest(f"{path} makes no sense: row {number}: {error}") from None
        label = None if known.label is None else LABELS.index(known.label)
        items.append(_item(path, row, label, truth(known), {"votes": asdict(known)}))
    return Dataset(
        path.stem,
        GALAXY10,
        tuple(items),
        facts,
        counts_of(GALAXY10),
        meanings_of(GALAXY10),
        divided=_divided(rows),
    )


def _labelled(
    path: Path, rows: list[dict[str, str]], facts: Mapping[str, Any], vocabulary: str | None
) -> Dataset:
    classes = classes_of((row["label"] for row in rows if row["label"].strip()), vocabulary)
    items = []
    for row in rows:
        label = classes.places.get(row["label"])
        items.append(_item(path, row, label, truth_of(classes.vocabulary, label), {}))
    return Dataset(
        path.stem,
        classes.vocabulary,
        tuple(items),
        facts,
        counts_of(classes.vocabulary),
        meanings_of(classes.vocabulary),
        views=views_of() if all(is_fits(Path(row["image"])) for row in rows) else (),
        divided=_divided(rows),
        notes=classes.notes,
    )


def _divided(rows: list[dict[str, str]]) -> bool:
    return any(row.get("split") for row in rows)


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
