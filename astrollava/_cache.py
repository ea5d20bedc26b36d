"""Where astrollava keeps what it can make again: one folder a user, and files that are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from astrollava.errors import ModelError, NotEnoughSpace

__all__ = ["VARIABLE", "cache_folder", "whole_file"]

#: The environment variable that moves the folder.
VARIABLE: Final = "ASTROLLAVA_CACHE"

#: Left free on a disk: a full one breaks more than this library.
_SPARE: Final = 16 << 20


def cache_folder(*parts: str) -> Path:
    r"""Return the cache folder of this user, or one inside it; nothing is made on disk.

    ``ASTROLLAVA_CACHE`` where it is set, else what the system has for caches:
    ``$XDG_CACHE_HOME/astrollava`` (``~/.cache/astrollava``), ``~/Library/Caches/astrollava`` on
    macOS, ``%LOCALAPPDATA%\astrollava\Cache`` on Windows.

    Parameters
    ----------
    *parts : str
        Names of folders inside it.

    Examples
    --------
    >>> cache_folder("repaired").name
    'repaired'
    """
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own).expanduser().joinpath(*parts)
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Caches" / "astrollava"
    elif sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = (Path(local) if local else home / "AppData" / "Local") / "astrollava" / "Cache"
    else:
        # The specification says that a relative path there is to be ignored.
        named = os.environ.get("XDG_CACHE_HOME", "")
        base = (Path(named) if os.path.isabs(named) else home / ".cache") / "astrollava"
    return base.joinpath(*parts)


@contextlib.contextmanager
def whole_file(path: Path, *, size: int = 0, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file that appears under its name when it is complete, or never.

    Any number of processes may write the same path at once: each writes a file of its own, and the
    last to finish wins.

    Parameters
    ----------
    path : Path
        The file. Its folder is made where it is missing.
    size : int
        Bytes that will be written; room for them is asked for first.
    durable : bool
        Wait until the disk has it: needed for files that are believed without a check, since a
        power failure may else leave the name without the content.

    Raises
    ------
    NotEnoughSpace
        There is no room for it.
    ModelError
        It cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if size and free < size + _SPARE:
            raise NotEnoughSpace(
                f"{path} needs {size / 1e6:.0f} MB and {path.parent} has {free / 1e6:.0f} MB left",
                hint=f"Free some, or set {VARIABLE} to a folder on another disk",
            )
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        with temporary.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        kind = NotEnoughSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else ModelError
        raise kind(
            f"{path} cannot be written: {error}",
            hint=f"Set {VARIABLE} to a folder that can be written",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
