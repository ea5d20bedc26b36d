"""``astrollava fetch``: an image of a place on the sky, as a file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astropy.units import Quantity

    from astrollava.images import SkyImage

__all__ = ["SETTINGS", "fetch", "parse_angle"]

#: What begins with a dash may be a declination. `fetch` refuses all else that is no option.
SETTINGS: Final = {"ignore_unknown_options": True}
_SOUTHERN: Final = re.compile(r"-\.?[0-9]")


def fetch(
    context: typer.Context,
    target: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="A name (M51) or a position: 13:29:52.7 +47:11:43, 202.4696 47.1953.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Where it goes: out.fits or out.png."),
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME",
            help="The service to ask: see astrollava plugins list; auto chooses.",
        ),
    ] = "auto",
    size: Annotated[
        str, typer.Option(metavar="ANGLE", help="The side: 3arcmin, 90arcsec, 0.1deg.")
    ] = "3arcmin",
    pixels: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Pixels along a side; the survey's own by default."),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Bands to fetch: grz or F606W,F814W.")
    ] = None,
    all_bands: Annotated[
        bool, typer.Option("--all-bands", metavar="", help="Fetch every band there is.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace a file that is there.")
    ] = False,
    picture: Annotated[
        bool, typer.Option("--picture", metavar="", help="Also write a PNG beside it, and show it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1.0, metavar="SECONDS", help="How long all of it may take.")
    ] = 60.0,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", metavar="", help="Ask the service, also for what was fetched before."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch an image of a place on the sky from a survey."""
    from astrollava.hooks.fetching import fetch as get
    from astrollava.hooks.fetching import locate
    from astrollava.hooks.fetching.cache import found_again
    from astrollava.hooks.fetching.saving import save

    if bands is not None and all_bands:
        raise InvalidRequest("both --bands and --all-bands", expected="one of them")
    words = _joined(context, target)
    beside = output.with_suffix(".png") if picture and output.suffix.lower() != ".png" else None
    for file in filter(None, (output, beside)):
        _check_output(file, overwrite)
    angle = parse_angle(size)
    found = locate(words, timeout=min(timeout, 20.0))
    chosen = "all" if all_bands else bands
    with found_again() as again:
        image = get(
            source,
            found.position,
            angle,
            pixels=pixels,
            bands=chosen,
            timeout=timeout,
            cache=not no_cache,
        )
    record = image.describe_source()
    if found.name:
        record["target"] = found.name
    image = dataclasses.replace(image, source=record)
    files = [save(image, file) for file in filter(None, (output, beside))]
    if as_json:
        write_json({"files": [str(file) for file in files], "from_cache": bool(again), **record})
        return
    if picture and is_interactive():
        _show(files[-1])
    for file in files:
        say(clean_line(str(file)))
    _note(image, record, from_cache=bool(again))


def parse_angle(words: str) -> Quantity:
    """Read an angle such as ``3arcmin``, ``3'``, ``90"`` or ``0.1 deg``."""
    import math

    from astropy import units as u

    plain = words.strip().replace("′", "'").replace("″", '"')
    for sign, unit in (('"', "arcsec"), ("'", "arcmin")):
        if plain.endswith(sign):
            plain = plain.removesuffix(sign) + unit
    try:
        angle = u.Quantity(plain)
        good = angle.isscalar and angle.unit.is_equivalent(u.deg)
        good = good and math.isfinite(angle.value) and angle.value > 0
    except (ValueError, TypeError):
        good = False
    if not good:
        raise InvalidRequest(f"--size {words!r}", expected="an angle: 3arcmin, 90arcsec, 0.1deg")
    return angle


def _joined(context: typer.Context, words: Sequence[str]) -> str:
    """Join the words of a target; those that begin with a dash are declinations, or mistakes."""
    for word in words:
        if word.startswith("-") and not _SOUTHERN.match(word):
            options = [name for option in context.command.params for name in option.opts]
            near = get_close_matches(word.partition("=")[0], options, n=2)
            raise InvalidRequest(
                f"there is no option {word}",
                hint=f"Did you mean {' or '.join(near)}?" if near else "See: astrollava fetch -h",
            )
    return " ".join(words)


def _check_output(output: Path, overwrite: bool) -> None:
    from astrollava.hooks.fetching.saving import check_name

    check_name(output)
    if not output.parent.is_dir():
        raise InvalidRequest(f"there is no folder {str(output.parent)!r}", hint="Make it first")
    if output.is_dir():
        raise InvalidRequest(f"{str(output)!r} is a folder", expected="the name of a file")
    if output.exists() and not overwrite:
        raise InvalidRequest(
            f"{str(output)!r} is there already",
            expected="a new file",
            hint="Give another name; --overwrite replaces the file",
        )


def _show(file: Path) -> None:
    import os

    from astrollava.cli._console import console
    from astrollava.cli.picture import print_picture

    say("")
    print_picture(console(), file.read_bytes(), os.environ)


def _note(image: SkyImage, record: dict[str, Any], *, from_cache: bool) -> None:
    """Say on standard error what it is, why this survey, and whom to name."""
    from rich.text import Text

    from astrollava.cli._console import err

    ny, nx = image.shape
    scale = f", {image.pixel_scale:.3g} arcsec/pixel" if image.pixel_scale else ""
    lines = {
        "survey": f"{record['survey']}, {', '.join(image.bands)}; {nx} x {ny} pixels{scale}",
        "chosen": record.get("chosen", ""),
        "cache": f"fetched {record['time']}; --no-cache asks again" if from_cache else "",
        "credit": record["credit"],
        "licence": record["licence"],
    }
    for label, words in lines.items():
        if words:
            line = Text(f"{label:8}", style="dim").append(clean_line(words), style="default")
            err().print(line, soft_wrap=True)
