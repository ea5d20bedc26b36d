"""``astrollava models list``: the models that can be called by a name."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import is_interactive, say
from astrollava.cli.models._words import size_words

if TYPE_CHECKING:
    from astrollava.models.catalog import Entry

__all__ = ["list_models"]


def list_models(as_json: Json = False) -> None:
    """List the models that can be called by a name."""
    from astrollava.models.catalog import entries

    if as_json:
        for entry in entries():
            write_json({**dataclasses.asdict(entry), "here": _state(entry)})
    elif is_interactive():
        _draw(entries())
    else:
        for entry in entries():
            say(f"{entry.name}\t{_size(entry)}\t{_state(entry)}\t{entry.licence}")


def _state(entry: Entry) -> str:
    from astrollava.models import store

    if entry.repo is None:
        return "to be converted" if entry.checkpoint else "comes with astrollava"
    return "here" if store.cached(entry.name) else "not here"


def _size(entry: Entry) -> str:
    return size_words(entry.size) if entry.size else "-"


def _draw(entries: tuple[Entry, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    from astrollava.cli._console import console

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("good at", overflow="fold")
    for entry in entries:
        state = _state(entry)
        here = state in {"here", "comes with astrollava"}
        table.add_row(
            Text(f"  {entry.name}", style="bold" if here else ""),
            Text(_size(entry), style="dim"),
            Text(state, style="green" if here else "dim"),
            Text(entry.good_at),
        )
    out = console()
    out.print()
    out.print(table)
    out.print("\n  More of one: astrollava models show NAME\n", style="dim")
