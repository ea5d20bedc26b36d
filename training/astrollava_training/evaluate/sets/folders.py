"""Pictures in folders by class: ``<class>/<picture>``, or ``<split>/<class>/<picture>``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets._common import counts_of, hash_of
from astrollava_training.evaluate.sets.classes import classes_of, meanings_of, truth_of
from astrollava_training.evaluate.sets.views import FITS, is_fits, views_of

__all__ = ["read"]

_PICTURES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", *FITS)
_SPLITS: Final = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test",
}  # fmt: skip


def read(path: Path, vocabulary: str | None = None) -> Dataset:
    """Read a folder; where it names no splits `split_of` gives each picture one.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    vocabulary : str, optional
        What the folders are named by, see `classes_of`.

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
    classes = classes_of((one.parent.name for one in found), vocabulary)
    items = []
    divided = False
    for one in found:
        name = one.relative_to(path).as_posix()
        label = classes.places.get(one.parent.name)
        split = _SPLITS.get(name.split("/")[0].lower())
        divided = divided or split is not None
        truth = truth_of(classes.vocabulary, label)
        items.append(Item(name, partial(Path, one), label, split or split_of(name), truth))
    return Dataset(
        path.name,
        classes.vocabulary,
        tuple(items),
        {"folder": path.name, "sha256": hash_of(found, path)},
        counts_of(classes.vocabulary),
        meanings_of(classes.vocabulary),
        views=views_of() if all(map(is_fits, found)) else (),
        divided=divided,
        notes=classes.notes,
    )
