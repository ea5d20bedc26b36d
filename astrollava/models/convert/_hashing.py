"""Hashes of a checkpoint's files, taken while it is converted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from astrollava.errors import InvalidCheckpoint

__all__ = ["Hashing"]

_PIECE: Final = 8 << 20


class Hashing:
    """SHA-256 of files, in a thread of its own.

    Beside the conversion, because both read the same files: what one has read, the other finds in
    the system's cache.

    Parameters
    ----------
    files : sequence of Path
        The files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="astrollava-hash")
        self._result: Future[tuple[str, ...]] = self._pool.submit(self._run)

    def result(self) -> tuple[str, ...]:
        """Wait for the hashes and return them, in hexadecimal."""
        return self._result.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown()

    def _run(self) -> tuple[str, ...]:
        buffer = memoryview(bytearray(_PIECE))
        return tuple(self._hash(path, buffer) for path in self._files)

    def _hash(self, path: Path, buffer: memoryview) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as file:
                read: Callable[[memoryview], int | None] = file.readinto
                while not self._stop.is_set() and (count := read(buffer)):
                    digest.update(buffer[:count])
        except OSError as error:
            raise InvalidCheckpoint(f"{path} cannot be read: {error}") from None
        return digest.hexdigest()
