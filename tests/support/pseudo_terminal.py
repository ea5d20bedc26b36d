"""A program on a terminal of its own, typed at and read from as a person would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

from command_line import environment

__all__ = ["INTERRUPT", "Terminal"]

#: What Ctrl-C sends.
INTERRUPT = "\x03"

# The terminal must be the controlling one, or Ctrl-C would be a letter like any other.
_START = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from astrollava.cli import main
main(sys.argv[1:])
"""


class Terminal:
    """The ``astrollava`` command on a pseudo-terminal.

    Parameters
    ----------
    *arguments : str or pathlib.Path
        What follows the command's name.
    columns, rows : int
    **changes : str
        Environment variables.
    """

    def __init__(
        self, *arguments: str | Path, columns: int = 100, rows: int = 40, **changes: str
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **changes}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**settings),
            start_new_session=True,
        )
        os.close(slave)
        self._seen = 0
        self.shown = ""
        self._bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, words: str, seconds: float = 90.0) -> str:
        """Wait until `words` appear after what was expected before; return what came with them."""
        until = time.monotonic() + seconds
        while (at := self.shown.find(words, self._seen)) < 0:
            if not self._read(until):
                raise AssertionError(f"{words!r} did not come; shown: {self.shown[self._seen :]!r}")
        found = self.shown[self._seen : at + len(words)]
        self._seen = at + len(words)
        return found

    def wait_for_keys(self, seconds: float = 90.0) -> None:
        """Wait until the program, which has shown its prompt, waits for a key.

        In the instant between, Python answers to a Ctrl-C at the next key only.
        """
        if not sys.platform.startswith("linux"):
            time.sleep(0.5)
            return
        until = time.monotonic() + seconds
        # The state of its first thread: nothing but a key keeps that from running.
        while Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2][1] != "S":
            assert time.monotonic() < until, "the program does not wait for a key"
            time.sleep(0.01)

    def end(self, seconds: float = 90.0) -> int:
        """Wait for the end of the program and return its exit code."""
        until = time.monotonic() + seconds
        while self._read(until):
            pass
        return self._process.wait(timeout=max(until - time.monotonic(), 1.0))

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(until - time.monotonic(), 0.0))
        if not ready:
            return False
        # Linux reports the end of the program as an input/output error.
        piece = b""
        with contextlib.suppress(OSError):
            piece = os.read(self._master, 65536)
        self._bytes += piece
        self.shown = self._bytes.decode(errors="replace")
        return bool(piece)
