"""Pixels of one image on the grid of another: what services that give whole frames leave to us."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.units import Quantity
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from astrollava.errors import OutsideFootprint

__all__ = ["cut", "north_up", "onto", "scale_of"]

Plane = NDArray[np.float32]


def north_up(position: SkyCoord, size: Quantity, pixels: int) -> Any:
    """Make a square gnomonic grid around a position, north up and east left.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
        The middle of the square.
    size : `~astropy.units.Quantity`
        Its side, an angle.
    pixels : int
        Pixels along a side.

    Returns
    -------
    `~astropy.wcs.WCS`
        Two celestial axes, ICRS, with ``pixel_shape`` set.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [float(position.icrs.ra.deg), float(position.icrs.dec.deg)]
    # FITS counts pixels from one, at their middle.
    wcs.wcs.crpix = [(pixels + 1) / 2, (pixels + 1) / 2]
    step = float(size.to_value("deg")) / pixels
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.set()
    wcs.pixel_shape = (pixels, pixels)
    return wcs


def scale_of(wcs: Any) -> float:
    """Return the geometric mean of a pixel's sides in arcseconds."""
    across, up = (float(side) for side in proj_plane_pixel_scales(wcs))
    return 3600.0 * math.sqrt(across * up)


def cut(plane: Plane, wcs: Any, position: SkyCoord, size: Quantity) -> tuple[Plane, Any]:
    """Cut a square out of a frame, on the frame's own pixels.

    Parameters
    ----------
    plane : ndarray
        Shape ``(ny, nx)``.
    wcs : `~astropy.wcs.WCS`
        Its coordinates.
    position, size : `~astropy.coordinates.SkyCoord`, `~astropy.units.Quantity`
        The middle of the square and its side, an angle.

    Returns
    -------
    plane : ndarray
        The square, with the position in its middle; NaN where it reaches over the frame's edge.
    wcs : `~astropy.wcs.WCS`
        Its coordinates.

    Raises
    ------
    OutsideFootprint
        If not a pixel of the square lies on the frame.
    """
    # It loads scipy, and this module is loaded with every list of plugins.
    from astropy.nddata import Cutout2D, NoOverlapError

    side = max(1, round(float(size.to_value("arcsec")) / scale_of(wcs)))
    try:
        part = Cutout2D(
            np.asarray(plane, dtype=np.float32),
            position,
            side,
            wcs=wcs,
            mode="partial",
            fill_value=np.nan,
            copy=True,
        )
    except NoOverlapError as error:
        raise OutsideFootprint(
            f"no pixel of the frame lies within {side} pixels of the position",
            hint="Ask for a larger size, or another survey",
        ) from error
    return part.data, part.wcs


def onto(plane: Plane, wcs: Any, grid: Any) -> Plane:
    """Bring a plane onto another grid, keeping surface brightness.

    Where the grid is coarser, whole blocks of pixels are averaged first, so that nothing aliases;
    then values are interpolated linearly.

    Parameters
    ----------
    plane : ndarray
        Shape ``(ny, nx)``; NaN marks pixels without a value.
    wcs : `~astropy.wcs.WCS`
        Its coordinates.
    grid : `~astropy.wcs.WCS`
        The grid wanted, with ``array_shape`` set.

    Returns
    -------
    ndarray
        Values on the grid; NaN where one of the pixels between which a value lies has none.
    """
    plane = np.asarray(plane, dtype=np.float32)
    step = max(1, math.floor(scale_of(grid) / scale_of(wcs) + 1e-6))
    step = min(step, *plane.shape)
    if step > 1:
        plane, wcs = _blocks(plane, wcs, step)
    ny, nx = grid.array_shape
    rows, columns = np.mgrid[0:ny, 0:nx]
    sky = grid.pixel_to_world(columns, rows)
    x, y = wcs.world_to_pixel(sky)
    return _linear(plane, np.asarray(x), np.asarray(y))


def _blocks(plane: Plane, wcs: Any, step: int) -> tuple[Plane, Any]:
    ny, nx = (length // step for length in plane.shape)
    blocks = plane[: ny * step, : nx * step].reshape(ny, step, nx, step)
    good = np.isfinite(blocks)
    count = good.sum(axis=(1, 3))
    total = np.where(good, blocks, np.float32(0)).sum(axis=(1, 3), dtype=np.float64)
    mean = np.full((ny, nx), np.nan, dtype=np.float32)
    np.divide(total, count, out=mean, where=count > 0, casting="unsafe")
    return mean, wcs[: ny * step : step, : nx * step : step]


def _linear(plane: Plane, x: NDArray[np.float64], y: NDArray[np.float64]) -> Plane:
    ny, nx = plane.shape
    # Rounding in the coordinates must not cost the outermost row, nor spread a bad neighbour.
    x, y = _snapped(x), _snapped(y)
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (x <= nx - 1) & (y >= 0) & (y <= ny - 1)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    left, low = np.floor(x).astype(int), np.floor(y).astype(int)
    right, high = np.minimum(left + 1, nx - 1), np.minimum(low + 1, ny - 1)
    across, up = x - left, y - low
    total = np.zeros(x.shape)
    for row, share_y in ((low, 1.0 - up), (high, up)):
        for column, share_x in ((left, 1.0 - across), (right, across)):
            share = share_x * share_y
            # A neighbour that takes no part may be NaN.
            total += np.where(share > 0, plane[row, column] * share, 0.0)
    return np.where(inside, total, np.nan).astype(np.float32)


def _snapped(places: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = np.rint(places)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(places - nearest) < 1e-6, nearest, places)
