"""Pictures in folders by class: ``<class>/<picture>``, or ``<split>/<class>/<picture>``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets._common import hash_of, truth_of, vocabulary_of
from astrollava_training.evaluate.sets.views import FITS, is_fits, views_of

__all__ = ["read"]

_PICTURES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", *FITS)
_SPLITS: Final = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test",
}  # fmt: skip


def read(path: Path) -> Dataset:
    """Read a folder; where it names no splits `split_of` gives each picture one.

    Raises
    ------
    InvalidRequest
        It has no pictures in folders, or those of a single class.
    """
    found = sorted(
        one
        for one in path.rglob("*")
        if one.name.lower().endswith(_PICTURES) and one.is_file() and one.parent != path
    )
    if not found:
        raise InvalidRequest(
            f"{path} has no folders with pictures", expected="one folder for each class"
        )
    vocabulary, places = vocabulary_of(one.parent.name for one in found)
    items = []
    for one in found:
        name = one.relative_to(path).as_posix()
        label = places[one.parent.name]
        split = _SPLITS.get(name.split("/")[0].lower()) or split_of(name)
        items.append(Item(name, partial(Path, one), label, split, truth_of(vocabulary, label)))
    facts = {"folder": path.name, "sha256": hash_of(found, path)}
    views = views_of() if all(map(is_fits, found)) else ()
    return Dataset(path.name, vocabulary, tuple(items), facts, views=views)
