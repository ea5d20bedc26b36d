"""A `SkyImage` to 8-bit RGB of exactly the size a model wants, with a record of how."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava import _plugged
from astrollava.errors import RenderError
from astrollava.images._colour import choose_bands
from astrollava.images._resample import Frame, resample, resample_picture
from astrollava.images._scaling import STRETCHES, Interval, Limits, Stretch
from astrollava.images._sky import is_fractional, zeros_mean_no_data
from astrollava.images._tone import Combine, Tone, paint
from astrollava.images.sky_image import SkyImage

__all__ = [
    "STRETCHES",
    "VERSION",
    "Rendered",
    "Rendering",
    "check_options",
    "render",
    "versions_behind",
]

#: Raised whenever the same image and arguments would give other shades.
VERSION = 1

_LARGEST_SIDE = 16_384
_UNTOUCHED = Tone("none", (), "none", "none", ())

# Numbers of a detector: equal counts in two bands are no equal fluxes.
_DETECTOR_UNITS = ("adu", "ct", "count", "electron", "e-", "dn", "photon")


@dataclass(frozen=True)
class Rendering:
    """How a picture was made of an image: enough to make it again.

    ``render(image, size=r.size, rule=r.rule, interval=r.limits, stretch=r.stretch,
    combine=r.combine, background=r.background)`` gives the same picture for an image of two or
    three bands; leave out `combine` for one band, and all three choices for a finished picture.

    Attributes
    ----------
    version : int
        Version of the renderer.
    size : (int, int)
        Height and width of the output in pixels.
    rule : {"pad", "crop", "stretch"}
        How the image was fitted to it.
    background : (int, int, int)
        Shade of the padding.
    interval : str
        ``"auto"``, ``"zscale:0.25"``, ``"percentile:0.25,99.75"``, ``"minmax"``, ``"manual"``, or
        ``"none"`` for a finished picture.
    limits : tuple of (float, float)
        Values drawn black and white in each band, in the order red, (green,) blue.
    stretch : str
        Name and parameter, such as ``"asinh:0.01"``; ``"none"`` for a finished picture.
    combine : str
        ``"simple:5"``, ``"lupton"`` ...; ``"grey"`` for one band, ``"none"`` for a finished
        picture.
    automatic : tuple of str
        Which of interval, stretch and combine were chosen from the image.
    channels : mapping
        Band shown as ``red``, ``green`` and ``blue``; ``"mean"`` for the mean of two.
    flipped : bool
        True where row 0 of the image is at the bottom of the picture.
    box : (float, float, float, float)
        Part of the image that is shown, ``x0, y0, x1, y1`` in pixel edges.
    content : (int, int, int, int)
        Where it lies in the output: ``top, left, height, width``.
    scale : (float, float)
        Output pixels per image pixel, down and across.
    resampling : {"none", "hamming", "bicubic"}
        Kernel; ``hamming`` on the fluxes where the image shrinks, ``bicubic`` on the shades where
        it grows.
    masked_fraction : float
        Share of pixels in what is shown, in [0, 1], that are bad in any band shown. They are
        filled from the other bands, from their neighbours or with the level of the sky. Zeros where
        another band has data count as bad.
    """

    version: int
    size: tuple[int, int]
    rule: str
    background: tuple[int, int, int]
    interval: str
    limits: tuple[Limits, ...]
    stretch: str
    combine: str
    automatic: tuple[str, ...]
    channels: dict[str, str]
    flipped: bool
    box: tuple[float, float, float, float]
    content: tuple[int, int, int, int]
    scale: tuple[float, float]
    resampling: str
    masked_fraction: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and text, ready for JSON."""
        plain: dict[str, Any] = asdict(self)
        for name, value in plain.items():
            if isinstance(value, tuple):
                plain[name] = [list(v) if isinstance(v, tuple) else v for v in value]
        return plain


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture and how it was made.

    Attributes
    ----------
    rgb : ndarray
        Shades 0-255, uint8, shape ``(height, width, 3)``, C-contiguous, row 0 at the top.
    record : Rendering
        How it was made.
    """

    rgb: NDArray[np.uint8]
    record: Rendering


def render(
    image: SkyImage,
    *,
    size: tuple[int, int],
    rule: str = "pad",
    interval: str | Sequence[Any] | None = None,
    stretch: str | None = None,
    combine: str | None = None,
    background: Sequence[int] = (0, 0, 0),
) -> Rendered:
    """Draw an image at exactly `size`, north up where it is north up in the file.

    Parameters
    ----------
    image : SkyImage
        The image; it is not changed.
    size : (int, int)
        Height and width of the result in pixels.
    rule : {"pad", "crop", "stretch"}
        Show the whole image with bars of `background`; fill the frame from its middle; or squeeze
        both axes apart.
    interval : str or pair, optional
        What is black and what is white in each band: ``"zscale"``, ``"percentile:99.5"`` (the
        share of pixels kept) or ``"percentile:1,99.8"``, ``"minmax"``, limits ``(lo, hi)`` or
        ``"manual:lo,hi"``, or one pair for each band shown, red first. Percentiles and the like are
        those of the image as resampled for the output. By default from the sky and its noise.
    stretch : str, optional
        ``"linear"``, ``"log"``, ``"asinh"``, ``"sqrt"`` or ``"power"``, with a parameter after a
        colon if wanted: ``"asinh:0.05"``; defaults and meaning as in `astropy.visualization`
        (log 1000, asinh 0.1), power 2; or the name of a plugin's.
        By default asinh, softened at the noise of the sky.
    combine : str, optional
        For two or three bands: ``"simple"`` stretches each band alone, so that bright cores turn
        white; ``"lupton"`` stretches their mean and keeps colours (Lupton et al. 2004). A number
        fades colours where the signal is below that many times the noise: ``"simple:5"``, the
        default.
    background : sequence of int
        Red, green and blue of the padding, 0-255.

    Returns
    -------
    Rendered
        The picture and its `Rendering`.

    Raises
    ------
    RenderError
        If a size, rule, interval, stretch or combination does not exist or does not fit the image.

    Notes
    -----
    A finished 8-bit picture keeps its values, and is passed through bit by bit if it has the size
    already; with any of `interval`, `stretch` and `combine` it is treated as data. An image
    without a good pixel, a constant one and one of a single pixel are black.

    The automatic choice puts black one sigma below the sky, white at the percentile 99.7 but at
    least 200 sigma (50 for one band) above it, and softens asinh at two sigma: close to the
    pictures of the DESI Legacy Surveys. Where no flat sky is in the frame, black and white are the
    percentiles 0.5 and 99.7 and the median is a dark grey. g, r and z (or i) are weighted as in
    those pictures if they are on a common scale; other bands are balanced so that the objects of
    the frame are neutral on average.

    Examples
    --------
    >>> from astrollava.images import example, read, render
    >>> picture = render(read(example()), size=(96, 96))
    >>> picture.rgb.shape, picture.record.channels
    ((96, 96, 3), {'red': 'z', 'green': 'r', 'blue': 'g'})
    """
    height, width = _sides(size)
    shade = _shade(background)
    telescope = str(image.meta.get("telescope", ""))
    chosen = choose_bands(image.bands, telescope, red_last=image.red_last)
    frame = Frame.fit(image.shape, (height, width), rule)
    if image.display and interval is None and stretch is None and combine is None:
        # A picture of two planes has no third colour: it is drawn grey.
        planes = chosen if len(chosen) == 3 else chosen[:1]
        content, tone, masked = _picture(image, planes, frame), _UNTOUCHED, 0.0
    else:
        planes = chosen
        content, tone, masked = _data(image, planes, frame, interval, stretch, combine)
    if image.origin == "lower":
        content = content[::-1]
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    rgb[...] = shade
    rgb[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width] = content
    record = Rendering(
        version=VERSION,
        size=(height, width),
        rule=rule,
        background=shade,
        interval=tone.interval,
        limits=tone.limits,
        stretch=tone.stretch,
        combine=tone.combine,
        automatic=tone.chosen,
        channels=_channels([image.bands[plane] for plane in planes]),
        flipped=image.origin == "lower",
        box=frame.box,
        content=(frame.top, frame.left, frame.height, frame.width),
        scale=frame.scale,
        resampling=frame.method,
        masked_fraction=masked,
    )
    return Rendered(rgb, record)


def check_options(
    *,
    interval: str | Sequence[Any] | None = None,
    stretch: str | None = None,
    combine: str | None = None,
) -> None:
    """Refuse options that `render` would refuse for any image.

    Parameters
    ----------
    interval, stretch, combine
        As for `render`.

    Raises
    ------
    RenderError
        If an interval, stretch or combination does not exist.
    """
    if interval is not None:
        Interval.parse(interval)
    if stretch is not None:
        Stretch.parse(stretch)
    if combine is not None:
        Combine.parse(combine)


def versions_behind(record: Rendering) -> dict[str, str]:
    """Return distribution -> version of the plugin whose stretch was used; nothing for our own.

    Parameters
    ----------
    record : Rendering
        How a picture was made.
    """
    name = record.stretch.partition(":")[0]
    if name in STRETCHES or name == _UNTOUCHED.stretch:
        return {}
    offer = _plugged.offered("stretches").get(name)
    if offer is None:
        return {}
    # One that no distribution brought, as in a test, has a name of its own all the same.
    return {offer.distribution or f"plugin {offer.plugin}": offer.version or "unknown"}


def _picture(image: SkyImage, planes: Sequence[int], frame: Frame) -> NDArray[np.uint8]:
    values = image.pixels[list(planes) if len(planes) == 3 else [*planes] * 3]
    shades = np.clip(np.nan_to_num(values, nan=0.0), 0.0, 255.0).astype(np.uint8)
    return resample_picture(np.moveaxis(shades, 0, -1), frame)


def _data(
    image: SkyImage,
    planes: Sequence[int],
    frame: Frame,
    interval: str | Sequence[Any] | None,
    stretch: str | None,
    combine: str | None,
) -> tuple[NDArray[np.uint8], Tone, float]:
    if combine is not None and len(planes) == 1:
        raise RenderError(
            f"combine={combine!r} for an image of one band", expected="two or three bands"
        )
    asked = Interval.parse(interval).divided_by(image.scale) if interval is not None else None
    if asked is None and image.display:
        # Of a finished picture black and white are known.
        asked = Interval.parse((0, 255))
    area, inside = frame.work_area()
    grows = frame.method == "bicubic"
    values = _good_planes(image, planes)
    shades, tone = paint(
        [v[area] for v in values] if grows else [resample(v, frame) for v in values],
        [image.bands[plane] for plane in planes],
        interval=asked,
        stretch=Stretch.parse(stretch) if stretch is not None else None,
        combine=Combine.parse(combine) if combine is not None else None,
        calibrated=not (image.unit or "").lower().startswith(_DETECTOR_UNITS),
    )
    shades = resample_picture(shades, inside) if grows else shades
    if image.scale != 1:
        shown = tuple((low * image.scale, high * image.scale) for low, high in tone.limits)
        tone = replace(tone, limits=shown)
    return shades, tone, _masked([v[area] for v in values])


def _good_planes(image: SkyImage, planes: Sequence[int]) -> list[NDArray[np.float32]]:
    """Return the planes to show, with NaN for every bad pixel."""
    values = [image.pixels[plane] for plane in planes]
    if image.mask is not None:
        # The mask also marks pixels that are bad in some bands only; they are good in the others.
        flagged = image.mask & np.isfinite(image.pixels).all(axis=0)
        bad = [flagged | ~np.isfinite(plane) for plane in values]
        values = [np.where(b, np.float32(np.nan), v) for b, v in zip(bad, values, strict=True)]
    if len(values) > 1:
        zero = [plane == 0 for plane in values]
        all_zero = np.all(zero, axis=0)
        # A band that is nothing but zeros was not observed here, unless photons are counted.
        dead = [bool(z.all()) for z in zero]
        measured = any(dead) and any(map(is_fractional, values))
        values = [
            np.where(z & ~all_zero, np.float32(np.nan), v)
            if (measured and nothing) or zeros_mean_no_data(v)
            else v
            for z, nothing, v in zip(zero, dead, values, strict=True)
        ]
    return values


def _masked(planes: Sequence[NDArray[np.float32]]) -> float:
    return round(float(np.mean(~np.isfinite(planes).all(axis=0))), 6)


def _channels(bands: list[str]) -> dict[str, str]:
    red, blue = bands[0], bands[-1]
    green = bands[1] if len(bands) == 3 else "mean" if len(bands) == 2 else red
    return {"red": red, "green": green, "blue": blue}


def _sides(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise RenderError(f"size is {size!r}", expected="(height, width) in pixels") from None
    if not (0 < height <= _LARGEST_SIDE and 0 < width <= _LARGEST_SIDE):
        raise RenderError(f"size is {size!r}", expected=f"sides from 1 to {_LARGEST_SIDE}")
    return height, width


def _shade(background: Sequence[int]) -> tuple[int, int, int]:
    try:
        red, green, blue = (operator.index(value) for value in background)
    except (TypeError, ValueError):
        raise RenderError(f"background is {background!r}", expected="three integers") from None
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise RenderError(f"background is {background!r}", expected="integers from 0 to 255")
    return red, green, blue
