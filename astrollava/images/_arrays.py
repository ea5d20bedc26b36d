"""Arrays, quantities, NDData and cut-outs to `SkyImage`."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from astrollava.errors import AmbiguousImage, InvalidRequest, UnsupportedImage
from astrollava.images._header import band_names, keywords, text
from astrollava.images._planes import (
    Request,
    check_size,
    lay_out,
    load,
    open_window,
    sha256_of_pixels,
    unnamed,
)
from astrollava.images._wcs import celestial
from astrollava.images.sky_image import SkyImage

__all__ = ["from_array", "from_cutout2d", "from_nddata", "from_sky_image"]

#: What to do with a picture whose values are from 0 to 1.
_AS_PICTURE = "If it is a finished picture, pass (255 * array).round().astype('uint8')"

_log = logging.getLogger("astrollava")


def from_array(values: Any, request: Request, *, what: str = "the array") -> SkyImage:
    """Read an ndarray, a masked array or a `astropy.units.Quantity`."""
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data
    unit = getattr(values, "unit", None)
    return _build(values, request, {"kind": "array"}, what=what, mask=mask, unit=unit)


def from_nddata(data: Any, request: Request) -> SkyImage:
    """Read `astropy.nddata.NDData` or `CCDData`."""
    return _build(
        data.data,
        request,
        {"kind": "nddata"},
        what=f"the {type(data).__name__}",
        mask=data.mask,
        unit=data.unit,
        wcs=data.wcs,
        header=data.meta,
    )


def from_cutout2d(cutout: Any, request: Request) -> SkyImage:
    """Read `astropy.nddata.Cutout2D`."""
    return _build(cutout.data, request, {"kind": "cutout2d"}, what="the Cutout2D", wcs=cutout.wcs)


def from_sky_image(image: SkyImage, request: Request) -> SkyImage:
    """Take bands or a window from an image read before."""
    if request.hdu is not None:
        raise InvalidRequest(f"hdu={request.hdu!r} for a SkyImage", expected="hdu=None")
    if request.cutout is None and request.bands is None:
        return image
    # Numbers are no names, so that names can be given now; without a choice all planes are kept.
    numbered = image.bands == unnamed(len(image.bands))
    known = None if numbered and request.bands is not None else image.bands
    layout = lay_out(image.pixels.shape, known, request.bands, what="the SkyImage")
    window = open_window(layout, image.wcs, request.cutout)
    source = dict(image.source)
    if not window.whole:
        source["cutout"] = window.record()
    mask = image.mask
    pixels, _ = load(image.pixels, layout, window, in_pieces=True)
    return SkyImage(
        pixels,
        layout.names,
        wcs=window.wcs,
        unit=image.unit,
        mask=None if mask is None else mask[window.rows, window.columns],
        meta=image.meta,
        origin=image.origin,
        display=image.display,
        source=source,
        red_last=image.red_last or request.bands is not None,
        scale=image.scale,
    )


def _build(
    values: Any,
    request: Request,
    source: dict[str, Any],
    *,
    what: str,
    mask: Any = None,
    unit: Any = None,
    wcs: Any = None,
    header: Any = None,
) -> SkyImage:
    if request.hdu is not None:
        raise InvalidRequest(f"hdu={request.hdu!r}, but {what} has no HDUs", expected="hdu=None")
    array = np.asarray(getattr(values, "value", values))
    if array.dtype.kind not in "buif":
        raise UnsupportedImage(
            f"{what} has dtype {array.dtype}",
            expected="real numbers (integers or floats)",
            hint="Take abs() of complex values; convert strings and objects with astype(float)",
        )
    shape = array.shape
    flags = None if mask is None or mask is np.ma.nomask else np.asarray(mask)
    if flags is not None and flags.shape not in (shape, shape[-2:]):
        raise UnsupportedImage(
            f"{what} has shape {shape} and a mask of shape {flags.shape}", expected="equal shapes"
        )
    whole = flags is not None and flags.shape == shape
    last = len(shape) == 3 and shape[0] > 3 and shape[-1] in (1, 3, 4) and 0 not in shape
    if last:
        array = np.moveaxis(array, -1, 0)
        flags = np.moveaxis(flags, -1, 0) if flags is not None and whole else flags
    eight_bit = array.dtype == np.uint8 and array.ndim == 3 and len(array) in (3, 4)
    if eight_bit and len(array) == 4:
        # Transparent pixels show black, as they do when a picture file is read.
        array = (array[:3].astype(np.uint16) * array[3] // 255).astype(np.uint8)
    names = _names(array.shape, header, colour=eight_bit or last)
    try:
        layout = lay_out(array.shape, names, request.bands, what=what)
    except AmbiguousImage as error:
        if last and len(array) == 4 and _is_unit_light(array):
            raise AmbiguousImage(
                error.problem, expected=error.expected, hint=f"{_AS_PICTURE}. {error.hint}"
            ) from None
        raise
    sky, note = (None, None) if wcs is None else celestial(wcs)
    window = open_window(layout, sky, request.cutout)
    check_size(layout, window, request.max_pixels, what=what)
    pixels, scale = load(array, layout, window, in_pieces=True)
    if last and array.dtype.kind == "f" and len(array) == 3:
        _warn_of_a_picture(pixels, shape)
    bad = None
    if flags is not None:
        planes = [flags[index] if whole and flags.ndim > 2 else flags for index in layout.indices]
        bad = np.any([p[window.rows, window.columns] for p in planes], axis=0)
    meta = {} if header is None else keywords(header)
    if note is not None:
        meta["wcs_note"] = note
    source |= {"shape": list(shape), "sha256": sha256_of_pixels(pixels), "sha256_of": "pixels"}
    if not window.whole:
        source["cutout"] = window.record()
    return SkyImage(
        pixels,
        layout.names,
        wcs=window.wcs,
        unit=None if unit is None else text(unit) or None,
        mask=bad,
        meta=meta,
        origin="upper" if eight_bit else "lower",
        display=eight_bit,
        source=source,
        red_last=request.bands is not None,
        scale=scale,
    )


def _warn_of_a_picture(pixels: Any, shape: tuple[int, ...]) -> None:
    """Say what to do where light of shape ``(ny, nx, 3)`` looks like a finished picture."""
    if _is_unit_light(pixels):
        _log.warning(
            "the float array of shape %s with values in [0, 1] is read as light: it is stretched,"
            " with row 0 at the bottom. %s",
            shape,
            _AS_PICTURE,
        )


def _is_unit_light(values: Any) -> bool:
    """Whether values are those of a picture as matplotlib has it, between 0 and 1."""
    return values.dtype.kind == "f" and bool(((values >= 0) & (values <= 1)).all())


def _names(shape: tuple[int, ...], header: Any, *, colour: bool) -> tuple[str, ...] | None:
    count = max(shape[:-2], default=1)
    if colour and count == 3:
        return ("R", "G", "B")
    return None if header is None else band_names(header, count)
