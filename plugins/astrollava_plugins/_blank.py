"""Planes in which nothing was observed, though they hold numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astrollava.images import SkyImage

__all__ = ["without_constants"]


def without_constants(image: SkyImage) -> SkyImage:
    """Return an image with NaN in each plane that has one value only.

    Beyond their surveys' edges services send zeros as well as NaN; no detector sees a sky without
    noise.
    """
    flat = [_is_constant(plane) for plane in image.pixels]
    if not any(flat):
        return image
    pixels = np.where(np.array(flat)[:, None, None], np.float32(np.nan), image.pixels)
    return dataclasses.replace(image, pixels=pixels)


def _is_constant(plane: np.ndarray) -> bool:
    good = plane[np.isfinite(plane)]
    # A single pixel is all that may be left of a tiny cutout.
    return good.size > 1 and bool((good == good[0]).all())
