"""Float planes on the output's grid to 8-bit RGB: limits, stretch and colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import RenderError
from astrollava.images._colour import balance, calm
from astrollava.images._scaling import Interval, Limits, Stretch, widened
from astrollava.images._sky import Sky, fill_bad, measure

__all__ = ["Combine", "Tone", "paint"]

# The automatic choice, in units of the sky's noise: black below, softening of asinh, least white.
# They give DECaLS cut-outs the look of the survey's own pictures, whose black, softening and white
# lie at -0.5, 1 and 300 units of about two sigma.
_BLACK, _SOFT = 1.0, 2.0
_LEAST_WHITE = {1: 50.0, 2: 200.0, 3: 200.0}
_WHITE_PERCENTILE = 99.7
# Where no flat sky is seen, the median is drawn at this share of full brightness.
_MEDIAN_SHADE = 0.35
# The softening of asinh stays within what eight bits can show.
_SOFTEST, _HARDEST = 1.0, 0.002
# Noise of this size needs no unit of its own.
_ORDINARY = 1e-20, 1e6
# Keeps hot pixels finite in what follows, where white is 1.
_BOUND = 1e15
_FLOATS = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Combine:
    """How three planes become colour, and the signal to noise below which colour fades."""

    name: str
    fade: float = 0.0

    @classmethod
    def parse(cls, asked: Any) -> Combine:
        """Understand ``"lupton"``, ``"lupton:3"`` and ``"simple"``, also with a number."""
        name, _, rest = (
            asked.strip().lower().partition(":") if isinstance(asked, str) else ("",) * 3
        )
        try:
            fade = float(rest) if rest else 0.0
        except ValueError:
            fade = math.nan
        if name not in ("lupton", "simple") or not 0 <= fade < 1e6:
            raise RenderError(
                f"there is no combination {asked!r}",
                expected="'lupton' or 'simple', also 'lupton:3': colour fades below that S/N",
            )
        return cls(name, fade)

    def __str__(self) -> str:
        return f"{self.name}:{self.fade:g}" if self.fade else self.name


@dataclass(frozen=True)
class Tone:
    """What was chosen to paint the planes."""

    interval: str
    limits: tuple[Limits, ...]
    stretch: str
    combine: str
    chosen: tuple[str, ...]


def paint(
    planes: Sequence[NDArray[np.float32]],
    names: Sequence[str],
    *,
    interval: Interval | None,
    stretch: Stretch | None,
    combine: Combine | None,
    calibrated: bool,
) -> tuple[NDArray[np.uint8], Tone]:
    """Paint one, two or three planes, red first, NaN where bad, as ``(ny, nx, 3)`` shades."""
    skies = [measure(p) if np.isfinite(p).any() else Sky(0.0, 0.0, True) for p in planes]
    good = [p[np.isfinite(p)].astype(np.float64) for p in planes]
    filled = [fill_bad(p, sky.level) for p, sky in zip(planes, skies, strict=True)]
    weights = _weights(filled, names, skies, calibrated, _unit(filled, skies))
    if len(planes) > 1:
        filled = _borrow(planes, filled, skies, weights)
    light = np.mean(
        [_levelled(p, s.level, w) for p, s, w in zip(filled, skies, weights, strict=True)], axis=0
    )
    overall = _overall(light, skies, weights)
    if interval is None:
        low, high = _automatic_limits(light, overall, _LEAST_WHITE[len(planes)])
        limits = tuple(
            widened(sky.level + weight * low, sky.level + weight * high)
            for sky, weight in zip(skies, weights, strict=True)
        )
    else:
        _check_pairs(interval, len(planes))
        limits = tuple(
            interval.limits(values if len(values) else np.zeros(1), band)
            for band, values in enumerate(good)
        )
    scaled = [_levelled(p, lo, hi - lo) for p, (lo, hi) in zip(filled, limits, strict=True)]
    grounds = [
        min(max((s.level - lo) / (hi - lo), -_BOUND), _BOUND)
        for s, (lo, hi) in zip(skies, limits, strict=True)
    ]
    used = stretch or _automatic_stretch(scaled, skies, limits)
    mixed = combine or Combine("simple", 5.0)
    shades = _grey(scaled[0], used) if len(planes) == 1 else _mix(scaled, grounds, used, mixed)
    asked = {"interval": interval, "stretch": stretch, "combine": combine}
    if len(planes) == 1:
        del asked["combine"]
    return shades, Tone(
        "auto" if interval is None else str(interval),
        limits,
        str(used),
        "grey" if len(planes) == 1 else str(mixed),
        tuple(name for name, value in asked.items() if value is None),
    )


def _levelled(plane: NDArray[np.float32], level: float, scale: float) -> NDArray[np.float32]:
    return np.clip(_bare(plane, level, scale), -_BOUND, _BOUND).astype(np.float32)


def _bare(plane: NDArray[np.float32], level: float, scale: float) -> NDArray[np.float64]:
    # In double precision: a faint signal on a high level would be lost to rounding.
    return (plane.astype(np.float64) - level) / scale


def _unit(planes: Sequence[NDArray[np.float32]], skies: Sequence[Sky]) -> float:
    """Return what to measure the light in: 1 for ordinary numbers, a power of two for others.

    In W/Hz or in solar luminosities every pixel of a galaxy lies beyond the bounds that are for hot
    ones. A power of two changes no digit.
    """
    size = max(sky.sigma for sky in skies)
    if size <= 0:
        away = [np.abs(_bare(p, s.level, 1.0)) for p, s in zip(planes, skies, strict=True)]
        size = max((float(np.median(a[a > 0])) for a in away if a.any()), default=1.0)
    return 1.0 if _ORDINARY[0] < size < _ORDINARY[1] else 2.0 ** round(math.log2(size))


def _borrow(
    planes: Sequence[NDArray[np.float32]],
    filled: Sequence[NDArray[np.float32]],
    skies: Sequence[Sky],
    weights: Sequence[float],
) -> list[NDArray[np.float32]]:
    """Fill what only some bands lack from the others: grey there, not the colour of the rest."""
    good = np.stack([np.isfinite(p) for p in planes])
    count = good.sum(axis=0)
    some = (count > 0) & (count < len(planes))
    if not some.any():
        return list(filled)
    bare = np.stack(
        [_bare(p[some], s.level, w) for p, s, w in zip(filled, skies, weights, strict=True)]
    )
    light = np.sum(bare * good[:, some], axis=0) / count[some]
    borrowed = []
    for plane, has, sky, weight in zip(filled, good, skies, weights, strict=True):
        whole = plane.copy()
        lent = np.clip(sky.level + weight * light, *_FLOATS)
        whole[some] = np.where(has[some], plane[some], lent)
        borrowed.append(whole)
    return borrowed


def _weights(
    planes: Sequence[NDArray[np.float32]],
    names: Sequence[str],
    skies: Sequence[Sky],
    calibrated: bool,
    unit: float,
) -> list[float]:
    sigmas = [sky.sigma / unit for sky in skies]
    if len(planes) == 1 or min(sigmas) <= 0:
        # Without noise in a band there is nothing to measure colours against.
        return [unit] * len(planes)
    bare = [_levelled(p, sky.level, unit) for p, sky in zip(planes, skies, strict=True)]
    return [unit * weight for weight in balance(bare, names, sigmas, calibrated=calibrated)]


def _overall(light: NDArray[np.float32], skies: Sequence[Sky], weights: Sequence[float]) -> Sky:
    """Return the sky of the mean of the bands, with the noise of one: colour shows that noise."""
    measured = measure(light)
    sigma = float(np.mean([sky.sigma / w for sky, w in zip(skies, weights, strict=True)]))
    return Sky(measured.level, sigma, all(sky.seen for sky in skies))


def _automatic_limits(light: NDArray[np.float32], sky: Sky, least: float) -> Limits:
    values = light.astype(np.float64)
    low, white = (float(v) for v in np.percentile(values, (0.5, _WHITE_PERCENTILE)))
    if sky.seen and sky.sigma > 0:
        low = sky.level - _BLACK * sky.sigma
        return low, max(white, sky.level + least * sky.sigma)
    # A few points on an even ground lie above every percentile.
    return low, white if white > low else float(values.max())


def _automatic_stretch(
    scaled: Sequence[NDArray[np.float32]], skies: Sequence[Sky], limits: Sequence[Limits]
) -> Stretch:
    noise = float(
        np.mean([sky.sigma / (hi - lo) for sky, (lo, hi) in zip(skies, limits, strict=True)])
    )
    if all(sky.seen for sky in skies) and noise > 0:
        soft = _SOFT * noise
    else:
        median = float(np.median(np.mean(scaled, axis=0)))
        trials = np.geomspace(_HARDEST, _SOFTEST, 60)
        shades = np.arcsinh(median / trials) / np.arcsinh(1.0 / trials)
        soft = float(trials[np.argmin(np.abs(shades - _MEDIAN_SHADE))]) if median > 0 else 0.05
    # Six digits, as the record writes them: what is repeated from it is then the same.
    return Stretch("asinh", float(f"{min(max(soft, _HARDEST), _SOFTEST):.6g}"))


def _grey(scaled: NDArray[np.float32], stretch: Stretch) -> NDArray[np.uint8]:
    shades = stretch.build()(scaled.astype(np.float64), clip=True)
    return np.repeat(_eight_bit(shades)[..., None], 3, axis=-1)


def _mix(
    scaled: Sequence[NDArray[np.float32]],
    grounds: Sequence[float],
    stretch: Stretch,
    combine: Combine,
) -> NDArray[np.uint8]:
    from astropy.visualization import ManualInterval, make_lupton_rgb, make_rgb

    red, blue = scaled[0], scaled[-1]
    green = scaled[1] if len(scaled) == 3 else (red + blue) / 2
    planes: NDArray[np.float32] = np.stack([red, green, blue])
    if combine.fade:
        middle = grounds[1] if len(scaled) == 3 else (grounds[0] + grounds[1]) / 2
        ground = np.array([grounds[0], middle, grounds[-1]], dtype=np.float32)
        bare = planes - ground[:, None, None]
        intensity = np.asarray(np.mean(bare, axis=0), dtype=np.float32)
        noise = measure(intensity).sigma
        if noise > 1e-30:
            planes = calm(bare, intensity, noise, combine.fade) + np.float32(ground.mean())
    arguments = {"interval": ManualInterval(0.0, 1.0), "output_dtype": np.float64}
    if combine.name == "simple":
        shades = make_rgb(*planes, stretch=stretch.build(), **arguments)
    else:
        # A root of what is below black is no number; the mapping paints it black.
        with np.errstate(invalid="ignore", divide="ignore"):
            shades = make_lupton_rgb(*planes, stretch_object=stretch.build(), **arguments)
    return _eight_bit(shades)


def _eight_bit(shades: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    # fmax and fmin also turn the NaN of a root of a negative number into black.
    bounded = np.fmin(np.fmax(shades, 0.0), 1.0)
    return np.asarray(np.rint(bounded * 255.0), dtype=np.uint8)


def _check_pairs(interval: Interval, bands: int) -> None:
    if len(interval.given) not in (0, 1, bands):
        raise RenderError(
            f"{len(interval.given)} pairs of limits for {bands} band(s)",
            expected="one pair, or one for each band in the order red, green, blue",
        )
