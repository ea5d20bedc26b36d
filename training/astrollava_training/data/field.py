"""What stands around a galaxy, or instead of it: neighbours, stars, star fields, clusters."""

from __future__ import annotations

import numpy as np

from . import profiles as p
from .morphology import colour
from .profiles import Array

__all__ = ["bright_star", "cluster", "neighbours", "points", "star_colours"]

_CLEAR = 8.0  # peak, in sky noise, above which a companion or star is plainly seen


def star_colours(rng: np.random.Generator, count: int) -> Array:
    """Band ratios of stars, shape (3, count): mostly red dwarfs, some white and blue."""
    red = np.clip(rng.beta(1.6, 1.2, count) * 1.7 - 0.4, -0.5, 1.4)
    return np.stack([0.86 + 0.45 * red, np.ones(count), 1.18 - 0.6 * red]).astype(np.float32)


def points(light: Array, x: Array, y: Array, flux: Array) -> None:
    """Add points of ``flux`` (3, k) to ``light`` (3, n, n) in place, placed from its corner."""
    n = light.shape[-1]
    left, low = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    dx, dy = x - left, y - low
    for i, j, part in (
        (0, 0, (1 - dx) * (1 - dy)),
        (1, 0, dx * (1 - dy)),
        (0, 1, (1 - dx) * dy),
        (1, 1, dx * dy),
    ):
        inside = (left + i >= 0) & (left + i < n) & (low + j >= 0) & (low + j < n)
        at, share = ((low + j)[inside], (left + i)[inside]), (flux * part)[:, inside]
        for band, added in zip(light, share, strict=True):
            np.add.at(band, at, added)


def _stamp(
    light: Array, rng: np.random.Generator, x: float, y: float, half: float, peak: float
) -> None:
    n, reach = light.shape[-1], int(min(4 * half + 3, 40))
    x0, x1 = max(int(x) - reach, 0), min(int(x) + reach + 1, n)
    y0, y1 = max(int(y) - reach, 0), min(int(y) + reach + 1, n)
    if x0 >= x1 or y0 >= y1:
        return
    gx, gy = p.grid(n)
    centre = (x - (n - 1) / 2, y - (n - 1) / 2)
    u, v = p.turned(gx[y0:y1, x0:x1], gy[y0:y1, x0:x1], centre, rng.uniform(0, np.pi))
    radius = p.elliptical_radius(u, v, rng.uniform(0.25, 1.0))
    shape = p.sersic(radius, half, rng.uniform(0.8, 2.5)) * np.float32(0.4 * peak)
    light[:, y0:y1, x0:x1] += np.minimum(shape, 200) * colour(rng, rng.normal(0.5, 0.35))


def neighbours(
    rng: np.random.Generator, light: Array, density: float, psf: float, *, keep_clear: float
) -> int:
    """Add small galaxies and stars in place.

    Parameters
    ----------
    light : ndarray of float32, shape (3, n, n)
        Light before blurring, in sky noise.
    density : float
        Sources expected in the frame.
    psf : float
        Scatter of the point-spread function in pixels.
    keep_clear : float
        Radius in pixels round the centre where companions are faint: a bright one would look
        like a merger.

    Returns
    -------
    int
        How many are plainly seen.
    """
    n = light.shape[-1]
    count = int(rng.poisson(density))
    if count == 0:
        return 0
    peak = np.minimum(1.5 * (1 - rng.random(count)) ** (-1 / 1.1), 400.0)
    x, y = rng.uniform(0, n, count), rng.uniform(0, n, count)
    away = np.hypot(x - n / 2, y - n / 2)
    peak = np.where((away < keep_clear) & (rng.random(count) < 0.8), np.minimum(peak, 4.0), peak)
    star = rng.random(count) < rng.uniform(0.2, 0.8)
    flux = (peak * 2 * np.pi * psf**2)[None] * star_colours(rng, count)
    points(
        light,
        x[star].astype(np.float32),
        y[star].astype(np.float32),
        flux[:, star].astype(np.float32),
    )
    for i in np.flatnonzero(~star):
        half = float(min(rng.lognormal(0.1, 0.5) * (1 + 0.25 * np.log(peak[i])), 0.12 * n))
        _stamp(light, rng, x[i], y[i], half, float(peak[i]))
    return int(np.sum(peak > _CLEAR))


def bright_star(
    rng: np.random.Generator, n: int, x: float, y: float, psf: float, peak: float
) -> Array:
    """Saturated star with halo and diffraction spikes, already blurred, shape (3, n, n)."""
    gx, gy = p.grid(n)
    centre = (x - (n - 1) / 2, y - (n - 1) / 2)
    u, v = p.turned(gx, gy, centre, rng.choice([0.0, np.pi / 4, rng.uniform(0, np.pi)]))
    r2 = u * u + v * v
    core = (
        np.exp(r2 * np.float32(-0.5 / psf**2))
        + np.float32(0.02) / (1 + r2 / np.float32(9 * psf**2)) ** 1.5
    )
    if rng.random() < 0.75:
        long = np.float32(rng.uniform(3, 12) * psf)
        for along, across in ((u, v), (v, u)):
            spike = np.exp(-np.abs(along) / long) / (1 + (across / np.float32(0.8 * psf)) ** 4)
            core += np.float32(rng.uniform(0.02, 0.08)) * spike
    tint = star_colours(rng, 1)[:, :, None]
    return np.asarray(np.float32(peak) * core * tint, np.float32)


def cluster(rng: np.random.Generator, light: Array, psf: float) -> None:
    """Add a globular (dense, King-like) or open star cluster in place."""
    n = light.shape[-1]
    dense = rng.random() < 0.65
    count = int(rng.integers(300, 1500) if dense else rng.integers(25, 120))
    core = n * (rng.uniform(0.03, 0.12) if dense else rng.uniform(0.12, 0.25))
    radius = core * np.sqrt((1 - rng.random(count)) ** (-1 / rng.uniform(0.7, 1.3)) - 1)
    angle = rng.uniform(0, 2 * np.pi, count)
    middle = n / 2 + rng.normal(0, 0.04 * n, 2)
    peak = np.minimum(rng.uniform(1, 5) * (1 - rng.random(count)) ** (-1 / 1.2), 300.0)
    flux = ((peak * 2 * np.pi * psf**2)[None] * star_colours(rng, count)).astype(np.float32)
    x, y = middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle)
    points(light, x.astype(np.float32), y.astype(np.float32), flux)
    if dense and rng.random() < 0.6:
        gx, gy = p.grid(n)
        u, v = p.turned(gx, gy, (middle[0] - n / 2, middle[1] - n / 2), 0.0)
        glow = (1 + (u * u + v * v) / np.float32(core**2)) ** np.float32(-1.4)
        light += glow * np.float32(rng.uniform(2, 25)) * colour(rng, 0.55)
