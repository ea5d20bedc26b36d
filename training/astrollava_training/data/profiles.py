"""Light profiles on a square grid, in pixels: what simulated galaxies are put together from.

Everything is float32, takes coordinates and returns a surface brightness of order one. Sources:
Sersic (1968) with the scale of Ciotti & Bertin (1999) to first order; van der Kruit & Searle (1981)
for the sech-squared edge-on disk.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "arms",
    "bar",
    "edge_on_disk",
    "elliptical_radius",
    "fade",
    "grid",
    "polar",
    "ring",
    "sersic",
    "smooth_field",
    "tail",
    "turned",
]

Array = NDArray[np.float32]
_CORE = np.float32(0.15)  # square pixels: a cusp is never sharper than the pixel that samples it


@lru_cache(maxsize=4)
def grid(n: int) -> tuple[Array, Array]:
    """Pixel coordinates x, y of an (n, n) grid, zero at its centre."""
    axis = np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def turned(x: Array, y: Array, centre: tuple[float, float], angle: float) -> tuple[Array, Array]:
    """Coordinates along and across an axis at ``angle`` (radians) through ``centre``."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    return dx * cos + dy * sin, dy * cos - dx * sin


def polar(u: Array, v: Array, axis_ratio: float) -> tuple[Array, Array]:
    """Radius and azimuth in the plane of a disk seen with ``axis_ratio`` (0 to 1)."""
    w = v * np.float32(1.0 / axis_ratio)
    return np.sqrt(u * u + w * w + _CORE), np.arctan2(w, u)


def elliptical_radius(u: Array, v: Array, axis_ratio: float, boxiness: float = 2.0) -> Array:
    """Radius of the ellipse through each pixel; with a ``boxiness`` above 2 a boxy one."""
    w = v * np.float32(1.0 / axis_ratio)
    if boxiness == 2.0:
        return np.asarray(np.sqrt(u * u + w * w + _CORE), np.float32)
    power = np.float32(boxiness)
    inside = np.abs(u) ** power + np.abs(w) ** power + np.float32(0.1)
    return np.asarray(inside ** np.float32(1.0 / boxiness), np.float32)


def sersic(radius: Array, half_light: float, index: float) -> Array:
    """Sersic profile, one at the half-light radius; ``index`` 0.5 to 8."""
    b = 2.0 * index - 1.0 / 3.0
    scaled = np.exp(np.log(radius * np.float32(1.0 / half_light)) * np.float32(1.0 / index))
    return np.asarray(np.exp(np.float32(-b) * (scaled - np.float32(1.0))), np.float32)


def edge_on_disk(u: Array, v: Array, scale: float, height: float) -> Array:
    """Disk seen from its edge: exponential along ``u``, sech-squared across; one at the centre."""
    along = np.sqrt(u * u + np.float32((0.35 * scale) ** 2)) * np.float32(1.0 / scale)
    across = np.cosh(np.minimum(np.abs(v) * np.float32(1.0 / height), np.float32(20.0)))
    return np.asarray(np.exp(np.float32(0.35) - along) / (across * across), np.float32)


def fade(radius: Array, at: float, width: float) -> Array:
    """Fall from one inside radius ``at`` to zero outside it, over ``width``."""
    off = np.minimum((radius - np.float32(at)) * np.float32(1.0 / width), np.float32(40.0))
    return np.asarray(1 / (1 + np.exp(off)), np.float32)


def arms(
    radius: Array,
    azimuth: Array,
    number: int,
    pitch: float,
    *,
    start: float,
    phase: float,
    sharpness: float,
    wobble: Array,
) -> Array:
    """Logarithmic spiral arms.

    Parameters
    ----------
    radius, azimuth : ndarray of float32
        Coordinates in the plane of the disk, pixels and radians.
    number : int
        Arms, at least 1.
    pitch : float
        Pitch angle in radians; its sign is the sense of winding.
    start : float
        Radius in pixels where the first arm is at azimuth ``phase``.
    sharpness : float
        1 for broad arms to about 6 for narrow ones.
    wobble : ndarray of float32
        Departure from the regular spiral, in radians of azimuth.

    Returns
    -------
    ndarray of float32
        From 0 between the arms to 1 on their ridge.
    """
    turn = np.log(radius * np.float32(1.0 / start)) * np.float32(1.0 / np.tan(pitch))
    ridge = np.cos(np.float32(number) * (azimuth - turn - np.float32(phase) + wobble))
    return np.asarray(np.exp(np.float32(sharpness) * (ridge - np.float32(1.0))), np.float32)


def bar(u: Array, v: Array, length: float, width: float) -> Array:
    """Bar of half-length ``length`` along ``u``: flat, boxy, one inside, soft at its ends."""
    m = (np.abs(u) * np.float32(1.0 / length)) ** 3 + (np.abs(v) * np.float32(1.0 / width)) ** 2
    return np.asarray(
        np.float32(1.0) / (np.float32(1.0) + np.minimum(m, np.float32(30.0)) ** 2), np.float32
    )


def ring(radius: Array, at: float, width: float) -> Array:
    """Ring of radius ``at``, one on its ridge."""
    off = (radius - np.float32(at)) * np.float32(1.0 / width)
    return np.asarray(np.exp(np.float32(-0.5) * off * off), np.float32)


def tail(
    radius: Array,
    azimuth: Array,
    *,
    start: float,
    end: float,
    pitch: float,
    phase: float,
    width: float,
) -> Array:
    """Tidal tail: one spiral arc from radius ``start`` to ``end``, widening and fading outwards."""
    turn = np.log(radius * np.float32(1.0 / start)) * np.float32(1.0 / np.tan(pitch))
    off = azimuth - turn - np.float32(phase)
    off = off - np.float32(2 * np.pi) * np.round(off * np.float32(0.5 / np.pi))
    along = np.clip((radius - np.float32(start)) * np.float32(1.0 / (end - start)), -1.0, 2.0)
    across = off * radius * np.float32(abs(np.sin(pitch)))
    across = across / (np.float32(width) * (np.float32(0.6) + np.maximum(along, np.float32(0.0))))
    fade = np.where(along < 0, np.float32(1.0) + along * 4, np.float32(1.0) - along)
    return np.asarray(np.exp(np.float32(-0.5) * across * across) * np.maximum(fade, 0), np.float32)


@lru_cache(maxsize=32)
def _spread(n: int, cells: int) -> Array:
    """Matrix (n, cells + 1) that interpolates a coarse row smoothly to ``n`` pixels."""
    at = np.linspace(0, cells, n, dtype=np.float32)
    left = np.minimum(at.astype(np.int64), cells - 1)
    part = at - left
    part = part * part * (3 - 2 * part)
    matrix = np.zeros((n, cells + 1), np.float32)
    matrix[np.arange(n), left] = 1 - part
    matrix[np.arange(n), left + 1] = part
    return matrix


def smooth_field(rng: np.random.Generator, n: int, cells: int) -> Array:
    """Random field of about unit scatter that varies over ``n / cells`` pixels, shape (n, n)."""
    coarse = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    matrix = _spread(n, cells)
    return np.asarray(np.float32(1.35) * (matrix @ coarse @ matrix.T), np.float32)
