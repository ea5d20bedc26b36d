"""Rows of LLaVA's format, from JSON files and from shards, checked one by one.

A row is an object with ``conversations``, a list of ``{"from": "human" | "gpt", "value": text}``
in turns that begin with the human, and, where there is a picture, ``image``: its path. The marker
``<image>`` then stands once, in the first question. ``id`` is optional, other keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.dataset.shards import Member, read_shard

__all__ = ["IMAGE", "BadRow", "Row", "find_files", "read_rows"]

IMAGE = "<image>"
"""What stands for the picture in a question, and the token that is replaced by its features."""


@dataclass(frozen=True)
class Row:
    """One conversation about at most one picture.

    Attributes
    ----------
    id : str
        What the file calls it, or its place there.
    place : str
        File and number of the row.
    turns : tuple of (str, str)
        Questions and answers, stripped, without the marker of the picture; a question may be
        empty, an answer is not.
    picture : Path or Member or None
        A file, or a member of a shard.
    """

    id: str
    place: str
    turns: tuple[tuple[str, str], ...]
    picture: Path | Member | None


@dataclass(frozen=True)
class BadRow:
    """A row, or its picture, that cannot be used, and why."""

    id: str
    place: str
    reason: str


class _Refused(Exception):
    """Why a row cannot be used."""


def find_files(patterns: Sequence[str], root: Path) -> list[Path]:
    """Return the files that patterns inside a folder stand for, each once, in a fixed order.

    Raises
    ------
    InvalidRequest
        If a pattern stands for no file, or for one that is neither JSON nor a shard.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        matched = sorted(path for path in root.glob(pattern) if path.is_file())
        if not matched:
            raise InvalidRequest(
                f"no data at {pattern!r} in {root.resolve()}",
                expected="an existing .json, .jsonl or .tar",
                hint="Files of a recipe are looked for in the folder that --data names",
            )
        found |= dict.fromkeys(matched)
    for path in found:
        if path.suffix not in (".json", ".jsonl", ".tar"):
            raise InvalidRequest(f"{path} is no data", expected="a .json, .jsonl or .tar file")
    return list(found)


def read_rows(files: Iterable[Path], images: Path) -> tuple[list[Row], list[BadRow]]:
    """Read and check all rows.

    Parameters
    ----------
    files : iterable of Path
        JSON files with one list, JSON-lines files, or shards.
    images : Path
        The folder that pictures of JSON files lie in; a path that leaves it is refused.

    Returns
    -------
    rows, bad : list of Row, list of BadRow
        In the order of the files. Pictures are not opened.

    Raises
    ------
    InvalidRequest
        If a file is not what its name says.
    """
    rows: list[Row] = []
    bad: list[BadRow] = []
    for file in files:
        members: Mapping[str, Member] | None = None
        if file.suffix == ".tar":
            members, lines = read_shard(file)
            raw: Iterable[Any] = _lines(lines)
        elif file.suffix == ".jsonl":
            raw = _lines(file.read_bytes())
        else:
            raw = _list(file)
        for number, value in enumerate(raw, 1):
            place = f"{file.name}:{number}"
            name = _name(value, place)
            try:
                turns, image = _checked(value)
                picture = None if image is None else _find(image, images, members)
            except _Refused as refused:
                bad.append(BadRow(name, place, str(refused)))
            else:
                rows.append(Row(name, place, turns, picture))
    return rows, bad


def _lines(data: bytes) -> Iterator[Any]:
    for line in data.splitlines():
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield _Refused(f"the line is no JSON: {error}")


def _list(file: Path) -> list[Any]:
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{file} is no JSON: {error}", expected="a list of rows") from None
    if not isinstance(value, list):
        raise InvalidRequest(f"{file} holds one {type(value).__name__}", expected="a list of rows")
    return value


def _name(value: Any, place: str) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    return str(name) if isinstance(name, str | int) else place


def _checked(value: Any) -> tuple[tuple[tuple[str, str], ...], str | None]:
    if isinstance(value, _Refused):
        raise value
    if not isinstance(value, dict):
        raise _Refused(f"the row is a {type(value).__name__}, not an object")
    image = value.get("image")
    if image is not None and not (isinstance(image, str) and image):
        raise _Refused(f"'image' is {image!r}, not a path")
    said = value.get("conversations")
    if not isinstance(said, list) or not said or len(said) % 2:
        raise _Refused("'conversations' is not a list of questions, each with its answer")
    texts = [_text(turn, speaker=("human", "gpt")[n % 2]) for n, turn in enumerate(said)]
    markers = [text.count(IMAGE) for text in texts]
    if markers != [int(image is not None)] + [0] * (len(texts) - 1):
        # Rows whose pictures never reach the model train it to make things up.
        raise _Refused(
            f"{sum(markers)} markers {IMAGE}, where {'one' if image else 'none'} is expected"
            + (", in the first question" if image else "")
        )
    stripped = [text.replace(IMAGE, "").strip() for text in texts]
    if not all(stripped[1::2]):
        raise _Refused("an answer is empty")
    return tuple(zip(stripped[::2], stripped[1::2], strict=True)), image


def _text(turn: Any, *, speaker: str) -> str:
    if not isinstance(turn, dict) or turn.get("from") != speaker:
        raise _Refused(f"a turn is not said by {speaker!r} where it should be")
    text = turn.get("value")
    if not isinstance(text, str):
        raise _Refused("a turn has no text in 'value'")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Refused("a text holds half a surrogate pair, which is no character") from None
    return text


def _find(image: str, images: Path, members: Mapping[str, Member] | None) -> Path | Member:
    if members is not None:
        if image not in members:
            raise _Refused(f"the shard has no picture {image!r}")
        return members[image]
    inside = PurePosixPath(image)
    if inside.is_absolute() or ".." in inside.parts or "\0" in image:
        raise _Refused(f"the path {image!r} leaves the folder of the pictures")
    path = images / inside
    if not path.is_file():
        raise _Refused(f"there is no picture {image!r}")
    return path
