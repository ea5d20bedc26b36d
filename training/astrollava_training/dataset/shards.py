"""Shards: pictures and their rows in one tar file.

``NAME-00000.tar`` holds, first, ``rows.jsonl``, one row of LLaVA's format a line, and then the
pictures, each under the path that ``image`` of its rows says. Tar is read at any place without
being unpacked, and a shard is one file to copy, hash and publish.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest

__all__ = ["ROWS", "Member", "read_shard", "write_shards"]

ROWS = "rows.jsonl"
"""Name of the member with the rows."""

_MOST_ROWS_BYTES = 1 << 30
_MOST_PICTURE_BYTES = 1 << 29


@dataclass(frozen=True)
class Member:
    """A picture inside a shard: where its bytes lie."""

    shard: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Return the bytes of the file."""
        with self.shard.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


def read_shard(path: Path) -> tuple[dict[str, Member], bytes]:
    """Find the pictures of a shard and read its rows; nothing is unpacked.

    Raises
    ------
    InvalidRequest
        If the file is no shard: no tar, without rows, with a member twice, or too large.
    """
    members: dict[str, Member] = {}
    rows: bytes | None = None
    try:
        # "r:" refuses compression: members of a compressed tar cannot be read by their place.
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not info.isreg():
                    continue  # folders; links are nothing that a row could name
                if info.name == ROWS and info.size <= _MOST_ROWS_BYTES:
                    stream = tar.extractfile(info)
                    rows = stream.read() if stream is not None else None
                elif info.name in members:
                    raise InvalidRequest(
                        f"{path} has two members {info.name!r}", expected="each name once"
                    )
                elif info.size <= _MOST_PICTURE_BYTES and not info.issparse():
                    member = Member(path, info.name, info.offset_data, info.size)
                    members[info.name] = member
    except (tarfile.TarError, EOFError) as error:
        raise InvalidRequest(
            f"{path} is no tar: {error}", expected="a shard", hint="It may have been cut short"
        ) from None
    if rows is None:
        raise InvalidRequest(f"{path} has no {ROWS}", expected="a shard with rows and pictures")
    return members, rows


def write_shards(
    rows: Iterable[tuple[Mapping[str, Any], bytes | None]],
    folder: Path,
    name: str,
    *,
    rows_each: int = 1000,
) -> list[Path]:
    """Write rows and their pictures as shards, the same bytes for the same rows.

    Parameters
    ----------
    rows : iterable of (mapping, bytes or None)
        Rows of LLaVA's format, each with the file that its ``image`` names. Rows may share a
        picture; it is written once in each shard.
    folder : Path
        Where to; made if it is not there.
    name : str
        Beginning of the names: ``name-00000.tar``.
    rows_each : int
        Rows in a shard, the last one apart.

    Returns
    -------
    list of Path

    Raises
    ------
    InvalidRequest
        If a row and its picture do not fit together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for number, part in enumerate(_parts(rows, rows_each)):
        path = folder / f"{name}-{number:05}.tar"
        pictures: dict[str, bytes] = {}
        for row, data in part:
            image = row.get("image")
            if (image is None) != (data is None) or image == ROWS:
                raise InvalidRequest(
                    f"row {row.get('id')!r} with image {image!r} and "
                    f"{'no' if data is None else len(data)} bytes",
                    expected="a path and a picture, or neither",
                )
            if image is None or data is None:
                continue
            if pictures.setdefault(image, data) != data:
                raise InvalidRequest(
                    f"two pictures are called {image!r}", expected="a name for each"
                )
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row, _ in part)
        temporary = path.with_suffix(".part")
        try:
            with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
                for member, data in ((ROWS, lines.encode()), *pictures.items()):
                    info = tarfile.TarInfo(member)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            temporary.replace(path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        written.append(path)
    return written


def _parts(
    rows: Iterable[tuple[Mapping[str, Any], bytes | None]], size: int
) -> Iterator[list[tuple[Mapping[str, Any], bytes | None]]]:
    part: list[tuple[Mapping[str, Any], bytes | None]] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
