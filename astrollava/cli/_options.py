"""The options that several commands share, and how their words are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.errors import EmptyImage, ImageTooLarge, InvalidRequest

if TYPE_CHECKING:
    from astrollava.describer import Describer

__all__ = [
    "Bands",
    "Combine",
    "Cutout",
    "GpuLayers",
    "Hdu",
    "Interval",
    "Json",
    "MaxTokens",
    "Mmproj",
    "MmprojQuantize",
    "Model",
    "Seed",
    "Source",
    "Sources",
    "Stretch",
    "Temperature",
    "Threads",
    "image_arguments",
    "open_describer",
    "parse_bands",
    "parse_cutout",
    "parse_hdu",
    "parse_source",
    "sampling_arguments",
]

#: Bytes read of standard input, of which the size is not known before: what `images.read` takes.
_MOST_PIPED = 8 * 100_000_000 + (64 << 20)

_IMAGE = "The image"
_ANSWER = "The answer"
_MODEL = "The model"

Source = Annotated[
    str, typer.Argument(metavar="SRC", help="A FITS file or a picture; - reads standard input.")
]
Sources = Annotated[
    list[str],
    typer.Argument(metavar="SRC...", help="FITS files or pictures; - reads standard input."),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Write one JSON object a line.")]

Hdu = Annotated[
    str | None,
    typer.Option(metavar="N|NAME", help="The HDU of a FITS file.", rich_help_panel=_IMAGE),
]
Cutout = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,SIZE",
        help="Only a part: pixels (120,80,64), or sky (202.47d,47.19d,5arcmin).",
        rich_help_panel=_IMAGE,
    ),
]
Bands = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES", help="Planes of a cube, red last: grz or 0,5,9.", rich_help_panel=_IMAGE
    ),
]
Stretch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="linear, log, asinh, sqrt or power; asinh:0.05 sets its parameter.",
        rich_help_panel=_IMAGE,
    ),
]
Interval = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What is black and white: zscale, minmax, percentile:99.5 or manual:0,12.",
        rich_help_panel=_IMAGE,
    ),
]
Combine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How bands become colours: simple or lupton.",
        rich_help_panel=_IMAGE,
    ),
]

MaxTokens = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="The longest answer.", rich_help_panel=_ANSWER),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=10.0,
        metavar="T",
        help="0 repeats itself; more varies.",
        rich_help_panel=_ANSWER,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2**32 - 2,
        metavar="N",
        help="Repeats an answer that varies.",
        rich_help_panel=_ANSWER,
    ),
]

Model = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="A model or its GGUF file.", rich_help_panel=_MODEL),
]
Mmproj = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The projector of that GGUF file.", rich_help_panel=_MODEL),
]
MmprojQuantize = Annotated[
    str | None,
    typer.Option(
        "--mmproj-quantize",
        metavar="TYPE",
        help="The vision tower's type; by default as TYPE in f32, f16 and bf16, else q8_0.",
    ),
]
GpuLayers = Annotated[
    int, typer.Option(metavar="N", help="Layers on the GPU; -1 for all.", rich_help_panel=_MODEL)
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="CPU threads.", rich_help_panel=_MODEL),
]


def parse_source(source: str) -> str | bytes:
    """Return the path itself, or what standard input holds where it is ``-``."""
    if source != "-":
        return source
    import sys

    # There is none at all where it is closed.
    piped = b"" if sys.stdin is None else sys.stdin.buffer.read(_MOST_PIPED + 1)
    if len(piped) > _MOST_PIPED:
        raise ImageTooLarge(
            f"standard input holds more than {_MOST_PIPED:,} bytes",
            hint="Write it to a file, and give its path with --cutout",
        )
    if not piped:
        raise EmptyImage(
            "standard input is empty", hint="Send an image: astrollava describe - < cutout.fits"
        )
    return piped


def parse_hdu(hdu: str | None) -> int | str | None:
    """Return the number of an HDU where `hdu` is one, else its name.

    Examples
    --------
    >>> parse_hdu("1"), parse_hdu("SCI")
    (1, 'SCI')
    """
    if hdu is not None and _is_number(hdu):
        return int(hdu)
    return hdu


def parse_bands(bands: str | None) -> str | list[int] | None:
    """Return the numbers of planes where `bands` are numbers, else their names.

    Examples
    --------
    >>> parse_bands("0,5,9"), parse_bands("grz")
    ([0, 5, 9], 'grz')
    """
    if bands is None:
        return None
    parts = [part.strip() for part in bands.split(",")]
    if not any(parts):
        raise InvalidRequest(
            "--bands is empty", expected="names or 0-based numbers, such as grz or 0,5,9"
        )
    return [int(part) for part in parts] if all(map(_is_number, parts)) else bands


def _is_number(word: str) -> bool:
    # A longer one is none of anything; of thousands of digits Python makes no number.
    return word.isdecimal() and len(word) <= 18


def parse_cutout(cutout: str | None) -> tuple[Any, Any] | None:
    """Read ``X,Y,SIZE`` or ``X,Y,WIDTH,HEIGHT``.

    Plain numbers are pixels, counted from zero at the centre of the first one. Coordinates and
    sizes with a unit are on the sky.

    Returns
    -------
    position, size : tuple
        What `astrollava.images.read` takes: ``(x, y)`` or a `~astropy.coordinates.SkyCoord`
        (ICRS); ``(ny, nx)`` pixels or `~astropy.units.Quantity` of angles.

    Raises
    ------
    InvalidRequest
        If it cannot be read as either.

    Examples
    --------
    >>> parse_cutout("120,80,64")
    ((120.0, 80.0), (64, 64))
    """
    if cutout is None:
        return None
    parts = [part.strip() for part in cutout.split(",")]
    try:
        if len(parts) not in {3, 4}:
            raise ValueError("three or four parts are needed")
        x, y, *sizes = parts
        # The last one is the height: arrays are indexed (ny, nx).
        return _position(x, y), (_length(sizes[-1]), _length(sizes[0]))
    except ValueError as error:
        raise InvalidRequest(
            f"--cutout {cutout!r} cannot be read: {error}",
            expected="X,Y,SIZE or X,Y,WIDTH,HEIGHT, in pixels or with units",
            hint="For example 120,80,64 or 202.47d,47.19d,5arcmin or 13h29m53s,47d11m43s,5arcmin",
        ) from None


def _position(x: str, y: str) -> Any:
    try:
        return float(x), float(y)
    except ValueError:
        from astropy.coordinates import SkyCoord

        return SkyCoord(x, y)


def _length(size: str) -> Any:
    try:
        pixels = int(size)
    except ValueError:
        from astropy.coordinates import Angle

        angle = Angle(size)
        if angle <= 0:
            raise ValueError(f"the size {size} is not positive") from None
        return angle
    if pixels <= 0:
        raise ValueError(f"the size {size} is not positive")
    return pixels


def image_arguments(
    hdu: str | None,
    cutout: str | None,
    bands: str | None,
    stretch: str | None,
    interval: str | None,
    combine: str | None,
) -> dict[str, Any]:
    """Return the arguments `Describer` takes about the image, those given only.

    Raises
    ------
    InvalidRequest, RenderError
        If one of them can be right for no image at all.
    """
    from astrollava.images import check_options

    check_options(interval=interval, stretch=stretch, combine=combine)
    return _given(
        hdu=parse_hdu(hdu),
        cutout=parse_cutout(cutout),
        bands=parse_bands(bands),
        stretch=stretch,
        interval=interval,
        combine=combine,
    )


def sampling_arguments(
    max_tokens: int | None, temperature: float | None, seed: int | None
) -> dict[str, Any]:
    """Return the arguments `Describer` takes about the answer, those given only."""
    return _given(max_tokens=max_tokens, temperature=temperature, seed=seed)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def open_describer(
    model: str, mmproj: Path | None, gpu_layers: int = 0, threads: int | None = None
) -> Describer:
    """Return the `Describer` that the options about the model ask for."""
    from astrollava.describer import Describer

    return Describer(model, mmproj=mmproj, n_gpu_layers=gpu_layers, threads=threads)
