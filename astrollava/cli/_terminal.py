"""Words to a terminal: consoles that pass no control codes on, and what the terminal can do."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["clean", "clean_line", "console", "err", "is_interactive", "tolerate_any_text"]

# C0 but tab and newline, DEL, C1, and the marks that reorder what is shown (Unicode TR 36, 3.1):
# with them a file name, a header value or a model's words could drive or deceive the terminal.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# A whole control sequence (ECMA-48: CSI, OSC), so that no "[31m" stays where one was.
_SEQUENCES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    r"""Return `text` without anything a terminal would obey; tabs and newlines stay.

    Examples
    --------
    >>> clean("a \x1b[31mred\x1b[0m word")
    'a red word'
    """
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def clean_line(text: str) -> str:
    r"""Return `text` on one line and without anything a terminal would obey.

    Examples
    --------
    >>> clean_line("M 51\r\n  whirlpool")
    'M 51 whirlpool'
    """
    return clean(_SPACES.sub(" ", text)).strip()


def console() -> Console:
    """Return a console on standard output that takes text as it is: no markup, no highlighting."""
    return _plain_console(sys.stdout)


def err() -> Console:
    """Return a console on standard error that takes text as it is."""
    return _plain_console(sys.stderr)


def _plain_console(file: TextIO) -> Console:
    from rich.console import Console

    return Console(file=file, markup=False, highlight=False, emoji=False)


def is_interactive(out: Console, environment: Mapping[str, str]) -> bool:
    """Tell whether someone is looking: a terminal that can move its cursor."""
    return out.is_terminal and environment.get("TERM", "") not in {"dumb", "unknown"}


def tolerate_any_text() -> None:
    """Let characters the output's encoding lacks become question marks instead of errors."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
