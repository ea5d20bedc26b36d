"""Pixels near the largest float, next to no noise, and bands without anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from astrollava.images import SkyImage, read, render

LARGEST = np.finfo(np.float32).max
NOISE = np.random.default_rng(3).normal(size=(3, 12, 10))


def lent() -> np.ndarray:
    """Bands that lack what the others have, each with light and almost nothing else."""
    planes = np.zeros((3, 3, 11))
    planes[0, 0, :3] = 2.0873266e16, 0.5, 1.0
    planes[1, 0, [1, 9]] = 8.1511528e21, 5.5
    planes[2, 1, [0, 5]] = 7.0, 1.5
    return planes


def lit() -> np.ndarray:
    """Light that is more times the noise than a float holds."""
    planes = NOISE * 1e-30
    planes[:, 4:6, 4:6] = 1e20
    return planes


@pytest.mark.parametrize(
    ("planes", "options"),
    [
        pytest.param([[[np.inf], [0.6 * LARGEST]]], {"size": (2, 1)}, id="median"),
        pytest.param([[[LARGEST, np.inf, np.inf, np.inf]]], {"size": (1, 1)}, id="mean"),
        pytest.param(lent(), {"size": (3, 10), "rule": "crop"}, id="lent"),
        pytest.param(lit(), {"size": (12, 10)}, id="colour"),
        pytest.param(
            NOISE * 1e10,
            {"size": (12, 10), "interval": (0, 1e-30), "combine": "lupton:3"},
            id="ground",
        ),
    ],
)
def test_no_overflow_warns(planes: Any, options: dict[str, Any]) -> None:
    """Each of these did, in single precision; pytest makes a failure of it."""
    made = render(read(np.asarray(planes, dtype=np.float32)), **options)
    assert np.all(np.isfinite(made.record.limits))


def galaxy(level: float) -> np.ndarray:
    y, x = np.mgrid[:40, :40]
    light = 300 * np.exp(-np.hypot(x - 20, y - 20) / 4)
    return np.stack([light] * 3) + np.random.default_rng(4).normal(level, 1.0, (3, 40, 40))


@pytest.mark.parametrize("dead", [[0], [1], [2], [0, 2]])
def test_a_band_of_zeros_was_not_observed(dead: list[int]) -> None:
    """Services fill a band without coverage with zeros: the galaxy was drawn bright magenta."""
    planes = galaxy(0.0).astype(np.float32)
    planes[dead] = 0
    made = render(SkyImage(planes, ("g", "r", "i")), size=(40, 40))
    middle = made.rgb[17:23, 17:23].astype(int)
    assert middle.min() > 150
    assert np.ptp(middle, axis=-1).max() < 60
    assert made.record.masked_fraction == 1


def test_counts_of_zero_are_measured_beside_pixels_without_any() -> None:
    """NaN was taken for a fraction: where nothing fell outside a field of view, zeros were bad."""
    counts = np.random.default_rng(5).poisson(galaxy(0.0).clip(0) / 10).astype(np.float32)
    counts[:, :4] = np.nan
    assert np.mean(counts == 0) > 0.3
    made = render(SkyImage(counts, ("g", "r", "i")), size=(40, 40))
    assert made.record.masked_fraction == 0.1


def test_a_band_without_a_photon_was_observed() -> None:
    counts = np.random.default_rng(5).poisson(galaxy(5.0).clip(0)).astype(np.float32)
    counts[0] = 0
    made = render(SkyImage(counts, ("g", "r", "i")), size=(40, 40))
    assert made.record.masked_fraction == 0
    assert np.ptp(made.rgb[17:23, 17:23].astype(int), axis=-1).min() > 100
