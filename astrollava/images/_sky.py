"""Where the sky is, how noisy it is, and what to put where a pixel is bad."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sky", "fill_bad", "is_fractional", "measure", "zeros_mean_no_data"]

# 1 / Phi^-1(3/4): the median absolute deviation of a Gaussian to its standard deviation.
_MAD_TO_SIGMA = 1.4826
# More values would not change the estimates by what eight bits can show.
_SAMPLE = 20_000
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
    level, sigma, count = _middle(values), 0.0, len(values)
    for _ in range(20):
        # The values are sorted, so medians and what lies below a limit are found by position.
        below = values[: np.searchsorted(values, level, side="right")]
        sigma = _MAD_TO_SIGMA * (level - _middle(below))
        count = int(np.searchsorted(values[:count], level + 2.5 * sigma, side="right"))
        previous, level = level, _middle(values[:count])
        if level == previous:
            break
    return Sky(level, sigma, sigma <= 4.0 * _pixel_noise(plane) + 1e-12 * abs(level))


def _middle(values: NDArray[np.float64]) -> float:
    """Return the median of sorted values."""
    half = len(values) // 2
    return float(values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2)


def _sample(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = plane[np.isfinite(plane)]
    flat = flat[:: len(flat) // _SAMPLE + 1].astype(np.float64)
    if zeros_mean_no_data(flat):
        flat = flat[flat != 0]
    return np.sort(flat)


def zeros_mean_no_data(plane: NDArray[np.floating[Any]]) -> bool:
    """Tell whether zeros stand for missing data, as in the coadds of most surveys.

    Zeros among fractional values are no measurements; those of a count image are.
    """
    zeros = np.count_nonzero(plane == 0)
    return bool(_NO_DATA * plane.size < zeros < plane.size) and is_fractional(plane)


def is_fractional(plane: NDArray[np.floating[Any]]) -> bool:
    """Tell whether values are measured, not counted; NaN says neither."""
    return bool(np.any((plane != np.round(plane)) & ~np.isnan(plane)))


def _pixel_noise(plane: NDArray[np.float32]) -> float:
    """Return the noise between neighbours, blind to anything smooth."""
    thin = plane.size // _SAMPLE + 1
    across = np.diff(plane[::thin].astype(np.float64), axis=1).ravel()
    down = np.diff(plane[:, ::thin].astype(np.float64), axis=0).ravel()
    steps = np.abs(np.concatenate([across, down]))
    steps = steps[np.isfinite(steps) & (steps != 0)]
    return _MAD_TO_SIGMA * float(np.median(steps)) / math.sqrt(2.0) if len(steps) else 0.0


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
        # In double precision: the median of an even number is half of a sum, which could overflow.
        values = near[has_good].astype(np.float64)
        filled[rows[has_good], columns[has_good]] = np.nanmedian(values, axis=1)
    return filled
