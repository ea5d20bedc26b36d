"""The same FITS file through several stretches, and as a picture for the public.

What a model learned from outreach pictures may not hold for a linear stretch of research data:
the second open question of AstroLLaVA (arXiv:2504.08583).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np

from astrollava import images
from astrollava_training.evaluate.items import View

__all__ = ["FITS", "is_fits", "outreach", "views_of"]

FITS: Final = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz", ".fits.bz2")

_LONGEST = 640  # pixels of an outreach picture
_QUALITY = 85


def is_fits(path: Path) -> bool:
    """Whether a name is that of a FITS file."""
    return path.name.lower().endswith(FITS)


def views_of() -> tuple[View, ...]:
    """Return the views of research-grade data: four stretches, the raw range, and a JPEG."""
    stretched = tuple(
        View(name, {"stretch": name, "interval": "percentile:99.5"})
        for name in ("linear", "sqrt", "log", "asinh")
    )
    return (
        *stretched,
        View("minmax", {"stretch": "linear", "interval": "minmax"}),
        View("jpeg", change=outreach),
    )


def outreach(source: Any) -> bytes:
    """Make the JPEG a press office would: bright, saturated, sharpened, compressed.

    Parameters
    ----------
    source : object
        What `astrollava.images.read` takes.

    Returns
    -------
    bytes
        A JPEG of at most 640 pixels a side, quality 85.
    """
    from PIL import Image, ImageEnhance

    image = images.read(source)
    height, width = image.pixels.shape[-2:]
    scale = min(1.0, _LONGEST / max(height, width))
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    colours = "lupton" if len(image.pixels) > 1 else None
    rgb = images.render(
        image, size=size, stretch="asinh", interval="percentile:0.5,99.9", combine=colours
    ).rgb
    picture = Image.fromarray(np.asarray(rgb))
    for change, amount in (
        (ImageEnhance.Color, 1.6),
        (ImageEnhance.Contrast, 1.15),
        (ImageEnhance.Sharpness, 1.5),
    ):
        picture = change(picture).enhance(amount)
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=_QUALITY)
    return kept.getvalue()
