"""``astrollava fetch``: an image of a place on the sky, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astropy.units import Quantity

    from astrollava.images import SkyImage

__all__ = ["fetch", "parse_angle"]


def fetch(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A name (M51) or a position: '13:29:52.7 +47:11:43', '202.4696 47.1953'.",
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
    picture: Annotated[
        bool, typer.Option("--picture", metavar="", help="Also write a PNG beside it, and show it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1.0, metavar="SECONDS", help="How long all of it may take.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Fetch an image of a place on the sky from a survey."""
    from astrollava.hooks.fetching import locate
    from astrollava.hooks.fetching.saving import save

    if bands is not None and all_bands:
        raise InvalidRequest("both --bands and --all-bands", expected="one of them")
    _check_output(output)
    angle = parse_angle(size)
    found = locate(target, timeout=min(timeout, 20.0))
    image = _fetched(source, found.position, angle, pixels, bands, all_bands, timeout)
    record = image.describe_source()
    if found.name:
        record["target"] = found.name
    image = _with_source(image, record)
    files = [save(image, output)]
    if picture and output.suffix.lower() != ".png":
        files.append(save(image, output.with_suffix(".png")))
    if as_json:
        write_json({"files": [str(file) for file in files], **record})
        return
    if picture and is_interactive():
        _show(files[-1])
    for file in files:
        say(clean_line(str(file)))
    _note(image, record)


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


def _check_output(output: Path) -> None:
    from astrollava.hooks.fetching.saving import check_name

    check_name(output)
    if not output.parent.is_dir():
        raise InvalidRequest(f"there is no folder {str(output.parent)!r}", hint="Make it first")
    if output.is_dir():
        raise InvalidRequest(f"{str(output)!r} is a folder", expected="the name of a file")


def _fetched(
    source: str,
    position: Any,
    size: Quantity,
    pixels: int | None,
    bands: str | None,
    all_bands: bool,
    timeout: float,
) -> SkyImage:
    from astrollava.hooks.fetching import choose
    from astrollava.hooks.fetching import fetch as get
    from astrollava.hooks.manager import plugins

    if not all_bands:
        return get(source, position, size, pixels=pixels, bands=bands, timeout=timeout)
    chosen = ""
    if source == "auto":
        best = choose(position, size, pixels=pixels)[0]
        source, chosen = best.fetcher.name, best.reason
    every = plugins().get_fetcher(source).bands
    image = get(source, position, size, pixels=pixels, bands=every, timeout=timeout)
    return _with_source(image, {**image.source, "chosen": chosen}) if chosen else image


def _with_source(image: SkyImage, source: dict[str, Any]) -> SkyImage:
    import dataclasses

    return dataclasses.replace(image, source=source)


def _show(file: Path) -> None:
    import os

    from astrollava.cli._console import console
    from astrollava.cli.picture import print_picture

    say("")
    print_picture(console(), file.read_bytes(), os.environ)


def _note(image: SkyImage, record: dict[str, Any]) -> None:
    """Say on standard error what it is, why this survey, and whom to name."""
    from rich.text import Text

    from astrollava.cli._console import err

    ny, nx = image.shape
    scale = f", {image.pixel_scale:.3g} arcsec/pixel" if image.pixel_scale else ""
    lines = {
        "survey": f"{record['survey']}, {', '.join(image.bands)}; {nx} x {ny} pixels{scale}",
        "chosen": record.get("chosen", ""),
        "credit": record["credit"],
        "licence": record["licence"],
    }
    for label, words in lines.items():
        if words:
            line = Text(f"{label:8}", style="dim").append(clean_line(words), style="default")
            err().print(line, soft_wrap=True)
