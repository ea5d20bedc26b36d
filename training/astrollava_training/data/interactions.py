"""Disturbed galaxies and mergers: tails, shells, bridges, displaced light, clumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import profiles as p
from .morphology import DRAWN, Made, Stage, colour, disk, smooth
from .profiles import Array

__all__ = ["disturbed", "merging"]


def _tails(
    rng: np.random.Generator, stage: Stage, count: int, length: tuple[float, float]
) -> Array:
    x, y = p.grid(stage.n)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, np.pi))
    r, theta = p.polar(u, v, rng.uniform(0.5, 1.0))
    light = np.zeros((3, stage.n, stage.n), np.float32)
    phase, sense = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    for _ in range(count):
        start = float(rng.uniform(0.25, 0.5) * stage.reach)
        shape = p.tail(
            r,
            theta,
            start=start,
            end=float(rng.uniform(*length) * stage.reach),
            pitch=float(sense * np.radians(rng.uniform(25, 65))),
            phase=phase,
            width=float(rng.uniform(0.07, 0.16) * stage.reach + 0.5),
        )
        bright = float(rng.uniform(2.5, 10) * stage.faintest)
        light += bright * shape * colour(rng, rng.uniform(0.0, 0.5))
        phase += np.pi + rng.normal(0, 0.4)
    return light


def _shells(rng: np.random.Generator, stage: Stage) -> Array:
    x, y = p.grid(stage.n)
    u, v = p.turned(x, y, stage.centre, rng.uniform(0, 2 * np.pi))
    r, theta = p.polar(u, v, rng.uniform(0.75, 1.0))
    light = np.zeros((stage.n, stage.n), np.float32)
    for k in range(int(rng.integers(1, 4))):
        at = float(rng.uniform(0.6, 1.3) * stage.reach)
        side = np.maximum(np.cos(theta - np.float32(k * np.pi + rng.normal(0, 0.3))), 0) ** 2
        # A shell has a sharp outer edge and fades inwards.
        inside = np.clip((r - np.float32(0.6 * at)) * np.float32(2.5 / at), 0, 1)
        light += inside * (r < at) * side * np.float32(rng.uniform(1.5, 5) * stage.faintest)
    return light * colour(rng, rng.uniform(0.4, 0.9))


def _clumps(rng: np.random.Generator, stage: Stage, count: int) -> Array:
    x, y = p.grid(stage.n)
    light = np.zeros((3, stage.n, stage.n), np.float32)
    for _ in range(count):
        away = np.abs(rng.normal(0, 0.4)) * stage.reach
        angle = rng.uniform(0, 2 * np.pi)
        at = (stage.centre[0] + away * np.cos(angle), stage.centre[1] + away * np.sin(angle))
        u, v = p.turned(x, y, at, rng.uniform(0, np.pi))
        m = p.elliptical_radius(u, v, rng.uniform(0.35, 1.0))
        half = rng.uniform(0.08, 0.25) * stage.reach
        bright = rng.uniform(2, 12) * stage.faintest
        light += (
            p.sersic(m, half, rng.uniform(0.5, 1.1))
            * np.float32(bright)
            * colour(rng, rng.normal(0, 0.25))
        )
    return light


def disturbed(rng: np.random.Generator, stage: Stage) -> tuple[Array, Made]:
    """One galaxy out of order: warped, lopsided, with tails or shells, or an irregular."""
    kind = rng.choice(
        ["warped", "tails", "shells", "irregular", "lopsided"], p=[0.28, 0.3, 0.05, 0.2, 0.17]
    )
    x, y = p.grid(stage.n)
    inner = replace(stage, reach=stage.reach * rng.uniform(0.7, 1.0))
    strength = float(rng.uniform(0.7, 1.0))
    if kind == "irregular":
        light, made = disk(rng, inner, warp=rng.uniform(0.1, 0.3), tilt=(0.35, 0.9))
        light = light * np.float32(rng.uniform(0.3, 0.8)) + _clumps(
            rng, inner, int(rng.integers(3, 10))
        )
        made.bulge = made.bar = 0.0
        made.odd = {"irregular": strength, "disturbed": 0.35 * strength}
        return light, made
    pitch = (15, 45) if rng.random() < 0.6 else None
    if kind == "shells" or rng.random() < 0.2:
        light, made = smooth(rng, inner, 0.5, 1.0)
    else:
        light, made = disk(rng, inner, pitch=pitch, warp=rng.uniform(0.1, 0.22), tilt=(0.35, 1.0))
    if kind == "tails" or (kind == "warped" and rng.random() < 0.3):
        light = light + _tails(rng, inner, int(rng.integers(1, 3)), (1.1, 2.2))
    elif kind == "shells":
        light = light + _shells(rng, stage)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        across = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        light = light * (
            1 + np.float32(rng.uniform(0.5, 1.0)) * np.tanh(across / np.float32(0.5 * inner.reach))
        )
    if rng.random() < 0.35:
        light = light + _clumps(
            rng, replace(inner, reach=1.3 * inner.reach), int(rng.integers(1, 4))
        )
    made.odd = {"disturbed": strength, "merger": 0.2 * strength, "irregular": 0.15 * strength}
    made.arm_contrast *= 0.6
    return light, made


def merging(rng: np.random.Generator, stage: Stage) -> tuple[Array, Made]:
    """Two galaxies in contact or overlap, mostly with tails, a bridge or bent disks."""
    ratio = float(rng.uniform(0.45, 1.0))
    first = stage.reach * rng.uniform(0.55, 0.8)
    second = first * ratio
    apart = float(rng.uniform(0.3, 1.0) * (first + second))
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    # Pictures are centred on the pair, or on its brighter member.
    share = float(rng.choice([0.0, ratio / (1 + ratio)]))
    x0, y0 = stage.centre[0] - share * apart * cos, stage.centre[1] - share * apart * sin
    stages = (
        replace(stage, centre=(x0, y0), reach=first),
        replace(stage, centre=(x0 + apart * cos, y0 + apart * sin), reach=second),
    )
    faint = stage.faintest
    light = np.zeros((3, stage.n, stage.n), np.float32)
    mades = []
    for one in stages:
        choice = rng.random()
        if choice < 0.4:
            drawn, made = smooth(rng, one, 0.4, 1.0)
        elif choice < 0.85:
            pitch = (12, 40) if rng.random() < 0.6 else None
            drawn, made = disk(rng, one, pitch=pitch, warp=rng.uniform(0, 0.2), tilt=(0.25, 1.0))
        else:
            drawn, made = DRAWN[str(rng.choice(["edge_on_bulge", "edge_on_no_bulge"]))](rng, one)
        light += drawn
        mades.append(made)
    if rng.random() < 0.6:
        light += _tails(rng, stages[0], int(rng.integers(1, 3)), (1.2, 2.3))
    if rng.random() < 0.3:
        light += _tails(rng, stages[1], 1, (1.2, 2.5))
    if rng.random() < 0.5:
        x, y = p.grid(stage.n)
        u, v = p.turned(
            x, y, ((x0 + stages[1].centre[0]) / 2, (y0 + stages[1].centre[1]) / 2), angle
        )
        bridge = np.exp(
            -((u / np.float32(0.55 * apart + 1)) ** 4) - (v / np.float32(0.25 * second + 1)) ** 2
        )
        light += bridge * np.float32(rng.uniform(1, 5) * faint) * colour(rng, 0.4)
    made = mades[0]
    made.odd = {"merger": 1.0, "disturbed": 0.15}
    made.apart = apart
    made.bar = 0.0
    made.arm_contrast *= 0.6
    return light, made
