"""Encoded images on disk, for processes to come and processes beside this one.

An entry is one file: the SHA-256 of all that follows, a header and the values. The header is JSON,
for whoever looks, and is never parsed: its bytes follow from what is asked for, so a reader knows
them, and the size of the file, before it opens it. Nothing in a file is believed but the values,
and those only if the checksum holds.

Any number of processes may share a folder. An entry appears under its name when it is whole, and
does not change until it goes; whoever finds it gone has a miss.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from astrollava._cache import Shelf
from astrollava.engine.vision import ImageEmbedding

__all__ = ["DiskCache", "entry_key"]

#: Raised whenever the file, or what its values mean, changes.
_FORMAT: Final = 1
_MAGIC: Final = b"astrollava-image\n"
_CHECKSUM: Final = 32
_SUFFIX: Final = ".embedding"


def entry_key(pixels: str, made_by: Mapping[str, str]) -> str:
    """Return the name of an image's entry, in hexadecimal.

    Parameters
    ----------
    pixels : str
        What `astrollava.engine.vision.pixel_key` makes of the image.
    made_by : mapping of str to str
        All else that the values depend on: hash of the projector, how the picture was rendered,
        version and build of llama.cpp.

    Examples
    --------
    >>> entry_key("ab" * 32, {"projector": "cd" * 32})[:12]
    'f4cc0f606bf1'
    """
    said = json.dumps([_FORMAT, pixels, sorted(made_by.items())])
    return hashlib.sha256(said.encode()).hexdigest()


class DiskCache:
    """Images encoded by one model, in a folder that other models and processes may share.

    Nothing here raises for what happens on the disk: what cannot be read is a miss, and where
    nothing can be written a warning is logged, once.

    Parameters
    ----------
    folder : path
        Made where it is missing. Files in it that are no entries are left alone.
    limit_bytes : int
        Bytes of all entries in the folder, of whatever model; those used longest ago make room.
        Held while up to 32 processes write, and what they write at once is less than an eighth.
    like : ImageEmbedding
        What any image becomes with this model; its values are not read. An entry of another shape,
        layout or places is a miss.
    made_by : mapping of str to str
        As for `entry_key`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        limit_bytes: int,
        *,
        like: ImageEmbedding,
        made_by: Mapping[str, str],
    ) -> None:
        self._shelf = Shelf(folder, _SUFFIX, limit_bytes, what="encoded images")
        self._like = like
        self._made_by = dict(made_by)
        self._described = _described(like)

    @property
    def writes(self) -> bool:
        """Whether images are still kept: not after one could not be written."""
        return self._shelf.writes

    def path(self, pixels: str) -> Path:
        """Return the file in which the image with these pixels is or would be."""
        return self._shelf.path(entry_key(pixels, self._made_by))

    def get(self, pixels: str) -> ImageEmbedding | None:
        """Return the image with these pixels (see `pixel_key`), or None.

        A file there that is damaged, cut short or of another kind is removed.
        """
        like = self._like
        key = entry_key(pixels, self._made_by)
        head = self._head(pixels)
        data = self._shelf.read(key, size=_CHECKSUM + len(head) + 4 * like.values.size)
        if data is None:
            return None
        values = _values(data, head)
        if values is None:
            self._shelf.remove(key)
            return None
        self._shelf.used(key)
        values = values.reshape(like.values.shape)
        return ImageEmbedding(values, pixels, like.layout, like.causal, like.places)

    def put(self, embedding: ImageEmbedding) -> None:
        """Keep an image, and make room for it."""
        if _described(embedding) != self._described:
            return
        head = self._head(embedding.key)
        values = np.ascontiguousarray(embedding.values, "<f4")
        key = entry_key(embedding.key, self._made_by)
        self._shelf.write(key, _checksum(head, values), head, values.data)

    def _head(self, pixels: str) -> bytes:
        """Return the header of an image's entry; only the right one is ever read."""
        said = {"pixels": pixels, "made_by": self._made_by, **self._described}
        return _MAGIC + json.dumps(said, sort_keys=True).encode() + b"\n"


def _described(like: ImageEmbedding) -> dict[str, Any]:
    """Say all of an image but its values and pixels."""
    return {
        "format": _FORMAT,
        "shape": like.values.shape,
        "layout": [
            [part.start, part.stop] if isinstance(part, slice) else {"tokens": part}
            for part in like.layout
        ],
        "causal": like.causal,
        "places": [
            [each.span, hashlib.sha256(each.origin.tobytes() + each.moves.tobytes()).hexdigest()]
            for each in like.places
        ],
    }


def _values(data: bytes, head: bytes) -> npt.NDArray[np.float32] | None:
    """Return what is in an entry, or None if any bit of it is not as it was written."""
    start = _CHECKSUM + len(head)
    if data[_CHECKSUM:start] != head:
        return None
    values = np.frombuffer(data, "<f4", offset=start)
    if data[:_CHECKSUM] != _checksum(head, values):
        return None
    return values.astype(np.float32, copy=False)


def _checksum(head: bytes, values: npt.NDArray[np.float32]) -> bytes:
    digest = hashlib.sha256(head)
    digest.update(values.data)
    return digest.digest()
