"""Words to a terminal: nothing it would obey, nothing its encoding cannot show."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["Cleaner", "clean", "clean_line", "is_interactive", "say", "tolerate_any_text"]

# C0 but tab and newline, DEL, C1, and the marks that reorder what is shown (Unicode TR 36, 3.1):
# with them a file name, a header value or a model's words could drive or deceive the terminal.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# A whole control sequence (ECMA-48: CSI, OSC), so that no "[31m" stays where one was.
_SEQUENCES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
# The beginning of one, whose end may be in the next piece of a text.
_UNFINISHED = re.compile("\x1b(?:\\[[0-?]*[ -/]*|\\][^\x07\x1b]{0,200}\x1b?)?$")
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


class Cleaner:
    """Cleans a text that comes in pieces, between which a control sequence may be cut."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what may be shown now."""
        text = self._held + piece
        unfinished = _UNFINISHED.search(text)
        at = unfinished.start() if unfinished else len(text)
        self._held = text[at:]
        return clean(text[:at])


def say(text: str) -> None:
    """Write a line of clean text to standard output, not wrapped, at once."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()


def is_interactive() -> bool:
    """Tell whether someone is looking: a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def tolerate_any_text() -> None:
    """Let characters the output's encoding lacks become question marks instead of errors."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
