"""Where astrollava keeps what it can make again: one folder a user, and files that are whole."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import secrets
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from astrollava.errors import ModelError, NotEnoughSpace

__all__ = ["VARIABLE", "Shelf", "cache_folder", "whole_file"]

#: The environment variable that moves the folder.
VARIABLE: Final = "ASTROLLAVA_CACHE"

#: Left free on a disk: a full one breaks more than this library.
_SPARE: Final = 16 << 20
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


class Shelf:
    """Files of one kind in a folder that any number of processes may share, up to a limit.

    Nothing here raises for what happens on the disk: what cannot be read is not there, and where
    nothing can be written a warning is logged, once. An entry appears under its name when it is
    whole, and does not change until it goes.

    Parameters
    ----------
    folder : path
        Made where it is missing. Files in it of another name are left alone.
    suffix : str
        What the names of entries end with; before it are 64 hexadecimal digits.
    limit_bytes : int
        Bytes of all entries in the folder; those used longest ago make room. Held while up to 32
        processes write, and what they write at once is less than an eighth.
    what : str
        What the warning says is no longer kept.
    """

    def __init__(
        self, folder: str | os.PathLike[str], suffix: str, limit_bytes: int, *, what: str
    ) -> None:
        self.folder = Path(folder).absolute()
        self.limit_bytes = limit_bytes
        self.writes = True
        self._suffix = suffix
        self._what = what
        #: A folder may hold more than entries: nothing of another name is touched.
        self._entry = re.compile(rf"[0-9a-f]{{64}}{re.escape(suffix)}")
        self._unfinished = re.compile(rf"\.{self._entry.pattern}\.\d+-[0-9a-f]+\.part")
        self._lock = threading.Lock()
        #: Bytes written since the folder was looked at, which it never was.
        self._unseen = limit_bytes

    def path(self, key: str) -> Path:
        """Return the file in which the entry is or would be."""
        return self.folder / f"{key}{self._suffix}"

    def read(self, key: str, *, size: int | None = None, most: int = 0) -> bytes | None:
        """Read an entry.

        Parameters
        ----------
        key : str
            Its name.
        size : int, optional
            Bytes that it must have.
        most : int
            Bytes that it may have, where `size` is not given.

        Returns
        -------
        bytes or None
            None where nothing is there; nothing where it is no file, or of another size.
        """
        with contextlib.suppress(OSError), self.opened(key) as (file, there):
            wanted = there if size is None else size
            if there != wanted or (size is None and wanted > most):
                return b""
            data = file.read(wanted)
            return data if len(data) == wanted else b""
        return None

    @contextlib.contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open an entry: its file, and its bytes, -1 where it is no file.

        Raises
        ------
        OSError
            If nothing is there.
        """
        opened = os.open(self.path(key), _OPEN)
        try:
            about = os.fstat(opened)
            if stat.S_ISREG(about.st_mode):
                with open(opened, "rb", closefd=False) as file:
                    yield file, about.st_size
            else:
                yield io.BytesIO(), -1
        finally:
            os.close(opened)

    def used(self, key: str) -> None:
        """Remember that an entry was of use: the time of its file says when it last was."""
        with contextlib.suppress(OSError):
            os.utime(self.path(key))

    def remove(self, key: str) -> None:
        """Remove an entry, if it is there."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def write(self, key: str, *parts: bytes | memoryview) -> None:
        """Keep an entry, made of these parts, and make room for it."""
        size = sum(len(memoryview(part).cast("B")) for part in parts)
        path = self.path(key)
        if not self.writes:
            return
        try:
            if not self._has_room(size):
                return
            # Entries are believed after a check only: waiting for the disk buys nothing.
            with whole_file(path, size=size, durable=False) as file:
                for part in parts:
                    file.write(part)
        except (ModelError, OSError) as error:
            # Someone emptied the folder just now; or it is there already, and some systems do not
            # replace a file that is being read.
            if not (isinstance(error.__cause__, FileNotFoundError) or path.is_file()):
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            first, self.writes = self.writes, False
        if first:
            why = error.problem if isinstance(error, ModelError) else error
            _log.warning("%s are no longer kept on disk: %s", self._what, why)

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
                if not self._entry.fullmatch(path.name):
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
            unfinished = self._unfinished.fullmatch(found.name)
            if not unfinished and not self._entry.fullmatch(found.name):
                continue
            with contextlib.suppress(OSError):
                about = found.stat(follow_symlinks=False)
                if unfinished and time.time() - about.st_mtime > _ABANDONED:
                    os.unlink(found.path)
                elif stat.S_ISREG(about.st_mode):
                    yield about.st_mtime_ns, about.st_size, Path(found.path)
