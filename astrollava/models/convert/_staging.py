"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest, ModelError, NotEnoughSpace

__all__ = ["ask_for_space", "check_free", "staged"]

#: Left free on a disk: a full one breaks more than this library.
_SPARE: Final = 64 << 20


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` that takes its place at the end, or vanishes on an error.

    Raises
    ------
    InvalidRequest
        `out` is there already and not an empty folder.
    NotEnoughSpace, ModelError
        The disk is full, or it cannot be written there.
    """
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            yield folder
            folder.chmod(0o755)  # mkdtemp's is for the owner alone.
            if out.exists():
                out.rmdir()
            folder.rename(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        kind = NotEnoughSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else ModelError
        raise kind(f"{out} cannot be written: {error}") from error


def check_free(out: Path) -> None:
    """Raise `InvalidRequest` unless a folder can be made at `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest(
            f"{out} is there already", expected="a new or empty folder", hint="Give another one"
        )


def ask_for_space(folder: Path, size: int) -> None:
    """Raise `NotEnoughSpace` unless the disk of a folder has room for `size` more bytes."""
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise NotEnoughSpace(
            f"the files need {size / 1e9:.2f} GB and {folder.parent} has {free / 1e9:.2f} GB left",
            hint="Free some, choose a smaller storage type, or a folder on another disk",
        )
