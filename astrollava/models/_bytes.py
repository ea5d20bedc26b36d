"""Bounded reading of a file that may be hostile: nothing is trusted before it is measured."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from astrollava.errors import InvalidModelFile, ModelNotFound

__all__ = ["Cursor", "open_model", "read_ahead"]

_WINDOW: Final = 1 << 20
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")

DAMAGED: Final = "Download or convert the file again"


def open_model(path: Path) -> tuple[BinaryIO, int]:
    """Open a regular file for reading and return it with its size in bytes.

    Raises
    ------
    ModelNotFound
        There is no such file.
    InvalidModelFile
        It is a folder, a device or a pipe, or may not be read.
    """
    try:
        # Opening a pipe would wait for a writer for ever: ask first what it is.
        kind = os.stat(path)
        if not stat.S_ISREG(kind.st_mode):
            raise InvalidModelFile(f"{path} is not a file", expected="a .gguf file")
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise ModelNotFound(
            f"there is no file {path}", expected="the path of a .gguf file"
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidModelFile(f"{path} cannot be read: {error}") from None
    return file, kind.st_size


class Cursor:
    """A window that moves over a file from front to back.

    Memory stays at one window (1 MiB) whatever the file claims. A read past the end of the file or
    past `limit` raises `InvalidModelFile`; `mmap` is not used because a file cut short by another
    process would then kill the interpreter.
    """

    def __init__(self, file: BinaryIO, path: Path, size: int, limit: int) -> None:
        self._file = file
        self._path = path
        self._size = size
        self._limit = limit
        self._base = 0
        self._at = 0
        self._window = b""

    @property
    def position(self) -> int:
        """Bytes from the start of the file."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self._size - self.position

    def fail(self, problem: str, expected: str = "", hint: str = DAMAGED) -> InvalidModelFile:
        """Make the error for this file."""
        return InvalidModelFile(f"{self._path}: {problem}", expected=expected, hint=hint)

    def seek(self, position: int) -> None:
        """Move to a position measured from the start of the file."""
        self._base, self._at, self._window = position, 0, b""

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        self.expect(count)
        if self._at + count > len(self._window):
            self._move(count)
        start = self._at
        self._at += count
        return self._window[start : self._at]

    def expect(self, count: int) -> None:
        """Raise unless `count` more bytes are there."""
        if count > self.remaining:
            raise self.fail(
                f"ends after {self._size} bytes, inside its header",
                hint="It is cut short. " + DAMAGED,
            )
        if self.position + count > self._limit:
            raise self.fail(f"has a header of more than {self._limit} bytes")

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them."""
        self.expect(count)
        self._at += count

    def u32(self) -> int:
        """Read an unsigned integer of 32 bits."""
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        """Read an unsigned integer of 64 bits."""
        return int(_U64.unpack(self.take(8))[0])

    def string(self, longest: int, what: str) -> bytes:
        """Read a string of at most `longest` bytes."""
        count = self.u64()
        if count > longest:
            raise self.fail(f"{what} has {count} bytes", expected=f"at most {longest}")
        return self.take(count)

    def skip_strings(self, count: int, longest: int, what: str) -> None:
        """Pass over `count` strings, checking each length."""
        self.expect(8 * count)
        window, at, unpack = self._window, self._at, _U64.unpack_from
        for _ in range(count):
            if at + 8 > len(window):
                self._at = at
                self.expect(8)
                self._move(8)
                window, at = self._window, self._at
            length = unpack(window, at)[0]
            if length > longest:
                raise self.fail(
                    f"a string in {what} has {length} bytes", expected=f"at most {longest}"
                )
            at += 8 + length
        self._at = at
        self.expect(0)

    def strings(self, count: int, longest: int, what: str) -> Iterator[bytes]:
        """Read `count` strings one by one; nothing else may read from the cursor meanwhile."""
        unpack = _U64.unpack_from
        for _ in range(count):
            window, at = self._window, self._at
            if at + 8 > len(window) or (end := at + 8 + unpack(window, at)[0]) > len(window):
                # At the edge of the window, or longer than it.
                yield self.string(longest, what)
            else:
                self._at = end
                yield window[at + 8 : end]

    def _move(self, need: int) -> None:
        self._base, self._at = self.position, 0
        try:
            self._file.seek(self._base)
            self._window = self._file.read(max(_WINDOW, need))
        except OSError as error:
            raise self.fail(f"cannot be read: {error}") from None
        if len(self._window) < need:
            raise self.fail("became shorter while it was read")


def read_ahead(file: BinaryIO, start: int, size: int) -> None:
    """Let the system begin to read a part of a file that is wanted next.

    It reads ahead by itself, a hundred kilobytes at a time: too little for a fast disk.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)
