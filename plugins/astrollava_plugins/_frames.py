"""What services send, as one `SkyImage` of the square that was asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.wcs import NoConvergence, WcsError

from astrollava.errors import EmptyCutout, OutsideFootprint, ServiceError
from astrollava.hooks.fetching.reading import read_answer
from astrollava.images import SkyImage

if TYPE_CHECKING:
    from astrollava.hooks.fetching import Cutout

__all__ = [
    "MAX_FRAME",
    "PLAIN",
    "Remaining",
    "flat_share",
    "read_frame",
    "read_picture",
    "share_of",
    "together",
    "without_zeros",
]

#: The most values of one frame that are read.
MAX_FRAME = 36_000_000
#: Of 1,000 real galaxy pictures none has more than a fifth of its pixels in one colour.
PLAIN = 0.6
# Grids count as one where their corners lie this near to each other, in pixels.
_SAME = 0.05
# What coordinates that make no sense raise, on their way through astropy and numpy.
_ASTRAY = (ValueError, ArithmeticError, NoConvergence, WcsError)


class Remaining:
    """The seconds left for several requests, of those allowed for all of them.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self) -> float:
        """Return what is left; zero where that is none, at which a request gives up at once."""
        return max(0.0, self._end - time.monotonic())


def read_frame(body: bytes, service: str, *, max_pixels: int = MAX_FRAME) -> SkyImage:
    """Read an image that a service sent.

    Parameters
    ----------
    body : bytes
        FITS or a picture.
    service : str
        What the service is called in errors.
    max_pixels : int
        The most values to read.

    Raises
    ------
    EmptyCutout, CutoutTooLarge, UnreadableAnswer, ServiceError
        As of `astrollava.hooks.fetching.read_answer`.
    """
    return read_answer(body, service, max_pixels=max_pixels)


def without_zeros(image: SkyImage) -> SkyImage:
    """Return a coadd with NaN where it has exact zeros: nothing was observed there."""
    return replace(image, pixels=np.where(image.pixels == 0, np.float32(np.nan), image.pixels))


def share_of(plan: Cutout, frame: SkyImage) -> float:
    """Return the share of the square asked for in which a frame of one plane has values."""
    from astrollava_plugins._grid import cut

    if frame.pixel_scale is None:
        return 0.0
    side = float(plan.size.to_value("arcsec")) / frame.pixel_scale
    if side > 2 * max(frame.shape):
        # What lies far beyond the frame need not be made to be counted.
        return float(np.isfinite(frame.pixels[0]).sum() / side**2)
    try:
        plane, _ = cut(frame.pixels[0], frame.wcs, plan.position, plan.size)
    except (OutsideFootprint, *_ASTRAY):
        return 0.0
    return float(np.isfinite(plane).mean())


def read_picture(body: bytes, plan: Cutout, service: str) -> SkyImage:
    """Read a picture, north up and east left, that a service sent for a square.

    Parameters
    ----------
    body : bytes
        JPEG or the like.
    plan : Cutout
        What was asked for.
    service : str
        What the service is called in errors.

    Raises
    ------
    CutoutTooLarge
        If it holds far more pixels.
    ServiceError
        If it cannot be read, is no picture, or has another size than was asked for.
    """
    image = read_frame(body, service, max_pixels=16 * plan.pixels**2)
    if not image.display or image.shape != (plan.pixels, plan.pixels):
        what = "a picture" if image.display else "an image"
        raise ServiceError(
            f"{service} sent {what} of {image.shape[1]} x {image.shape[0]} pixels",
            expected=f"a picture of {plan.pixels} x {plan.pixels}, as asked for",
        )
    return replace(image, wcs=_picture_wcs(plan))


def flat_share(image: SkyImage) -> float:
    """Return the share of a picture's pixels that have its commonest colour, in [0, 1].

    Real skies are noisy: what has one colour nearly everywhere is a service's way to say nothing.
    """
    colours = image.pixels.astype(np.uint8).reshape(len(image.pixels), -1).astype(np.uint32)
    packed = sum(plane << (8 * shift) for shift, plane in enumerate(colours[:3]))
    return float(np.unique(packed, return_counts=True)[1].max() / colours.shape[1])


def together(
    plan: Cutout,
    frames: Sequence[SkyImage],
    service: str,
    *,
    unit: str | None = None,
    meta: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
) -> SkyImage:
    """Make one image of frames, one a band: the square asked for, on one grid.

    Pixels are left as they are where the frames share a grid of the scale asked for; otherwise
    they are brought onto a grid that has north up.

    Parameters
    ----------
    plan : Cutout
        What was asked for.
    frames : sequence of SkyImage
        One plane each, in the order of the plan's bands.
    service : str
        What the service is called in errors.
    unit : str, optional
        Unit of the values; the frames' by default.
    meta, source : mapping, optional
        What else to say of the image.

    Raises
    ------
    OutsideFootprint
        If not a pixel of a frame lies in the square.
    EmptyCutout
        If a band has no value there.
    ServiceError
        If a frame does not say where it is on the sky.
    """
    for frame in frames:
        if frame.wcs is None or frame.pixel_scale is None or len(frame.pixels) != 1:
            raise ServiceError(
                f"{service} sent {len(frame.pixels)} planes with "
                f"{'no coordinates' if frame.wcs is None else 'coordinates'}",
                expected="one plane with celestial coordinates",
            )
    try:
        planes, wcs = _square(plan, frames)
    except _ASTRAY as error:
        raise ServiceError(
            f"{service} sent coordinates that cannot be used ({type(error).__name__})"
        ) from error
    for band, plane in zip(plan.bands, planes, strict=True):
        if not np.isfinite(plane).any():
            raise EmptyCutout(f"{service} has no {band} image there, only pixels without a value")
    middle = slice(max(0, plan.pixels // 2 - 1), plan.pixels // 2 + 2)
    if not any(np.isfinite(plane[middle, middle]).any() for plane in planes):
        raise OutsideFootprint(
            f"the images of {service} end before the position",
            hint='Try another survey: fetch="auto" chooses one',
        )
    return SkyImage(
        np.stack(planes),
        plan.bands,
        wcs=wcs,
        unit=unit if unit is not None else frames[0].unit,
        meta=dict(meta or {}),
        source=dict(source or {}),
        red_last=True,
    )


def _square(plan: Cutout, frames: Sequence[SkyImage]) -> tuple[list[Any], Any]:
    """Return the planes of the square, and their coordinates."""
    from astrollava_plugins._grid import cut, north_up, onto

    first = frames[0]
    assert first.pixel_scale is not None
    side = float(plan.size.to_value("arcsec")) / first.pixel_scale
    own = abs(side - plan.pixels) <= 0.5
    if own and all(_same_grid(first, frame) for frame in frames[1:]):
        parts = [cut(frame.pixels[0], first.wcs, plan.position, plan.size) for frame in frames]
        if all(plane.shape == (plan.pixels, plan.pixels) for plane, _ in parts):
            return [plane for plane, _ in parts], parts[0][1]
    wcs = north_up(plan.position, plan.size, plan.pixels)
    return [onto(frame.pixels[0], frame.wcs, wcs) for frame in frames], wcs


def _same_grid(one: SkyImage, other: SkyImage) -> bool:
    if one.shape != other.shape:
        return False
    ny, nx = one.shape
    corners = np.array([[0.0, 0.0], [nx - 1.0, 0.0], [0.0, ny - 1.0], [nx - 1.0, ny - 1.0]])
    assert one.wcs is not None
    assert other.wcs is not None
    there = one.wcs.all_world2pix(other.wcs.all_pix2world(corners, 0), 0)
    return bool(np.abs(there - corners).max() < _SAME)


def _picture_wcs(plan: Cutout) -> Any:
    """Make the coordinates of a picture with north up and east left, its first row on top."""
    from astrollava_plugins._grid import north_up

    wcs = north_up(plan.position, plan.size, plan.pixels)
    # Rows are counted from the top here, so that declination falls along them.
    wcs.wcs.cdelt = [wcs.wcs.cdelt[0], -wcs.wcs.cdelt[1]]
    wcs.wcs.set()
    return wcs
