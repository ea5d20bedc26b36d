"""``astrollava models show``: all that is known of one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._options import Json, Mmproj
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.cli.models._words import size_words
from astrollava.errors import ModelNotFound

if TYPE_CHECKING:
    from astrollava.models.catalog import Entry

__all__ = ["Name", "show"]

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name, hf:owner/repository:Q4_K_M, a file or a folder."),
]


def show(name: Name, mmproj: Mmproj = None, as_json: Json = False) -> None:
    """Show all that is known of a model: what is inside its files, its licence, its hashes."""
    from astrollava.models.catalog import find, plugin_of

    entry = find(name)
    facts = _facts(name, mmproj, entry)
    if as_json:
        listed = dataclasses.asdict(entry) if entry is not None else None
        plugin = None if entry is None else plugin_of(entry.name)
        here = facts is not None
        write_json({"catalogue": listed, "plugin": plugin, "here": here, "facts": facts})
        return
    lines = [*(_listed(entry) if entry else ()), *(_inside(facts) if facts else ())]
    _draw(lines)
    if facts is None:
        assert entry is not None
        _draw([("", f"Not on this machine. Next: {entry.next_step}")])


def _facts(name: str, mmproj: Path | None, entry: Entry | None) -> dict[str, Any] | None:
    from astrollava.models import resolve
    from astrollava.sheet import sheet

    try:
        files = resolve(name, mmproj, download=False)
    except ModelNotFound:
        # What the catalogue says is worth showing without the files.
        if entry is None:
            raise
        return None
    return sheet(files)


def _listed(entry: Entry) -> Iterator[tuple[str, str]]:
    from astrollava.models.catalog import plugin_of

    yield "name", f"{entry.name}: {entry.title}"
    yield "plugin", plugin_of(entry.name) or ""
    yield "good at", entry.good_at
    yield "needs", entry.needs
    yield "note", entry.note
    yield "lacking", entry.unsupported
    yield "from", entry.repo or entry.checkpoint or "the package"
    yield "licence", entry.licence
    tokens = entry.image_tokens or "as many as the picture needs"
    yield "images", f"tokens per image: {tokens}; made square by the rule {entry.render_rule}"
    for role, file in entry.files.items():
        yield f"{role} file", f"{file.file}, {size_words(file.bytes or file.about)}"
        yield "", f"sha256 {file.sha256 or 'as the hub gives it'}"
    yield "checked", entry.checked


def _inside(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    tower, render = facts["tower"], facts["render"]
    yield "model", f"{facts['name']} ({facts['architecture']}, {facts['quantization']})"
    yield "licence", facts["licence"] or "not stated in the file"
    yield (
        "parameters",
        f"{facts['parameters'] / 1e6:,.1f} million, context {facts['context']} tokens",
    )
    yield "template", facts["template"] or "none: ask with prompts of your own"
    size, patch = tower["image_size"], tower["patch_size"]
    kind = "CLIP type, with" if tower["class_token"] else "without"
    layers = f"{tower['layers']} layers of {tower['width']}"
    yield "tower", f"{kind} class token, {layers}, {size}×{size} pixels in patches of {patch}"
    tokens = facts["image_tokens"] or "as many as the picture needs"
    projector = f"{facts['projector'] or 'not named'}, {facts['projector_quantization']}"
    yield "projector", f"{projector}, tokens per image: {tokens}"
    colour = ",".join(map(str, render["background"]))
    yield "rendering", render["rule"] + (f" on ({colour})" if render["rule"] == "pad" else "")
    yield "labels", "calibrated" if facts["calibrated"] else "ranked, not calibrated"
    for role, file in facts["files"].items():
        yield f"{role} file", f"{file['path']}, {size_words(file['bytes'])}"
        yield "", f"sha256 {file['sha256']}"
    for defect in facts["defects"]:
        yield "defect", f"{defect['name']}: the file {defect['problem']}; a repaired copy is used"
    if not facts["defects"]:
        yield "defects", "none found"
    yield "checks", f"{facts['checked']}, before llama.cpp sees the files"


def _draw(lines: list[tuple[str, str]]) -> None:
    if not is_interactive():
        # Not wrapped: a path or a hash must stay whole to be searched for.
        for label, words in lines:
            if words:
                say(f"{clean_line(label)}\t{clean_line(words)}")
        return
    from rich.table import Table
    from rich.text import Text

    from astrollava.cli._console import console

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=12, justify="right")
    table.add_column(overflow="fold")
    for label, words in lines:
        if words:
            table.add_row(Text(clean_line(label), style="dim"), Text(clean_line(words)))
    out = console()
    out.print()
    out.print(table)
