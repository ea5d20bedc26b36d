"""What readers share: class names, hashes, errors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10, Vocabulary, from_labels
from astrollava_training.data.facts import LABELS
from astrollava_training.evaluate.truth import truth_of_label

__all__ = ["DECALS_COUNTS", "class_place", "hash_of", "truth_of", "vocabulary_of"]

#: Pictures in each class of Galaxy10 DECaLS, in the order of `GALAXY10`.
DECALS_COUNTS = np.array([1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873], np.float64)

_CHUNK = 1 << 22


def hash_of(paths: Iterable[Path], root: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of several."""
    found = sorted(paths)
    total = hashlib.sha256()
    for path in found:
        if len(found) > 1:
            total.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                total.update(piece)
    return total.hexdigest()


def vocabulary_of(names: Iterable[str]) -> tuple[Vocabulary, Mapping[str, int]]:
    """Return the vocabulary of some class names, and the place of each name in it.

    Names of Galaxy10 DECaLS, as published or as this project writes them (``barred_spiral``), give
    `GALAXY10`; any others make a vocabulary of their own, in alphabetical order.

    Raises
    ------
    InvalidRequest
        There are fewer than two names.
    """
    given = sorted(set(names))
    places = {name: class_place(name) for name in given}
    known = {name: place for name, place in places.items() if place is not None}
    if given and len(known) == len(given):
        return GALAXY10, known
    if len(given) < 2:
        raise InvalidRequest(f"the classes are {given}", expected="at least two classes")
    labels = [name.replace("_", " ") for name in given]
    return from_labels(labels), {name: i for i, name in enumerate(given)}


def class_place(name: str) -> int | None:
    """Return the place of a class in Galaxy10 DECaLS by any of its names, None for no such name."""
    key = _words(name)
    for i, (label, short) in enumerate(zip(GALAXY10.labels, LABELS, strict=True)):
        if key in (_words(label), _words(short)):
            return i
    return None


def _words(name: str) -> str:
    """Return what two ways to write a class have in common."""
    words = re.split(r"[\s_-]+", name.strip().lower())
    return " ".join(word for word in words if word not in ("galaxy", "galaxies"))


def truth_of(vocabulary: Vocabulary, label: int | None) -> Mapping[str, str]:
    """Return what a class says about a galaxy by itself; nothing for classes of one's own."""
    if vocabulary is not GALAXY10 or label is None:
        return {}
    return truth_of_label(LABELS[label])
