"""What to know about a result: claims a picture cannot support, an end that came too soon."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from astrollava.cli._terminal import clean_line

if TYPE_CHECKING:
    from astrollava.results import Answer, Description, Extraction

__all__ = ["flag_lines", "note_cut", "note_flags"]

#: Characters of flagged words that are repeated; a whole answer stands just above.
_SHOWN = 60
_CUT = {"length": "stopped at --max-tokens", "context": "stopped at the end of the context"}


def flag_lines(result: Description | Answer | Extraction) -> list[tuple[str, str, str]]:
    """Return ``(kind, words, reason)`` of each flag, free of control characters, long words cut."""
    return [
        (clean_line(flag.kind), _cut(clean_line(flag.text)), clean_line(flag.reason))
        for flag in result.flags
    ]


def _cut(words: str) -> str:
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1].rstrip()}…"


def note_flags(result: Description | Answer | Extraction) -> None:
    """Say on standard error what `result` claims that a picture cannot support."""
    for kind, words, reason in flag_lines(result):
        sys.stderr.write(f"note   {kind} “{words}”: {reason}\n")


def note_cut(result: Description | Answer, *, indent: int = 0) -> None:
    """Say on standard error if `result` ends because there was no room for more."""
    if reason := _CUT.get(result.provenance.generation.get("finish_reason", "")):
        sys.stderr.write(f"{' ' * indent}note   {reason}\n")
