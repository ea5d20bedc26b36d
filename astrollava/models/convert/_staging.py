"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest, ModelError, NotEnoughSpace

try:
    import fcntl
except ImportError:  # Windows, where leftovers stay.
    fcntl = None  # type: ignore[assignment]

__all__ = ["ask_for_space", "check_free", "room", "staged"]

_log = logging.getLogger("astrollava")

#: Left free on a disk: a full one breaks more than this library.
_SPARE: Final = 64 << 20
_SUFFIX: Final = ".part"
#: In every unfinished folder, locked by the process that fills it: the lock ends with its life,
#: however that ends. Holds the name of its machine, as not every network disk passes locks on.
_OWNER: Final = ".astrollava-owner"
_NEW: Final = f"{_OWNER}.new"


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
    with room(out) as folder:
        yield folder
        folder.chmod(0o755)  # mkdtemp's is for the owner alone.
        if out.exists():
            out.rmdir()
        folder.rename(out)
        # Only now: a process killed in between leaves nothing that is not whole or not found.
        for name in (_OWNER, _NEW):
            (out / name).unlink(missing_ok=True)


@contextlib.contextmanager
def room(out: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside `out` that vanishes at the end.

    First those are removed that dead processes left there.

    Raises
    ------
    NotEnoughSpace, ModelError
        The disk is full, or it cannot be written there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out.parent)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=_SUFFIX, dir=out.parent))
        try:
            with _owned(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        kind = NotEnoughSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else ModelError
        raise kind(f"{out} cannot be written: {error}") from error


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Keep a folder from other processes' sweeping."""
    if fcntl is None:
        yield
        return
    new = folder / _NEW
    with new.open("x", encoding="utf-8") as file:
        file.write(platform.node())
        file.flush()
        with contextlib.suppress(OSError):  # A disk without locks: then nobody can sweep either.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Found under this name, it is locked already.
            new.rename(folder / _OWNER)
        yield


def _sweep(parent: Path) -> None:
    """Remove the unfinished folders of processes that are no more."""
    for folder in parent.glob(f".*{_SUFFIX}"):
        if fcntl is None or folder.is_symlink():
            continue
        try:
            handle = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # Not ours.
            continue
        with open(handle, "r+", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # At work.
                continue
            if file.read(300) != platform.node():
                _log.warning("%s was left unfinished on another machine: remove it", folder)
                continue
            _log.info("removing %s, left by a process that was killed", folder)
            shutil.rmtree(folder, ignore_errors=True)


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
