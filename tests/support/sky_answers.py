"""What cutout services answer, made on the spot: FITS, JPEG, VOTable, JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["celestial", "fits_bytes", "jpeg_bytes", "json_bytes", "planes", "votable_bytes"]


def celestial(ra: float, dec: float, size: float, pixels: int) -> WCS:
    """A square gnomonic grid, north up, `size` degrees wide."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(pixels + 1) / 2] * 2
    wcs.wcs.cdelt = [-size / pixels, size / pixels]
    return wcs


def planes(ra: float, dec: float, pixels: int, bands: Sequence[str]) -> np.ndarray:
    """A galaxy in the middle of each plane, elongated as its position says, with some noise."""
    rows, columns = np.mgrid[0:pixels, 0:pixels] - (pixels - 1) / 2
    noise = np.random.default_rng([int(1e4 * ra), int(1e4 * (dec + 90))])
    turn, ratio = np.radians(ra), 0.4 + 0.5 * abs(dec) / 90
    along = rows * np.cos(turn) + columns * np.sin(turn)
    across = (columns * np.cos(turn) - rows * np.sin(turn)) / ratio
    light = 50.0 * np.exp(-np.hypot(along, across) / (0.12 * pixels))
    return np.stack(
        [light * (1 + 0.2 * n) + noise.normal(0.0, 0.5, light.shape) for n, _ in enumerate(bands)]
    ).astype(np.float32)


def fits_bytes(
    ra: float = 202.47,
    dec: float = 47.195,
    size: float = 0.1,
    pixels: int = 64,
    bands: Sequence[str] = ("g", "r", "z"),
    values: np.ndarray | None = None,
) -> bytes:
    """A FITS cube of one plane a band, as Legacy Survey sends it."""
    data = planes(ra, dec, pixels, bands) if values is None else values
    hdu = fits.PrimaryHDU(data, header=celestial(ra, dec, size, pixels).to_header())
    hdu.header["BANDS"] = "".join(bands)
    for number, band in enumerate(bands):
        hdu.header[f"BAND{number}"] = band
    buffer = io.BytesIO()
    hdu.writeto(buffer)
    return buffer.getvalue()


def jpeg_bytes(ra: float = 202.47, dec: float = 47.195, pixels: int = 64) -> bytes:
    """A colour picture."""
    from PIL import Image

    light = planes(ra, dec, pixels, "grz")
    rgb = np.clip(255 * np.moveaxis(light, 0, -1) / light.max(), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgb[::-1]).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def votable_bytes(
    rows: Sequence[Mapping[str, Any]] = ({"main_id": "M  51", "ra": 202.47, "dec": 47.195},),
) -> bytes:
    """A VOTable of the rows, which share their columns."""
    from astropy.table import Table

    buffer = io.BytesIO()
    table = Table(rows=[dict(row) for row in rows]) if rows else Table(names=["main_id"])
    table.write(buffer, format="votable")
    return buffer.getvalue()


def json_bytes(value: Any) -> bytes:
    """Any value as JSON."""
    return json.dumps(value).encode()
