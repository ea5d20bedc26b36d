"""The one form every image takes inside the library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import EmptyImage, UnsupportedImage
from astrollava.images._precision import single

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["SkyImage"]


@dataclass(frozen=True, eq=False)
class SkyImage:
    """An image of the sky, or a picture of one, as plain float planes.

    Use `astrollava.images.read` to make one from a file, an HDU, an array and so on. Building one
    directly is for code that already holds planes, such as a cutout service.

    Parameters
    ----------
    pixels : ndarray
        Finite values or NaN, shape ``(bands, ny, nx)``; kept as read-only float32 in native byte
        order. Copied unless it is already so. NaN and infinite values are bad pixels.
    bands : tuple of str
        One name a plane: ``("g", "r", "z")``; ``("R", "G", "B")`` for a colour picture; 0-based
        numbers, ``("0",)``, where nothing is known.
    wcs : `astropy.wcs.WCS`, optional
        Two-dimensional celestial coordinates of the planes.
    unit : str, optional
        Unit of the values.
    mask : ndarray of bool, optional
        Shape ``(ny, nx)``; True marks a bad pixel. Bad values in `pixels` are added to it.
    meta : mapping
        Small and JSON-able: object, telescope, filter, date, credit and the like.
    origin : {"lower", "upper"}
        Whether row 0 is the bottom (FITS) or the top (PNG, JPEG) of the picture.
    display : bool
        True for an already stretched 8-bit picture, values 0-255: rendering leaves its values.
    source : mapping
        Where the image came from; JSON-able.
    red_last : bool
        True where the planes were chosen, from blue to red: their order is then the order of their
        colours if the names tell no wavelengths. Otherwise such planes are red, green, blue.
    scale : float
        What `pixels` are multiplied by to be in `unit`: above zero, and 1 but for values that do
        not fit single precision, such as 1e43 erg/s. Those are divided by a power of ten, here too.

    Raises
    ------
    EmptyImage
        If an axis has length zero.
    UnsupportedImage
        If shapes do not fit each other or the values are not numbers.
    """

    pixels: NDArray[np.float32]
    bands: tuple[str, ...]
    wcs: WCS | None = None
    unit: str | None = None
    mask: NDArray[np.bool_] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    origin: Literal["lower", "upper"] = "lower"
    display: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)
    red_last: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        pixels, scale = _frozen_float32(self.pixels)
        if pixels.ndim != 3:
            raise UnsupportedImage(
                f"pixels have shape {pixels.shape}",
                expected="three axes: (bands, ny, nx)",
                hint="Use astrollava.images.read, which also takes plain 2-D arrays",
            )
        if 0 in pixels.shape:
            raise EmptyImage(f"pixels have shape {pixels.shape}", expected="no axis of length zero")
        if len(self.bands) != len(pixels):
            raise UnsupportedImage(
                f"{len(self.bands)} band names for {len(pixels)} planes",
                expected="one name a plane",
            )
        if not 0 < self.scale < math.inf:
            raise UnsupportedImage(f"scale is {self.scale!r}", expected="a number above zero")
        if self.origin not in ("lower", "upper"):
            raise UnsupportedImage(f"origin is {self.origin!r}", expected="'lower' or 'upper'")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "bands", tuple(str(name) for name in self.bands))
        object.__setattr__(self, "mask", _complete_mask(pixels, self.mask))
        object.__setattr__(self, "scale", float(self.scale) * scale)

    @classmethod
    def _again(cls, **attributes: Any) -> SkyImage:
        """Make an image of what one had for attributes, all of them, without a look at the values.

        Looking takes as long as reading them: this is for who knows that they are the same.
        """
        image = object.__new__(cls)
        for each in fields(cls):
            object.__setattr__(image, each.name, attributes[each.name])
        return image

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, ``(ny, nx)``."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @cached_property
    def centre(self) -> tuple[float, float] | None:
        """ICRS right ascension and declination of the middle of the image in degrees, if known."""
        if self.wcs is None:
            return None
        from astrollava.images._wcs import centre_of

        return centre_of(self.wcs, self.shape)

    @cached_property
    def pixel_scale(self) -> float | None:
        """Geometric mean of the pixel's sides in arcseconds, if known."""
        if self.wcs is None:
            return None
        from astrollava.images._wcs import pixel_scale_of

        return pixel_scale_of(self.wcs)

    def describe_source(self) -> dict[str, Any]:
        """Return `source` with what else is known of where the image is from, and on the sky.

        A file that was fetched yesterday names its survey and whom to credit as what is fetched
        today does: ``survey``, ``url``, ``credit`` and ``licence`` of `meta` are given unless
        `source` says otherwise.

        Returns
        -------
        dict
            JSON-able. ``centre`` is ``[ra, dec]`` in ICRS degrees, ``pixel_scale`` in arcseconds.
        """
        described = dict(self.source)
        for name in ("survey", "url", "credit", "licence"):
            if self.meta.get(name):
                described.setdefault(name, self.meta[name])
        if self.centre is not None:
            described["centre"] = list(self.centre)
        if self.pixel_scale is not None:
            described["pixel_scale"] = self.pixel_scale
        return described

    def __repr__(self) -> str:
        ny, nx = self.shape
        scale = f", {self.pixel_scale:.3g} arcsec/pixel" if self.pixel_scale else ""
        kind = "picture" if self.display else "image"
        return f"<SkyImage: {nx} x {ny} {kind}, bands {', '.join(self.bands)}{scale}>"


def _frozen_float32(values: Any) -> tuple[NDArray[np.float32], float]:
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise UnsupportedImage(
            f"pixels have dtype {array.dtype}", expected="real numbers", hint="Convert them first"
        )
    # A read-only array that owns its memory cannot change behind our back; all others are copied.
    if array.dtype == np.float32 and not array.flags.writeable and array.base is None:
        return array, 1.0
    array, scale = single(array)
    array.flags.writeable = False
    return array, scale


def _complete_mask(
    pixels: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    bad = np.zeros(pixels.shape[1:], dtype=bool)
    if mask is not None:
        given = np.asarray(mask)
        if given.shape != bad.shape:
            raise UnsupportedImage(
                f"mask has shape {given.shape}", expected=f"that of a plane, {bad.shape}"
            )
        bad |= given.astype(bool)
    for plane in pixels:
        bad |= ~np.isfinite(plane)
    if not bad.any():
        return None
    bad.flags.writeable = False
    return bad
