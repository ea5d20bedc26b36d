"""Consoles that show text as it is."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console

__all__ = ["PlainConsole", "console", "err"]


class PlainConsole(Console):
    """A console without markup and highlighting, which leaves a broken pipe to `main`."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Let `BrokenPipeError` through: rich would leave with exit code 1."""
        raise BrokenPipeError


def console() -> PlainConsole:
    """Return a console on standard output."""
    return PlainConsole(sys.stdout)


def err() -> PlainConsole:
    """Return a console on standard error."""
    return PlainConsole(sys.stderr)
