"""Encoded images on disk, for processes to come and processes beside this one.

An entry is one file: the SHA-256 of all that follows, a header and the values. The header is JSON,
for whoever looks, and is never parsed: its bytes follow from what is asked for, so a reader knows
them, and the size of the file, before it opens it. Nothing in a file is believed but the values,
and those only if the checksum holds.

Any number of processes may share a folder. An entry appears under its name when it is whole, and
does not change until it goes; whoever finds it gone has a miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from astrollava._cache import whole_file
from astrollava.engine.vision import ImageEmbedding
from astrollava.errors import ModelError

__all__ = ["DiskCache", "entry_key"]

#: Raised whenever the file, or what its values mean, changes.
_FORMAT: Final = 1
_MAGIC: Final = b"astrollava-image\n"
_CHECKSUM: Final = 32
_SUFFIX: Final = ".embedding"
#: A folder may hold more than entries: nothing of another name is touched.
_ENTRY: Final = re.compile(rf"[0-9a-f]{{64}}{re.escape(_SUFFIX)}")
_UNFINISHED: Final = re.compile(rf"\.{_ENTRY.pattern}\.\d+-[0-9a-f]+\.part")
#: Seconds after which an unfinished file is one that a killed process left.
_ABANDONED: Final = 600
#: Shares of the limit: where room is made, and how much is left then. A look at a folder of many
#: files takes long, so a process writes a little between two looks: what 32 write unseen fits in
#: between the first share and the limit.
_FULL: Final = 7 / 8
_LEFT: Final = 6 / 8
_UNSEEN: Final = (1 - _FULL) / 32
#: A named pipe under the name of an entry would be waited for; Windows would change line ends.
_OPEN: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_log = logging.getLogger("astrollava")


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
        self.folder = Path(folder).absolute()
        self.limit_bytes = limit_bytes
        self._like = like
        self._made_by = dict(made_by)
        self._described = _described(like)
        self._writes = True
        self._lock = threading.Lock()
        #: Bytes written since the folder was looked at, which it never was.
        self._unseen = limit_bytes

    def path(self, pixels: str) -> Path:
        """Return the file in which the image with these pixels is or would be."""
        return self.folder / f"{entry_key(pixels, self._made_by)}{_SUFFIX}"

    def get(self, pixels: str) -> ImageEmbedding | None:
        """Return the image with these pixels (see `pixel_key`), or None.

        A file there that is damaged, cut short or of another kind is removed.
        """
        path = self.path(pixels)
        like = self._like
        head = self._head(pixels)
        values = None
        with contextlib.suppress(OSError):
            data = _read(path, _CHECKSUM + len(head) + 4 * like.values.size)
            values = _values(data, head)
            # The time of a file says when it was last used.
            path.unlink() if values is None else os.utime(path)
        if values is None:
            return None
        values = values.reshape(like.values.shape)
        return ImageEmbedding(values, pixels, like.layout, like.causal, like.places)

    def put(self, embedding: ImageEmbedding) -> None:
        """Keep an image, and make room for it."""
        if not self._writes or _described(embedding) != self._described:
            return
        head = self._head(embedding.key)
        values = np.ascontiguousarray(embedding.values, "<f4")
        size = _CHECKSUM + len(head) + values.nbytes
        path = self.path(embedding.key)
        try:
            if not self._has_room(size):
                return
            # The checksum tells what a power failure left: waiting for the disk buys nothing.
            with whole_file(path, size=size, durable=False) as file:
                file.write(_checksum(head, values))
                file.write(head)
                file.write(values.data)
        except (ModelError, OSError) as error:
            # Someone emptied the folder just now; or it is there already, and some systems do not
            # replace a file that is being read.
            if not (isinstance(error.__cause__, FileNotFoundError) or path.is_file()):
                self._give_up(error)

    def _head(self, pixels: str) -> bytes:
        """Return the header of an image's entry; only the right one is ever read."""
        said = {"pixels": pixels, "made_by": self._made_by, **self._described}
        return _MAGIC + json.dumps(said, sort_keys=True).encode() + b"\n"

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            first, self._writes = self._writes, False
        if first:
            why = error.problem if isinstance(error, ModelError) else error
            _log.warning("encoded images are no longer kept on disk: %s", why)

    def _has_room(self, size: int) -> bool:
        """Look at the folder when it is time to; remove what is old where it is too full."""
        with self._lock:
            self._unseen += size
            if self._unseen < self.limit_bytes * _UNSEEN:
                return True
            self._unseen = size
        there = list(self._files())
        total = sum(length for _, length, _ in there) + size
        if total > self.limit_bytes * _FULL:
            for _, length, path in sorted(there):
                if total <= self.limit_bytes * _LEFT:
                    break
                if not _ENTRY.fullmatch(path.name):
                    continue  # being written
                with contextlib.suppress(OSError):
                    # Another process may have removed it just now: that is room as well.
                    path.unlink(missing_ok=True)
                    total -= length
        return total <= self.limit_bytes

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Yield time of last use, size and path of what is ours; remove what was abandoned."""
        if not self.folder.is_dir():
            return
        for found in os.scandir(self.folder):
            unfinished = _UNFINISHED.fullmatch(found.name)
            if not unfinished and not _ENTRY.fullmatch(found.name):
                continue
            with contextlib.suppress(OSError):
                about = found.stat(follow_symlinks=False)
                if unfinished and time.time() - about.st_mtime > _ABANDONED:
                    os.unlink(found.path)
                elif stat.S_ISREG(about.st_mode):
                    yield about.st_mtime_ns, about.st_size, Path(found.path)


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


def _read(path: Path, size: int) -> bytes:
    """Read a file if it is one and has that size; else nothing, however large it is."""
    opened = os.open(path, _OPEN)
    try:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode) or about.st_size != size:
            return b""
        with open(opened, "rb", closefd=False) as file:
            data = file.read(size)
            return data if len(data) == size else b""
    finally:
        os.close(opened)


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
