"""``astrollava models list``: the models that can be called by a name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.cli.models._words import size_words

if TYPE_CHECKING:
    from astrollava.models._bundled import Manifest
    from astrollava.models.catalog import Entry

__all__ = ["list_models"]

_BUNDLE: Final = "on a bundle"


def list_models(as_json: Json = False) -> None:
    """List the models that can be called by a name."""
    from astrollava.models.catalog import entries, plugin_of

    if as_json:
        for entry in entries():
            plugin = plugin_of(entry.name)
            write_json({**dataclasses.asdict(entry), "plugin": plugin, "here": _state(entry)})
        for folder, manifest in _bundled():
            write_json(_record(folder, manifest))
    elif is_interactive():
        _draw(entries())
    else:
        for entry in entries():
            words = [entry.name, _size(entry), _state(entry), entry.licence, *_plugin(entry)]
            say("\t".join(clean_line(word) for word in words))
        for _, manifest in _bundled():
            licence = clean_line(manifest.licence or "-")
            say(f"{manifest.name}\t{size_words(_bytes(manifest))}\t{_BUNDLE}\t{licence}")


def _bundled() -> list[tuple[Path, Manifest]]:
    """Return the models on bundles that the catalogue does not name."""
    from astrollava.models import _bundled, catalog

    return [(f, m) for f, m in _bundled.installed() if catalog.find(m.name) is None]


def _record(folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "licence": manifest.licence,
        "size": _bytes(manifest),
        "folder": str(folder),
        # In every line, so that whoever looks for it does so without asking what the line is of.
        "plugin": None,
        "here": _BUNDLE,
    }


def _bytes(manifest: Manifest) -> int:
    return sum(manifest.files[inside][0] for inside in (manifest.text, manifest.mmproj))


def _state(entry: Entry) -> str:
    from astrollava.models import _bundled, store

    if any(manifest.name.lower() == entry.name for _, manifest in _bundled.installed()):
        return _BUNDLE
    if entry.unsupported:
        return "not supported yet"
    if entry.repo is None:
        return "to be converted" if entry.checkpoint else "comes with astrollava"
    return "here" if store.cached(entry.name) else "not here"


def _plugin(entry: Entry) -> list[str]:
    from astrollava.models.catalog import plugin_of

    plugin = plugin_of(entry.name)
    return [] if plugin is None else [f"plugin {plugin}"]


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
        here = state in {"here", "comes with astrollava", _BUNDLE}
        table.add_row(
            Text(f"  {entry.name}", style="bold" if here else ""),
            Text(_size(entry), style="dim"),
            Text(state, style="green" if here else "dim"),
            Text(clean_line("; ".join(filter(None, (entry.good_at, *_plugin(entry)))))),
        )
    for _, manifest in _bundled():
        table.add_row(
            Text(f"  {manifest.name}", style="bold"),
            Text(size_words(_bytes(manifest)), style="dim"),
            Text(_BUNDLE, style="green"),
            "",
        )
    out = console()
    out.print()
    out.print(table)
    out.print("\n  More of one: astrollava models show NAME\n", style="dim")
