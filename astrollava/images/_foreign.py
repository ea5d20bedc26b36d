"""Readers and stretches of plugins, held to what they promise."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from astrollava import _plugged
from astrollava._aside import printing_aside
from astrollava._plugged import Offered
from astrollava.errors import AstrollavaError, CorruptImage, ImageTooLarge, RenderError
from astrollava.images._arrays import from_sky_image
from astrollava.images._planes import Request
from astrollava.images.sky_image import SkyImage

__all__ = ["apply_stretch", "names_of_stretches", "plugged_stretch", "read_foreign"]

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_log = logging.getLogger("astrollava")

#: What a reader sees of a file before it decides.
_HEAD = 512
#: Rounding may carry a stretch this far out of [0, 1].
_ROUNDING = 1e-6


def read_foreign(
    file: BinaryIO, request: Request, known: Mapping[str, Any], *, what: str
) -> SkyImage | None:
    """Read a file with the first reader of a plugin that accepts it; None where none does."""
    readers = _plugged.offered("readers")
    if not readers:
        return None
    file.seek(0)
    head = file.read(_HEAD)
    for name, offer in readers.items():
        if _accepts(name, offer, head):
            file.seek(0)
            return _read(name, offer, file, request, known, what)
    return None


def _accepts(name: str, offer: Offered, head: bytes) -> bool:
    try:
        with printing_aside():
            return bool(offer.value.accepts(head))
    except (Exception, SystemExit) as error:
        _log.warning("the reader %s failed to look at a file: %r", _whose(name, offer), error)
        return False


def _read(
    name: str,
    offer: Offered,
    file: BinaryIO,
    request: Request,
    known: Mapping[str, Any],
    what: str,
) -> SkyImage:
    whose = f"the reader {_whose(name, offer)}"
    try:
        with printing_aside():
            image = offer.value.read(file, max_pixels=request.max_pixels)
    except AstrollavaError:
        raise
    except (Exception, SystemExit) as error:
        raise CorruptImage(
            f"{what} cannot be read by {whose}: {type(error).__name__}: {error}",
            hint="The file is damaged, or the plugin has a fault",
        ) from error
    if not isinstance(image, SkyImage):
        raise CorruptImage(f"{whose} gave {type(image).__name__} for {what}", expected="a SkyImage")
    if image.pixels.size > request.max_pixels:
        raise ImageTooLarge(
            f"{what} has {image.pixels.size:,} values",
            expected=f"at most {request.max_pixels:,}",
            hint="Raise max_pixels",
        )
    source = {"shape": list(image.pixels.shape), **image.source, **known, "kind": name}
    read = SkyImage(
        image.pixels,
        image.bands,
        wcs=image.wcs,
        unit=image.unit,
        mask=image.mask,
        meta=image.meta,
        origin=image.origin,
        display=image.display,
        source={**source, "plugin": offer.to_dict()},
        red_last=image.red_last,
        scale=image.scale,
    )
    return from_sky_image(read, request)


def names_of_stretches() -> tuple[str, ...]:
    """Return the names of the stretches of plugins."""
    return tuple(_plugged.offered("stretches"))


def plugged_stretch(name: str) -> Function | None:
    """Return what applies a plugin's stretch; None where there is none of that name."""
    offer = _plugged.offered("stretches").get(name)
    return None if offer is None else functools.partial(apply_stretch, name, offer)


def apply_stretch(name: str, offer: Offered, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch values with a plugin's function, and refuse what is no stretch."""
    whose = f"the stretch {_whose(name, offer)}"
    given = np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0).astype(np.float64)
    try:
        with printing_aside():
            stretched = np.asarray(offer.value(given), dtype=np.float64)
    except (Exception, SystemExit) as error:
        raise RenderError(f"{whose} failed with {type(error).__name__}: {error}") from error
    if stretched.shape != np.shape(values):
        raise RenderError(
            f"{whose} made the shape {stretched.shape} of {np.shape(values)}",
            expected="an array of the same shape",
        )
    if not ((stretched >= -_ROUNDING) & (stretched <= 1.0 + _ROUNDING)).all():
        raise RenderError(
            f"{whose} gave values outside [0, 1], or none", expected="a map of [0, 1] onto [0, 1]"
        )
    return np.asarray(np.clip(stretched, 0.0, 1.0))


def _whose(name: str, offer: Offered) -> str:
    return f"{name!r} of the plugin {offer.plugin}{offer.from_where}"
