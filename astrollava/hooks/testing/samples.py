"""Small images and results to try plugins with."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astrollava.results import Answer, Classification, Description, Extraction

__all__ = ["sample_results", "sky_fits"]


def sky_fits(
    ra: float,
    dec: float,
    *,
    size: float = 1.0,
    pixels: int = 64,
    bands: tuple[str, ...] = ("r",),
    blank: bool = False,
) -> bytes:
    """Make the FITS file of a round galaxy, north up, in a tangential projection.

    Parameters
    ----------
    ra, dec : float
        ICRS coordinates of the middle in degrees.
    size : float
        Side of the image in arcminutes.
    pixels : int
        Side of the image in pixels.
    bands : tuple of str
        One plane each; of a single one the file has two axes. Their names stand in ``BANDS``.
    blank : bool
        Whether there is no value at all: NaN everywhere.

    Returns
    -------
    bytes
        The file.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(pixels + 1) / 2] * 2
    wcs.wcs.cdelt = np.array([-1, 1]) * size / 60 / pixels
    rows, columns = np.indices((pixels, pixels)) - (pixels - 1) / 2
    light = np.exp(-np.hypot(rows, columns) / (pixels / 10))
    noise = np.random.default_rng(7).normal(0, 0.01, (len(bands), pixels, pixels))
    planes = light * np.arange(1, len(bands) + 1)[:, None, None] + noise
    if blank:
        planes[:] = np.nan
    data = planes.astype(np.float32)
    hdu = fits.PrimaryHDU(data[0] if len(bands) == 1 else data, wcs.to_header())
    hdu.header["BANDS"] = "".join(bands)
    file = io.BytesIO()
    hdu.writeto(file)
    return file.getvalue()


def sample_results() -> tuple[Description, Answer, Classification, Extraction]:
    """Make one result of each kind, with words that formats stumble over.

    Returns
    -------
    Description, Answer, Classification, Extraction
    """
    from astrollava.results import (
        Answer,
        Classification,
        Description,
        Extraction,
        Flag,
        Provenance,
    )

    provenance = Provenance(
        model={"name": "sample", "files": {}, "quantization": "Q8_0", "licence": "MIT"},
        prompt={"id": "describe", "version": 1, "text": "Describe the galaxy."},
        sampling={"temperature": 0.0, "seed": 0, "max_tokens": 256},
        rendering={"size": [96, 96], "stretch": "asinh:0.1"},
        source={
            "kind": "fits",
            "path": 'cut out "é" & <1>.fits',
            "sha256": "0" * 64,
            "centre": [202.47, 47.195],
            "pixel_scale": 0.262,
        },
        generation={"finish_reason": "stop", "generated_tokens": 12, "seconds": 0.5},
        versions={"astrollava": "0"},
        created="2026-01-01T00:00:00+00:00",
    )
    text = "A spiral galaxy, 50 % \\ {bright} & <small>: “M 51” at z = 0.0015.\nTwo lines; a comma."
    start = text.index("M 51")
    flag = Flag("name", start, start + 4, "M 51", "A picture carries no names.")
    made: dict[str, Any] = {"provenance": provenance}
    return (
        Description(**made, text=text, flags=(flag,)),
        Answer(**made, question="Is there a bar, or none?", text="No bar is visible."),
        Classification(
            **made, vocabulary="custom", probabilities={"a star, or two": 0.7, "a galaxy": 0.3}
        ),
        Extraction(
            **made, value={"bar": False}, text='{"bar":false}', probabilities={"bar": {"no": 1.0}}
        ),
    )
