"""Galaxies of every Galaxy10 class, drawn as light in three bands, with what they are made of.

Lengths are pixels of the final picture, brightness is in units of the sky noise of one pixel, and
the bands are in the order they are shown (red, green, blue).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from . import profiles as p
from .profiles import Array

__all__ = ["DRAWN", "Made", "Stage", "cigar", "colour", "disk", "edge_on", "smooth"]

DUST = np.array([0.7, 1.0, 1.4], np.float32)[:, None, None]  # reddening: more is lost in the blue


@dataclass(frozen=True)
class Stage:
    """Where and how large a galaxy is drawn.

    Attributes
    ----------
    n : int
        Side of the grid in pixels.
    centre : (float, float)
        Pixels from the centre of the grid.
    reach : float
        Radius in pixels at which the galaxy sinks to ``faintest``.
    faintest : float
        Surface brightness there, in units of the sky noise.
    """

    n: int
    centre: tuple[float, float]
    reach: float
    faintest: float


@dataclass
class Made:
    """What was drawn: contrasts of order one, lengths in pixels, before blur and noise.

    ``half_light`` and ``brightness`` (mean level there, in sky noise) say how well it can be seen,
    ``apart`` is the distance of two nuclei, ``asymmetry`` is measured on the blurred light.
    """

    axis_ratio: float
    half_light: float
    brightness: float = 0.0
    edge_on: bool = False
    disk: bool = False
    bulge: float = 0.0
    boxy: bool = False
    bar: float = 0.0
    bar_length: float = 0.0
    arms: int = 0
    pitch: float = 0.0
    arm_contrast: float = 0.0
    arm_spacing: float = 0.0
    flocculent: float = 0.0
    apart: float = 0.0
    asymmetry: float = 0.0
    odd: dict[str, float] = field(default_factory=dict)


def colour(rng: np.random.Generator, red: float, scatter: float = 0.03) -> Array:
    """Band ratios, shape (3, 1, 1), green near one, of a population from blue (0) to red (1)."""
    ratios = np.array([0.92 + 0.36 * red, 1.0, 1.12 - 0.54 * red]) * np.exp(
        rng.normal(0, scatter, 3)
    )
    return np.asarray(ratios, np.float32)[:, None, None]


def _sersic(
    rng: np.random.Generator, stage: Stage, q: float, index: float, red: float
) -> tuple[Array, Made]:
    x, y = p.grid(stage.n)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
    half = stage.reach / rng.uniform(2.1, 3.0 + 0.7 * index)
    boxiness = 2.0 if rng.random() < 0.7 else float(rng.uniform(1.8, 2.5))
    profile = p.sersic(p.elliptical_radius(u, v, q, boxiness), half, index)
    edge = float(p.sersic(np.array([stage.reach], np.float32), half, index)[0])
    level = min(stage.faintest / edge, 150.0)
    # Early types redden gently inwards: a bluer envelope is a second, wider profile.
    inner, outer = colour(rng, red), colour(rng, red - rng.uniform(0.0, 0.3), 0.02)
    mix = np.exp(p.elliptical_radius(u, v, q) * np.float32(-0.7 / half))
    light = (level * profile) * (outer + (inner - outer) * mix)
    if rng.random() < 0.6:
        # No galaxy is a formula: faint unevenness, and isophotes that are not quite concentric.
        uneven = p.smooth_field(rng, stage.n, int(rng.integers(5, 20)))
        tilt = (u * np.float32(np.cos(index)) + v * np.float32(np.sin(index))) / np.float32(
            stage.reach
        )
        light = light * np.maximum(1 + np.float32(rng.uniform(0, 0.09)) * (uneven + 2 * tilt), 0.3)
    return light, Made(axis_ratio=q, half_light=half, brightness=level * 1.5)


def smooth(rng: np.random.Generator, stage: Stage, low: float, high: float) -> tuple[Array, Made]:
    """Smooth galaxy with an axis ratio between ``low`` and ``high``."""
    index = float(np.clip(rng.lognormal(0.75, 0.5), 0.7, 5.5))
    red = float(np.clip(rng.normal(0.45 + 0.09 * index, 0.22), -0.1, 1.15))
    light, made = _sersic(rng, stage, float(rng.uniform(low, high)), index, red)
    if rng.random() < 0.04:
        x, y = p.grid(stage.n)
        u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
        lane = np.exp(-((v / (0.12 * made.half_light + 0.5)) ** 2) - (u / made.half_light) ** 2)
        light = light * np.exp(-rng.uniform(0.5, 1.6) * DUST * lane)
        made.odd["dust_lane"] = 0.8
    return light, made


def disk(
    rng: np.random.Generator,
    stage: Stage,
    *,
    barred: bool = False,
    pitch: tuple[float, float] | None = None,
    tilt: tuple[float, float] = (0.42, 1.0),
    warp: float = 0.0,
) -> tuple[Array, Made]:
    """Disk not seen from its edge, with arms of a ``pitch`` (degrees), a bar, a ring, or none."""
    n, q = stage.n, float(rng.uniform(*tilt))
    x, y = p.grid(n)
    if warp:
        push = np.float32(warp * stage.reach)
        x, y = x + push * p.smooth_field(rng, n, 3), y + push * p.smooth_field(rng, n, 3)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
    r, theta = p.polar(u, v, q)
    scale = stage.reach / rng.uniform(2.6, 5.0)
    level = stage.faintest * float(np.exp(stage.reach / scale)) * rng.uniform(0.7, 1.2)
    base = np.exp(r * np.float32(-1.0 / scale)) * p.fade(r, 1.15 * stage.reach, stage.reach / 9)
    made = Made(q, 1.68 * scale, level * 0.3, disk=True)
    old, young = (
        float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
        float(np.clip(rng.normal(0.12, 0.2), -0.2, 0.6)),
    )
    length = float(rng.uniform(0.22, 0.48) * stage.reach) if barred else 0.0
    start = length if barred else float(rng.uniform(0.12, 0.3) * stage.reach)
    phase = float(rng.uniform(0, 2 * np.pi))
    clumps = p.smooth_field(rng, n, 24)
    young_light = base * np.float32(0.0)
    dust: Array | None = None
    if pitch is not None:
        number = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.05, 0.56, 0.18, 0.1, 0.06, 0.05]))
        if barred and number != 2 and rng.random() < 0.7:
            number = 2
        degrees = float(rng.uniform(*pitch))
        signed = np.radians(degrees) * rng.choice([-1, 1])
        rough = float(rng.beta(1.6, 3.2))
        wobble = p.smooth_field(rng, n, 6) * np.float32(0.12 + 0.9 * rough / number)
        sharp = float(rng.uniform(1.0, 3.5))

        def ridges(at: float) -> Array:
            return p.arms(
                r, theta, number, signed, start=start, phase=at, sharpness=sharp, wobble=wobble
            )

        ridge = ridges(phase)
        rise = np.clip((r - np.float32(0.75 * start)) * np.float32(2.2 / start), 0, 1)
        reach = rng.uniform(0.75, 1.2) * stage.reach
        rise *= p.fade(r, reach, reach / 10)
        uneven = 1 + np.float32(rng.uniform(0, 0.5)) * np.cos(
            theta - np.float32(rng.uniform(0, 6.3))
        )
        # Tightly wound arms are shallow ripples more often than strong waves.
        contrast = float(rng.uniform(0.5, 3.0)) * min(1.0, 0.4 + degrees / 28)
        flicker = np.maximum(1 + np.float32(0.2 + 0.7 * rough) * clumps, 0)
        young_light = base * ridge * rise * uneven * flicker * np.float32(contrast)
        # Arms gather the light of the disk: between them it is thinner than a plain disk would be.
        base = base * (1 - np.float32(min(0.25 * contrast, 0.6)) * rise * (1 - ridge))
        if rng.random() < 0.5:
            lane = ridges(phase + 0.45 * float(np.sign(signed)) / number)
            dust = np.float32(rng.uniform(0.2, 0.9)) * lane * lane * rise
        if rng.random() < 0.7:
            knots = rng.random((n, n), dtype=np.float32) ** 12 * np.float32(rng.uniform(1, 5))
            young_light *= 1 + knots
        made.arms, made.pitch, made.flocculent = number, degrees, rough
        made.arm_contrast = contrast * float(1 - np.exp(-2 * sharp)) * (1 - 0.5 * rough)
        made.arm_spacing = float(
            min(np.expm1(2 * np.pi * np.tan(np.radians(degrees)) / number), 1.6)
        )
        made.arm_spacing *= 1.5 * scale * np.sqrt(q)
    elif rng.random() < 0.5:
        young_light = base * np.maximum(clumps, 0) * np.float32(rng.uniform(0, 0.25))
    if rng.random() < (0.22 if barred else 0.09):
        at = length * rng.uniform(0.95, 1.2) if barred else stage.reach * rng.uniform(0.3, 0.75)
        strength = float(rng.uniform(0.4, 1.6))
        glow = p.ring(r, at, rng.uniform(0.1, 0.2) * at) * np.float32(
            strength * np.exp(-at / scale)
        )
        young_light = young_light + glow
        made.odd["ring"] = strength * min(1.0, 0.1 * at) * 0.8
    light = level * (base * colour(rng, old) + young_light * colour(rng, young))
    if dust is not None:
        light *= np.exp(-dust * DUST)
    if barred:
        angle = phase + rng.uniform(-0.1, 0.1)
        along = r * np.cos(theta - np.float32(angle))
        across = r * np.sin(theta - np.float32(angle))
        strength = float(rng.uniform(0.5, 1.6))
        height = level * strength * float(np.exp(-0.55 * length / scale))
        light += (
            height
            * p.bar(along, across, length, rng.uniform(0.2, 0.38) * length)
            * colour(rng, 0.75)
        )
        made.bar, made.bar_length = strength, length * float(np.sqrt(q))
    if rng.random() < 0.85:
        share = float(rng.beta(1.2, 5.0)) * 0.7
        index, half = float(rng.uniform(0.8, 3.5)), float(scale * rng.uniform(0.15, 0.6))
        squash = 1 - 0.5 * (1 - q)
        lump = p.sersic(p.elliptical_radius(u, v, squash), half, index)
        total = float(base.sum()) * level * share / (1 - share)
        light += np.minimum(lump * np.float32(total / float(lump.sum())), 400.0) * colour(rng, 0.85)
        made.bulge = share
    return light, made


def cigar(rng: np.random.Generator, stage: Stage) -> tuple[Array, Made]:
    """Elongated smooth galaxy: a thin spheroid, or a thick disk near its edge without features."""
    if rng.random() < 0.5:
        return smooth(rng, stage, 0.22, 0.42)
    x, y = p.grid(stage.n)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
    scale = stage.reach / rng.uniform(2.4, 4.2)
    thick = float(rng.uniform(0.17, 0.3))
    level = min(stage.faintest * float(np.exp(stage.reach / scale)), 200.0)
    profile = p.edge_on_disk(u, v, scale, thick * stage.reach)
    light = level * profile * colour(rng, float(np.clip(rng.normal(0.55, 0.25), -0.1, 1.1)))
    return light, Made(thick * 1.4, 1.1 * scale, level * 0.4)


def edge_on(rng: np.random.Generator, stage: Stage, *, bulged: bool) -> tuple[Array, Made]:
    """Disk seen from its edge, with a rounded or boxy bulge or none, sometimes with a dust lane."""
    x, y = p.grid(stage.n)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
    bend = rng.normal(0, 0.06) / stage.reach
    v = (
        v - np.float32(bend) * u * np.abs(u)
        if rng.random() < 0.3
        else v + np.float32(0.3 * bend) * u * u
    )
    scale = stage.reach / rng.uniform(2.6, 4.8)
    thin = float(rng.uniform(0.06, 0.16 if not bulged else 0.18))
    height = max(thin * stage.reach, 0.4)
    level = stage.faintest * float(np.exp(stage.reach / scale)) * rng.uniform(0.7, 1.4)
    profile = p.edge_on_disk(u, v, scale, height)
    profile *= p.fade(np.abs(u), 1.05 * stage.reach, stage.reach / 12)
    clumpy = 1 + np.float32(rng.uniform(0, 0.2)) * p.smooth_field(rng, stage.n, 24)
    red = float(np.clip(rng.normal(0.55 if bulged else 0.35, 0.25), -0.1, 1.1))
    light = level * profile * np.maximum(clumpy, 0) * colour(rng, red)
    made = Made(thin * 1.2, 1.1 * scale, level * 0.4, edge_on=True, disk=True)
    if bulged:
        share = float(rng.uniform(0.07, 0.4))
        made.boxy = bool(rng.random() < 0.2)
        shape = p.elliptical_radius(u, v, rng.uniform(0.6, 0.95), 3.5 if made.boxy else 2.0)
        lump = p.sersic(
            shape, max(rng.uniform(0.08, 0.26) * stage.reach, 1.3 * height), rng.uniform(0.8, 2.5)
        )
        total = float(profile.sum()) * level * share / (1 - share)
        light += np.minimum(lump * np.float32(total / float(lump.sum())), 400.0) * colour(rng, 0.9)
        made.bulge = share
    if rng.random() < 0.35:
        depth = float(rng.uniform(0.3, 2.2))
        off = (v - np.float32(rng.normal(0, 0.4) * height)) / np.float32(0.35 * height + 0.25)
        lane = np.exp(-off * off - (u / np.float32(1.6 * scale)) ** 2)
        light *= np.exp(-depth * DUST * lane)
        made.odd["dust_lane"] = min(depth * height / 4, 1.0)
    return light, made


DRAWN: dict[str, Callable[[np.random.Generator, Stage], tuple[Array, Made]]] = {
    "round_smooth": lambda rng, stage: smooth(rng, stage, 0.84, 1.0),
    "in_between_smooth": lambda rng, stage: smooth(rng, stage, 0.46, 0.8),
    "cigar_smooth": cigar,
    "barred_spiral": lambda rng, stage: disk(rng, stage, barred=True, pitch=(9, 38)),
    "unbarred_tight_spiral": lambda rng, stage: disk(rng, stage, pitch=(7, 19)),
    "unbarred_loose_spiral": lambda rng, stage: disk(rng, stage, pitch=(25, 45)),
    "edge_on_no_bulge": lambda rng, stage: edge_on(rng, stage, bulged=False),
    "edge_on_bulge": lambda rng, stage: edge_on(rng, stage, bulged=True),
    "featureless_disk": lambda rng, stage: disk(rng, stage, tilt=(0.3, 1.0)),
    "medium_spiral": lambda rng, stage: disk(rng, stage, pitch=(17, 27)),
    "barred_disk": lambda rng, stage: disk(rng, stage, barred=True),
}
"""How a galaxy of each name is drawn: light of shape (3, n, n), and what it is made of."""
