"""Model files on disk: their hashes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from ._bytes import open_model

__all__ = ["sha256"]


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Parameters
    ----------
    path : path-like
        The file. Its hash is kept for the life of the process and taken anew when the file's size
        or time of change differs.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ModelNotFound
        There is no such file.
    InvalidModelFile
        It is not a file or cannot be read.
    """
    path = Path(path).absolute()
    file, size = open_model(path)
    with file:
        return _sha256(path, size, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
