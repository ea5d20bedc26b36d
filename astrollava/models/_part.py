"""A file that is being downloaded: hashed as it comes, never longer than it should be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ._progress import Progress

__all__ = ["Part", "TooLong"]

_CHUNK: Final = 1 << 22


class TooLong(OSError):
    """More bytes came than the file has."""


class Part:
    """The beginning of a file, continued where an earlier attempt ended.

    Parameters
    ----------
    path : Path
        Where it is kept; it stays there whatever happens, until `discard`.
    size : int
        Bytes the whole file has.
    content : str
        The hash it must have: a SHA-256, or the SHA-1 git gives a small file.
    step : str
        What to call this in `progress`.
    progress : callable
        Told about every piece.
    """

    def __init__(
        self, path: Path, size: int, content: str, *, step: str, progress: Progress
    ) -> None:
        self._size = size
        self._content = content
        self._step = step
        self._progress = progress
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_TRUNC, and never through a link to somewhere else.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
        self._done = 0
        self._hash = self._fresh()
        self._resume()

    @property
    def done(self) -> int:
        """Bytes that are there."""
        return self._done

    @property
    def sound(self) -> bool:
        """Whether all of it is there and has its hash."""
        return self._done == self._size and self._hash.hexdigest() == self._content

    def write(self, data: bytes) -> None:
        """Append `data`."""
        if self._done + len(data) > self._size:
            raise TooLong(f"more than the {self._size} bytes of the file came")
        self._file.write(data)
        self._hash.update(data)
        self._done += len(data)
        self._progress(self._step, self._done, self._size)

    def discard(self) -> None:
        """Begin again from nothing."""
        self._file.seek(0)
        self._file.truncate()
        self._done = 0
        self._hash = self._fresh()

    def finish(self, target: Path) -> None:
        """Give the file its name, once it is safely on the disk."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._done == 0:
            self._path.unlink(missing_ok=True)

    def _fresh(self) -> hashlib._Hash:
        if len(self._content) == 64:
            return hashlib.sha256()
        # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects: how git names a file's content.
        return hashlib.sha1(b"blob %d\0" % self._size, usedforsecurity=False)

    def _resume(self) -> None:
        while piece := self._file.read(_CHUNK):
            self._done += len(piece)
            if self._done > self._size:
                self.discard()
                return
            self._hash.update(piece)
            self._progress(self._step, self._done, self._size)
