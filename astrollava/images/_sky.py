"""Where the sky is, how noisy it is, and what to put where a pixel is bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sky", "fill_bad", "measure"]

# 1 / Phi^-1(3/4): the median absolute deviation of a Gaussian to its standard deviation.
_MAD_TO_SIGMA = 1.4826
_SAMPLE = 100_000
# A survey's frame holds this share of exact zeros only where it has no data.
_NO_DATA = 0.02


@dataclass(frozen=True)
class Sky:
    """Level and noise of the background.

    Attributes
    ----------
    level : float
        The most common value, or near it.
    sigma : float
        Spread of the values below `level`, as a Gaussian's standard deviation; zero for a constant.
    seen : bool
        False where no flat sky is in the frame (a nebula, a crowded field): `sigma` is then far
        above the noise from pixel to pixel.
    """

    level: float
    sigma: float
    seen: bool


def measure(plane: NDArray[np.float32]) -> Sky:
    """Estimate the sky of a plane by clipping what lies above it.

    A galaxy that fills the frame pulls the usual two-sided sigma clipping upwards. Here the spread
    is that of the values below the level, where only noise is, and values more than 2.5 of it above
    are dropped until the level stays.

    Parameters
    ----------
    plane : ndarray
        Shape ``(ny, nx)``; NaN marks bad pixels. At least one value must be finite.
    """
    values = _sample(plane)
    level, sigma = float(np.median(values)), 0.0
    for _ in range(20):
        below = values[values <= level]
        sigma = _MAD_TO_SIGMA * float(np.median(level - below))
        kept = values[values <= level + 2.5 * sigma]
        new = float(np.median(kept))
        if new == level:
            break
        values, level = kept, new
    return Sky(level, sigma, sigma <= 4.0 * _pixel_noise(plane) + 1e-12 * abs(level))


def _sample(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = plane[np.isfinite(plane)].astype(np.float64)
    if len(flat) > _SAMPLE:
        flat = flat[:: len(flat) // _SAMPLE + 1]
    zeros = np.count_nonzero(flat == 0)
    # Zeros of a frame with fractional values are no measurements; those of a count image are.
    if _NO_DATA * len(flat) < zeros < len(flat) and np.any(flat != np.round(flat)):
        flat = flat[flat != 0]
    return np.sort(flat)


def _pixel_noise(plane: NDArray[np.float32]) -> float:
    """Return the noise between neighbours, blind to anything smooth."""
    steps = np.concatenate(
        [np.diff(plane.astype(np.float64), axis=axis).ravel() for axis in (0, 1)]
    )
    steps = np.abs(steps[np.isfinite(steps) & (steps != 0)])
    return _MAD_TO_SIGMA * float(np.median(steps)) / np.sqrt(2.0) if len(steps) else 0.0


def fill_bad(plane: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Return the plane with bad pixels replaced: the median of good ones near by, else the sky."""
    bad = ~np.isfinite(plane)
    if not bad.any():
        return plane
    filled = plane.copy()
    rows, columns = np.nonzero(bad)
    padded = np.pad(np.where(bad, np.nan, plane), 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    near = windows[rows, columns].reshape(len(rows), 25)
    has_good = np.isfinite(near).any(axis=1)
    filled[rows, columns] = level
    if has_good.any():
        filled[rows[has_good], columns[has_good]] = np.nanmedian(near[has_good], axis=1)
    return filled
