"""``astrollava bundle``: a model and cutouts in one file, for machines without a network."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from astrollava.cli._failures import guarded
from astrollava.cli._options import Json, Mmproj, Model
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, say
from astrollava.cli.models._words import progress_bars
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.bundle import Bundle

__all__ = ["app", "create", "use"]

#: Settings that ``astrollava describe`` has options for; the others are for Python.
_FLAGS: Final = {
    "prompt": "--prompt",
    "n_gpu_layers": "--gpu-layers",
    "threads": "--threads",
    "bands": "--bands",
    "interval": "--interval",
    "stretch": "--stretch",
    "combine": "--combine",
    "max_tokens": "--max-tokens",
    "temperature": "--temperature",
    "seed": "--seed",
}

app = typer.Typer(
    name="bundle",
    help="Carry a model and cutouts to a machine without a network.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def create(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The file to write.")],
    model: Model = "embedded",
    mmproj: Mmproj = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the model there.")
    ] = None,
    cutouts: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="An image or a folder of images; more than once."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option to use there: max_tokens=80."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", "--force", metavar="", help="Replace an earlier bundle."),
    ] = False,
) -> None:
    """Write a model, with cutouts and settings, into one file.

    Prints its digest: who passes that on by another way lets the receiver know the bundle is the
    one that was sent.
    """
    from astrollava.bundle import create as write

    with progress_bars() as progress:
        digest = write(
            path,
            model,
            mmproj=mmproj,
            name=name,
            cutouts=cutouts or (),
            settings=dict(map(_setting, settings or ())),
            overwrite=overwrite,
            progress=progress,
            left_out=_note,
        )
    # Not as sha256sum writes it: it is the digest of what is inside, not of the file.
    say(f"digest {digest}")


def _note(sentence: str) -> None:
    sys.stderr.write(f"note   {clean_line(sentence)}\n")


def _setting(words: str) -> tuple[str, Any]:
    key, equals, value = words.partition("=")
    if not equals:
        raise InvalidRequest(f"--set {words!r} cannot be read", expected="KEY=VALUE")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def use(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The file to unpack.")],
    folder: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where to; the cache by default."),
    ] = None,
    digest: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="What 'bundle create' printed: refuse any other."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle and unpack it, so that its model works by its name without a network."""
    from astrollava.bundle import use as unpack

    with progress_bars() as progress:
        bundle = unpack(path, folder, digest=digest, progress=progress)
    if as_json:
        write_json(
            {
                "folder": str(bundle.folder),
                "model": bundle.model.name,
                "text": str(bundle.model.text),
                "mmproj": str(bundle.model.mmproj),
                "cutouts": [str(file) for file in bundle.cutouts],
                "settings": dict(bundle.settings),
                "digest": bundle.digest,
            }
        )
        return
    say(f"{bundle.model.name} is in {bundle.folder}")
    if bundle.settings:
        # As in JSON: what a manifest says stays on this line.
        kept = (f"{name}={json.dumps(value)}" for name, value in bundle.settings.items())
        say("with " + ", ".join(kept))
    shown = {n: str(v) for n, v in bundle.settings.items() if n in _FLAGS and str(v).isprintable()}
    others = [name for name in bundle.settings if name not in shown]
    if others:
        say(f"only in Python (bundle.use, then Bundle.describer and .options): {', '.join(others)}")
    say("Next: " + _next(bundle, shown, by_name=folder is None))


def _next(bundle: Bundle, settings: dict[str, str], *, by_name: bool) -> str:
    # "./" in front: a folder may be called as a model of the catalogue is, or begin with a dash.
    folder = os.path.join(os.curdir, bundle.folder)
    called = bundle.model.name if by_name else folder
    command = ["astrollava", "describe", "--model", called]
    for name, value in settings.items():
        command += [_FLAGS[name], value]
    if not bundle.cutouts:
        return shlex.join([*command, "cutout.fits"])
    # The star is for the shell and must not be quoted.
    return shlex.join([*command, os.path.join(folder, "cutouts")]) + "/*"


app.command("create")(guarded(create))
app.command("use")(guarded(use))
