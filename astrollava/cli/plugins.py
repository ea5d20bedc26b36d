"""``astrollava plugins``: which there are, what they give, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from astrollava.cli._failures import guarded
from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.hooks import BrokenPlugin, Plugin, Plugins
    from astrollava.hooks.checks import Finding

__all__ = ["app", "check", "list_plugins", "show"]

app = typer.Typer(
    name="plugins",
    help="List, show and check plugins.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SHOWN: Final = {
    "fetchers": (
        "version", "survey", "wavelength", "bands", "default_bands", "footprint", "pixel_scale",
        "scale_range", "max_size", "max_pixels", "depth", "licence", "credit", "url", "hosts",
    ),
    "fact_providers": ("credit", "url"),
    "models": ("title", "licence", "good_at", "needs", "note", "repo"),
    "readers": ("suffixes",),
    "vocabularies": ("labels", "question"),
    "exporters": ("suffix",),
}  # fmt: skip
_STATES: Final = {"ok": "green", "missing": "yellow", "broken": "red", "blocked": "dim"}


def list_plugins(as_json: Json = False) -> None:
    """List the plugins that are installed: in use, short of a package, broken, or blocked."""
    from astrollava.hooks import plugins

    there = plugins()
    rows = list(_rows(there))
    if as_json:
        for row in rows:
            write_json(row)
    elif is_interactive():
        _draw(rows)
    else:
        for row in rows:
            say("\t".join(clean_line(word) or "-" for word in _words(row)))
    _note_unknown(there)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a plugin.")],
    as_json: Json = False,
) -> None:
    """Show what a plugin gives, or why it is broken."""
    from astrollava.hooks import plugins

    there = plugins()
    found = _find(there, name)
    if as_json:
        record: dict[str, Any] = {**found}
        if "gives" in found:
            record["things"] = {
                kind: {thing: dict(_facts(there, kind, thing)) for thing in names}
                for kind, names in found["gives"].items()
            }
        write_json(record)
        return
    for label in ("name", "distribution", "version", "module", "state", "needs", "reason"):
        if found.get(label):
            say(f"{label}\t{clean_line(str(found[label]))}")
    if found.get("hooks"):
        say(f"hooks\t{clean_line(', '.join(found['hooks']))}")
    for kind, names in found.get("gives", {}).items():
        for thing in names:
            say(f"{kind}\t{clean_line(thing)}")
            for label, words in _facts(there, kind, thing):
                say(f"  {label}\t{clean_line(words)}")
    if found.get("trace"):
        say(str(found["trace"]))


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Plugins; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that plugins keep the contract, without asking any service.

    The exit code is 1 if one does not. A package that one needs and that is not installed is said.
    """
    from astrollava.hooks import plugins
    from astrollava.hooks.checks import examine_plugins

    there = plugins()
    wanted = [_find(there, name)["name"] for name in names or ()]
    findings = examine_plugins(there, wanted)
    if as_json:
        for finding in findings:
            write_json(dataclasses.asdict(finding))
    else:
        for line in _report(findings):
            say(line)
    _note_unknown(there)
    if any(finding.fault for finding in findings):
        raise typer.Exit(1)


def _report(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each plugin where all is well or it is blocked, and for each fault."""
    faulty = {finding.plugin for finding in findings if finding.fault}
    sound: dict[str, str] = {}
    for finding in findings:
        if not finding.fault:
            known = sound.get(finding.plugin, "")
            sound[finding.plugin] = known if known not in ("", "ok") else _said(finding)
    for plugin, said in sound.items():
        if plugin not in faulty:
            yield f"{clean_line(plugin)}\t{clean_line(said)}"
    for finding in findings:
        if finding.fault:
            about = f"{finding.about}: " if finding.about else ""
            yield f"{clean_line(finding.plugin)}\t{clean_line(about + finding.fault)}"


def _said(finding: Finding) -> str:
    """Return what is said of what has no fault."""
    return f"needs {finding.needs}" if finding.needs else finding.status


def _rows(there: Plugins) -> Iterator[dict[str, Any]]:
    for plugin in there.loaded:
        lacked = _lacked(there, plugin)
        yield {**_about(plugin), "state": "missing" if lacked else "ok",
               **({"needs": lacked} if lacked else {}), "gives": dict(plugin.gives),
               "hooks": list(plugin.hooks), "seconds": round(plugin.seconds, 4)}  # fmt: skip
    for broken in there.broken:
        yield {**_about(broken), "state": "broken", "reason": broken.reason}
    for name in there.blocked:
        yield {"name": name, "state": "blocked"}


def _lacked(there: Plugins, plugin: Plugin) -> str:
    """Say what things of a plugin need and have not; empty where nothing is missing."""
    from astrollava.hooks.packages import needs

    said = {
        needs(there.offered(kind)[name].value)
        for kind, names in plugin.gives.items()
        for name in names
    }
    return "; ".join(sorted(said - {""}))


def _about(plugin: Plugin | BrokenPlugin) -> dict[str, str]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
    }


def _words(row: dict[str, Any]) -> tuple[str, str, str, str]:
    where = f"{row.get('distribution', '')} {row.get('version', '')}".strip()
    said = row.get("reason", "")
    if "gives" in row:
        said = "; ".join(
            f"{kind.replace('_', ' ')}: {', '.join(names)}" for kind, names in row["gives"].items()
        )
        if "astrollava_after_describe" in row["hooks"]:
            said = "; ".join(filter(None, (said, "told of descriptions")))
        if "needs" in row:
            said = f"needs {row['needs']}; {said}"
    return row["name"], row["state"], where, said


def _draw(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from astrollava.cli._console import console

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        name, state, where, said = (clean_line(word) for word in _words(row))
        table.add_row(
            Text(f"  {name}", style="bold" if state == "ok" else ""),
            Text(state, style=_STATES[state]),
            Text(where, style="dim"),
            Text(said),
        )
    out = console()
    out.print()
    out.print(table if rows else "  No plugin is installed.")
    out.print("\n  More of one: astrollava plugins show NAME\n", style="dim")


def _find(there: Plugins, name: str) -> dict[str, Any]:
    from difflib import get_close_matches

    from astrollava.hooks._giving import kind_of

    rows = {row["name"]: row for row in _rows(there)}
    wanted = name.strip().lower()
    if wanted in rows:
        row = rows[wanted]
        traces = [broken.trace for broken in there.broken if broken.name == wanted]
        return {**row, "trace": traces[0]} if traces else row
    near = get_close_matches(wanted, rows, n=2)
    owners = [
        f"{wanted} is a {kind_of(kind)} of the plugin {row['name']}"
        for row in rows.values()
        for kind, names in row.get("gives", {}).items()
        if wanted in names
    ]
    hint = f"Did you mean {' or '.join(near)}?" if near else "See: astrollava plugins list"
    raise InvalidRequest(f"there is no plugin {name!r}", hint=owners[0] if owners else hint)


def _facts(there: Plugins, kind: Any, name: str) -> Iterator[tuple[str, str]]:
    thing = there.offered(kind)[name].value
    for label in _SHOWN.get(kind, ()):
        value = getattr(thing, label, None)
        if isinstance(value, tuple):
            value = ", ".join(str(part) for part in value)
        if value not in (None, ""):
            yield label.replace("_", " "), str(value)


def _note_unknown(there: Plugins) -> None:
    if there.unknown:
        typer.echo(
            f"note  ASTROLLAVA_PLUGINS names no plugin: {clean_line(', '.join(there.unknown))}",
            err=True,
        )


for _name, _command in (("list", list_plugins), ("show", show), ("check", check)):
    app.command(_name)(guarded(_command))
