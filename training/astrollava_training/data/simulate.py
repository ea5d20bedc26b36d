"""Simulated pictures of galaxies, and of what is not one, with the facts about each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .facts import LABELS, Facts, Kind
from .field import bright_star, cluster, neighbours
from .interactions import disturbed, merging
from .judging import asymmetry, judge
from .morphology import DRAWN, Stage
from .survey import Survey, blur, border, compress, noise, pick, stretch

__all__ = ["MIX", "simulate", "simulate_one"]

MIX: Mapping[str, float] = {
    **dict.fromkeys(LABELS, 0.085),
    "unbarred_loose_spiral": 0.065,
    "unbarred_tight_spiral": 0.1,
    "featureless_disk": 0.05,
    "medium_spiral": 0.03,
    "barred_disk": 0.02,
    "noise": 0.015,
    "blank": 0.012,
    "star_field": 0.015,
    "star": 0.01,
    "cluster": 0.018,
}
"""Share of each thing drawn."""

_EMPTY: Mapping[str, Kind] = {
    "noise": "empty",
    "blank": "empty",
    "star_field": "star_field",
    "star": "star",
    "cluster": "cluster",
}
_PAD = 4  # pixels on each side that take up what the blur wraps round


def _galaxy(
    rng: np.random.Generator, what: str, n: int, size: int, survey: Survey
) -> tuple[np.ndarray, Facts]:
    width = float(np.clip(rng.lognormal(np.log(0.47), 0.42), 0.14, 1.05))
    loose = 0.015 if rng.random() < 0.8 else 0.07
    centre = (float(rng.normal(0, loose * size)), float(rng.normal(0, loose * size)))
    reach = max(0.5 * width * size, 4.0 * survey.psf)
    stage = Stage(n, centre, reach, survey.faintest)
    drawn = {"disturbed": disturbed, "merging": merging, **DRAWN}[what]
    light, made = drawn(rng, stage)
    if what == "disturbed":
        made.asymmetry = asymmetry(blur(light[1:2], survey.psf)[0], 0.8 * survey.faintest)
    density = float(rng.lognormal(np.log(9), 0.9))
    near = neighbours(rng, light, density, survey.psf, keep_clear=1.15 * reach)
    return light, judge(made, survey.psf, near)


def _defects(rng: np.random.Generator, light: np.ndarray) -> None:
    """Rare faults in place: a hot pixel or cosmic ray, a bad column, a satellite's trail."""
    n = light.shape[-1]
    band = slice(None) if rng.random() < 0.3 else int(rng.integers(3))
    kind = rng.random()
    if kind < 0.4:
        for x, y in rng.integers(0, n, (int(rng.integers(1, 6)), 2)):
            light[band, y, x : x + int(rng.integers(1, 4))] += rng.uniform(20, 200)
    elif kind < 0.7:
        x = int(rng.integers(n))
        light[band, :, x : x + int(rng.integers(1, 3))] = rng.choice([-20.0, 60.0, 300.0])
    else:
        y, x = np.mgrid[:n, :n].astype(np.float32)
        angle, off = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5) * n
        away = (x - n / 2) * np.cos(angle) + (y - n / 2) * np.sin(angle) - off
        light[band] += np.float32(rng.uniform(4, 40)) * np.exp(-(away**2) / 2)


def simulate_one(
    rng: np.random.Generator,
    size: int = 120,
    *,
    what: str | None = None,
    survey: Survey | None = None,
    background: tuple[int, int, int] = (0, 0, 0),
) -> tuple[NDArray[np.uint8], Facts]:
    """One picture.

    Parameters
    ----------
    rng : numpy.random.Generator
        All that is drawn by chance comes from it.
    size : int
        Side in pixels.
    what : str, optional
        A key of `MIX`; by chance where left out.
    survey : Survey, optional
        How the picture is taken; by chance where left out.
    background : (int, int, int)
        Colour of the bars where a padded picture is imitated.

    Returns
    -------
    rgb : ndarray of uint8, shape (size, size, 3)
    facts : Facts
    """
    if what is None:
        shares = np.array(list(MIX.values()))
        what = str(rng.choice(list(MIX), p=shares / shares.sum()))
    if what == "blank":
        grey = np.full((size, size, 3), rng.integers(0, 256), np.uint8)
        if rng.random() < 0.3:
            grey[:] = rng.integers(0, 256, 3)
        elif rng.random() < 0.3:
            grey[:] = rng.choice([0, 255])
        return grey, Facts(kind="empty", neighbours=0)
    survey = pick(rng, size / 120) if survey is None else survey
    n = size + 2 * _PAD
    light = np.zeros((3, n, n), np.float32)
    near = 0
    if what == "star_field":
        near = neighbours(rng, light, rng.uniform(40, 260), survey.psf, keep_clear=0.0)
    elif what == "star":
        near = neighbours(rng, light, rng.uniform(0, 15), survey.psf, keep_clear=0.0)
    elif what == "cluster":
        cluster(rng, light, survey.psf)
        neighbours(rng, light, rng.uniform(0, 15), survey.psf, keep_clear=0.0)
    facts = Facts(kind=_EMPTY.get(what, "galaxy"), neighbours=near)
    if what not in _EMPTY:
        light, facts = _galaxy(rng, what, n, size, survey)
    light = blur(light, survey.psf)
    if what == "star":
        x, y = n / 2 + rng.normal(0, 0.04 * n, 2)
        light += bright_star(
            rng, n, x, y, survey.psf * rng.uniform(1, 2.5), rng.lognormal(np.log(800), 1)
        )
    elif what != "noise" and rng.random() < 0.05:
        x, y = rng.uniform(0, n, 2)
        if np.hypot(x - n / 2, y - n / 2) > 0.3 * n:
            light += bright_star(
                rng, n, x, y, survey.psf * rng.uniform(1, 2), rng.lognormal(np.log(300), 1)
            )
    light = noise(rng, light[:, _PAD:-_PAD, _PAD:-_PAD], survey)
    if rng.random() < 0.02:
        _defects(rng, light)
    rgb = stretch(light, survey)
    if rng.random() < 0.5:
        rgb = compress(rgb, int(rng.integers(60, 97)))
    if rng.random() < 0.05:
        rgb = border(rng, rgb, background)
    return rgb, facts


def simulate(
    n: int,
    size: int = 120,
    *,
    seed: int = 0,
    start: int = 0,
    background: tuple[int, int, int] = (0, 0, 0),
) -> tuple[NDArray[np.uint8], list[Facts]]:
    """Pictures ``start`` to ``start + n`` of the endless sequence that ``seed`` names.

    Every picture has its own random stream, so workers may share out a sequence in any way.

    Parameters
    ----------
    n : int
        Number of pictures.
    size : int
        Side in pixels.
    seed, start : int
        Which sequence, and where in it to begin.
    background : (int, int, int)
        Colour of the bars where a padded picture is imitated.

    Returns
    -------
    rgb : ndarray of uint8, shape (n, size, size, 3)
    facts : list of Facts
    """
    rgb = np.empty((n, size, size, 3), np.uint8)
    facts = []
    for i in range(n):
        rgb[i], known = simulate_one(
            np.random.default_rng((seed, start + i)), size, background=background
        )
        facts.append(known)
    return rgb, facts
