"""Celestial coordinates from headers nobody vouches for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from astrollava.images._quiet import quiet

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["celestial", "centre_of", "pixel_scale_of", "wcs_from_header"]

# The standard allows polynomials of order 9 (Shupe et al. 2005); a header that asks for more makes
# astropy allocate order**2 coefficients.
_MAX_SIP_ORDER = 9
_MAX_AXES = 9


def wcs_from_header(header: Header) -> tuple[WCS | None, str | None]:
    """Read the celestial coordinates of a header.

    Parameters
    ----------
    header : `astropy.io.fits.Header`
        Any header; it is not changed.

    Returns
    -------
    wcs : `astropy.wcs.WCS` or None
        Two-dimensional celestial WCS.
    note : str or None
        Why there is none although the header speaks of one.
    """
    from astropy.wcs import WCS

    if "CTYPE1" not in header:
        return None, None
    try:
        _refuse_monsters(header)
        with quiet():
            wcs = WCS(header)
            return celestial(wcs)
    except Exception as error:  # wcslib raises a dozen kinds; none may cost the user the image
        return None, f"the WCS of the header cannot be used ({type(error).__name__})"


def celestial(wcs: Any) -> tuple[WCS | None, str | None]:
    """Reduce any WCS to two celestial axes that are the image's own x and y, or say why not."""
    from astropy.wcs import WCS

    if not isinstance(wcs, WCS):
        return None, f"a {type(wcs).__name__} is not a FITS WCS"
    if not wcs.has_celestial:
        return None, "the WCS has no celestial axes"
    if wcs.naxis > 2:
        if {wcs.wcs.lng, wcs.wcs.lat} != {0, 1}:
            return None, "the celestial axes are not the first two"
        # `WCS.celestial` would swap the pixel axes of a header that puts declination first.
        wcs = wcs.sub([1, 2])
    # Judged at the reference pixel: the corners of an all-sky map lie on no sky.
    x, y = (float(value) for value in wcs.wcs.crpix)
    if centre_of(wcs, (2 * y - 1, 2 * x - 1)) is None:
        return None, "the WCS gives no finite position"
    return wcs, None


def centre_of(wcs: WCS, shape: tuple[float, float]) -> tuple[float, float] | None:
    """Return the ICRS position, in degrees, of the middle of an image of ``(ny, nx)`` pixels."""
    from astropy.wcs.utils import wcs_to_celestial_frame

    ny, nx = shape
    try:
        with quiet():
            world = wcs.all_pix2world([[(nx - 1) / 2, (ny - 1) / 2]], 0)[0]
            lon, lat = float(world[wcs.wcs.lng]), float(world[wcs.wcs.lat])
            if wcs.wcs.radesys.strip() != "ICRS" or not wcs.wcs.lngtyp.startswith("RA"):
                from astropy import units
                from astropy.coordinates import SkyCoord

                frame = wcs_to_celestial_frame(wcs)
                position = SkyCoord(lon * units.deg, lat * units.deg, frame=frame).icrs
                lon, lat = float(position.ra.deg), float(position.dec.deg)
    except Exception:  # as above: coordinates are a courtesy
        return None
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return None
    return round(lon % 360.0, 8), round(lat, 8)


def pixel_scale_of(wcs: WCS) -> float | None:
    """Return the geometric mean of the pixel's sides in arcseconds."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    try:
        x, y = (float(side) for side in proj_plane_pixel_scales(wcs))
        scale = 3600.0 * math.sqrt(x * y)
    except Exception:  # as above
        return None
    return float(f"{scale:.8g}") if math.isfinite(scale) and scale > 0 else None


def _refuse_monsters(header: Header) -> None:
    for key in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
        if int(header.get(key, 0)) > _MAX_SIP_ORDER:
            raise ValueError(key)
    if int(header.get("WCSAXES", 2)) > _MAX_AXES:
        raise ValueError("WCSAXES")
