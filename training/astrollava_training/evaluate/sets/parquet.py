"""Pictures in Parquet files, as the Hugging Face hub writes image data sets."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from astrollava.errors import CorruptImage, InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets._common import counts_of, hash_of
from astrollava_training.evaluate.sets.classes import Classes, classes_of, meanings_of, truth_of

__all__ = ["read"]

_SPLITS: Final = {
    "train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val",
    "test": "test",
}  # fmt: skip


def read(path: Path, vocabulary: str | None = None) -> Dataset:
    """Read a Parquet file, or all in a folder.

    A row has ``image`` (bytes of a picture, or a mapping with ``bytes``) and ``label``: a class
    number, named in the file's ``huggingface`` metadata or of Galaxy10 DECaLS where there are no
    names, or the name itself. The split is that of the file's name (``test-00000-of-00001…``); of a
    training file one picture in ten validates where no file does. Pictures are read from the file
    when they are due.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder.
    vocabulary : str, optional
        What the classes are named by, see `classes_of`.

    Raises
    ------
    InvalidRequest
        A file is not of this layout, or pyarrow is missing.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise InvalidRequest(
            f"{path} cannot be read without pyarrow", hint="pip install pyarrow"
        ) from None
    paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    files = []
    for one in paths:
        try:
            files.append(parquet.ParquetFile(one))
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{one} is no Parquet file ({error})") from None
    columns = [_labels(one, file) for one, file in zip(paths, files, strict=True)]
    names = next((n for n in map(_names, files) if n), None)
    values = [value for column in columns for value in column]
    classes, places = _classes(path, values, names, vocabulary)
    splits = [_split(one) for one in paths]
    root = path if path.is_dir() else path.parent
    items = []
    for one, file, values, split in zip(paths, files, columns, splits, strict=True):
        starts = _starts(file)
        for row, value in enumerate(values):
            name = f"{one.relative_to(root).as_posix()}/{row:05d}"
            label = places.get(value)
            items.append(
                Item(
                    name,
                    partial(_picture, file, starts, row),
                    label,
                    _own_split(split, name, "val" in splits),
                    truth_of(classes.vocabulary, label),
                )
            )
    facts = {"files": [one.name for one in paths], "sha256": hash_of(paths, root)}
    return Dataset(
        path.stem,
        classes.vocabulary,
        tuple(items),
        facts,
        counts_of(classes.vocabulary),
        meanings_of(classes.vocabulary),
        divided=any(splits),
        notes=classes.notes,
    )


def _labels(path: Path, file: Any) -> list[Any]:
    there = file.schema_arrow.names
    if not {"image", "label"} <= set(there):
        raise InvalidRequest(f"{path} has the columns {there}", expected="'image' and 'label'")
    found: list[Any] = file.read(columns=["label"])["label"].to_pylist()
    return found


def _names(file: Any) -> list[str] | None:
    """Return the class names in the metadata the hub writes, None where it has none."""
    metadata = file.schema_arrow.metadata or {}
    try:
        label = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]
        names = [str(name) for name in label["names"]]
        # Numbers in the place of names say nothing.
        return None if all(name.isdigit() for name in names) else names
    except (KeyError, TypeError, ValueError):
        return None


def _classes(
    path: Path, values: Sequence[Any], names: Sequence[str] | None, stated: str | None
) -> tuple[Classes, dict[Any, int]]:
    """Return the classes, and the place among them of each value that has one."""
    counts = Counter(value for value in values if value is not None)
    if not all(isinstance(value, int) for value in counts):
        classes = classes_of({str(value): count for value, count in counts.items()}, stated)
        return classes, _placed({value: str(value) for value in counts}, classes)
    if names is None:
        names = GALAXY10.labels
    if counts and not 0 <= min(counts) <= max(counts) < len(names):
        raise InvalidRequest(
            f"{path} has labels from {min(counts)} to {max(counts)}",
            expected=f"from 0 to {len(names) - 1}",
        )
    # A class without pictures is one that a model may choose all the same.
    classes = classes_of({name: counts[i] for i, name in enumerate(names)}, stated)
    return classes, _placed({value: names[value] for value in counts}, classes)


def _placed(names: Mapping[Any, str], classes: Classes) -> dict[Any, int]:
    return {value: classes.places[name] for value, name in names.items() if name in classes.places}


def _split(path: Path) -> str | None:
    for part in (path.name, path.parent.name):
        found = re.match(r"[a-z]+", part.lower())
        if found and found[0] in _SPLITS:
            return _SPLITS[found[0]]
    return None


def _own_split(split: str | None, name: str, validated: bool) -> str:
    if split is None:
        return split_of(name)
    if split == "train" and not validated and split_of(name) == "val":
        return "val"
    return split


def _starts(file: Any) -> list[int]:
    """Return the number of the first row of each row group, and of the end."""
    starts = [0]
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    return starts


class _Groups:
    """The row group that was read last: pictures are asked for in their order."""

    def __init__(self) -> None:
        self.key: tuple[int, int] | None = None
        self.rows: Any = None


_last = _Groups()


def _picture(file: Any, starts: Sequence[int], row: int) -> Any:
    group = next(g for g in range(len(starts) - 1) if row < starts[g + 1])
    if _last.key != (id(file), group):
        _last.rows = file.read_row_group(group, columns=["image"])["image"]
        _last.key = (id(file), group)
    found = _last.rows[row - starts[group]].as_py()
    data = found.get("bytes") if isinstance(found, dict) else found
    if not isinstance(data, bytes):
        raise CorruptImage(
            f"row {row} has no picture", expected="the bytes of one, or a mapping with 'bytes'"
        )
    return data
