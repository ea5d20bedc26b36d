"""``astrollava doctor``: does it work here, and if not, what to do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from astrollava.cli._options import Json, Mmproj, Model
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive
from astrollava.cli.picture import picture_protocol

if TYPE_CHECKING:
    from rich.table import Table

    from astrollava.doctor import Check

__all__ = ["doctor"]

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}
_PICTURES = {
    "kitty": "pictures by the kitty protocol",
    "iterm2": "pictures by the iTerm2 protocol",
    "blocks": "pictures as coloured half blocks",
    "none": "no pictures: not a terminal with colours",
}


def doctor(as_json: Json = False, model: Model = "embedded", mmproj: Mmproj = None) -> None:
    """Check that everything works here, and say what to do where not.

    The exit code is 1 if there is a problem; a warning is none.
    """
    from astrollava.cli._console import console

    counts: Counter[str] = Counter()
    out = console()
    if not as_json:
        out.print()
    # The spinner and the lines must share a console, or they would write over each other.
    with nullcontext() if as_json or not is_interactive() else out.status("looking"):
        for check in _checks(model, mmproj):
            counts[check.status] += 1
            if as_json:
                write_json(check.to_dict())
            else:
                out.print(_line(check))
    if not as_json:
        out.print(f"\n  {_verdict(counts)}\n", style="bold")
    if counts["problem"]:
        raise typer.Exit(1)


def _checks(model: str, mmproj: Path | None) -> Iterator[Check]:
    from astrollava.cli._console import console
    from astrollava.doctor import Check, examine

    out = console()
    yield Check("terminal", "ok", f"{_PICTURES[picture_protocol(out, os.environ)]}, {out.encoding}")
    yield from examine(model, mmproj)


def _line(check: Check) -> Table:
    from rich.table import Table
    from rich.text import Text

    mark, style = _MARKS[check.status]
    words = Text(clean_line(check.detail))
    if check.advice:
        words.append(f"\n→ {clean_line(check.advice)}", style="dim" if style == "green" else style)
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=3, justify="right")
    row.add_column(width=13)
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style=style), Text(clean_line(check.name), style="bold"), words)
    return row


def _verdict(counts: Counter[str]) -> str:
    if not counts["problem"] and not counts["warning"]:
        return "All is well."
    parts = [
        f"{counts[status]} {status}{'s' if counts[status] > 1 else ''}"
        for status in ("problem", "warning")
        if counts[status]
    ]
    return ", ".join(parts) + "."
