"""Line plots as SVG, to stand in a page that loads nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = ["Series", "plot", "smoothed"]

_WIDTH, _HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 20, 34
_MOST_POINTS = 600


@dataclass(frozen=True)
class Series:
    """What one line shows.

    Attributes
    ----------
    label : str
        For the legend; none where it is empty.
    x, y : sequence of float
        Points; those that are not finite are left out.
    style : {"line", "faint", "dots"}
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "line"


def smoothed(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Average each value with those around it, over a share of all of them."""
    half = max(round(len(values) * share / 2), 1)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    found = []
    for n in range(len(values)):
        # As many before as after: an average of one side lags behind.
        reach = min(half, n, len(values) - 1 - n)
        found.append((sums[n + reach + 1] - sums[n - reach]) / (2 * reach + 1))
    return found


def plot(title: str, series: Sequence[Series], *, unit: str = "", zero: bool = False) -> Markup:
    """Draw series over steps.

    Parameters
    ----------
    title : str
    series : sequence of Series
    unit : str
        Of the vertical axis.
    zero : bool
        Whether that axis begins at zero.

    Returns
    -------
    Markup
        An ``<svg>`` that takes its colours from the classes of the page.
    """
    points = [
        [(x, y) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(y)] for one in series
    ]
    every = [point for one in points for point in one]
    if not every:
        return Markup("")
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)
    if zero:
        low = min(low, 0.0)
    marks = _ticks(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + wide * ((x - left) / (right - left) if right > left else 0.5)

    def down(y: float) -> float:
        return _TOP + tall * (1 - (y - low) / (high - low))

    steps = [mark for mark in _ticks(left, right) if left <= mark <= right] or [left]
    parts = [Markup("<title>{}</title>").format(title)]
    parts += [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(
            _LEFT, _WIDTH - _RIGHT, down(mark), down(mark), _LEFT - 6, down(mark) + 4,
            _number(mark, marks),
        )
        for mark in marks
    ]  # fmt: skip
    parts += [
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            across(mark), _HEIGHT - _BOTTOM + 16, _number(mark, steps)
        )
        for mark in steps
    ]
    parts.append(
        Markup('<text class="unit" x="{}" y="{}" text-anchor="end">step</text>').format(
            _WIDTH - _RIGHT, _HEIGHT - 4
        )
    )
    if unit:
        parts.append(Markup('<text class="unit" x="{}" y="10">{}</text>').format(_LEFT, unit))
    labels = [
        Markup('<tspan class="s{}" dx="10">{}</tspan>').format(number, one.label)
        for number, one in enumerate(series)
        if one.label
    ]
    parts.append(
        Markup('<text class="label" x="{}" y="10" text-anchor="end">{}</text>').format(
            _WIDTH - _RIGHT, Markup("").join(labels)
        )
    )
    for number, (one, found) in enumerate(zip(series, points, strict=True)):
        places = [(across(x), down(y)) for x, y in _thinned(found)]
        if one.style == "dots" or len(places) == 1:
            for x, y in places:
                parts.append(
                    Markup('<circle class="s{}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(
                        number, x, y
                    )
                )
        else:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            parts.append(Markup('<path class="s{} {}" d="{}"/>').format(number, one.style, path))
    inside = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, escape(title), inside
    )


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    every = -(-len(points) // _MOST_POINTS)
    # The last point is where the training stands: it is always shown.
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers over a range: multiples of 1, 2 or 5 and a power of ten."""
    if high <= low:
        high, low = low + (abs(low) or 1.0) * 0.5, low - (abs(low) or 1.0) * 0.5
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [n * step for n in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _number(value: float, among: Sequence[float]) -> str:
    largest = max(abs(mark) for mark in among)
    if value == 0:
        return "0"
    if largest >= 10_000:
        return f"{value / 1000:g}k" if largest < 1e7 else f"{value / 1e6:g}M"
    if largest < 0.01:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.6g}"
