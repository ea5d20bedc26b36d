"""Plots of a report as SVG: no script, no fonts, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from astrollava_training.evaluate.metrics import Interval

__all__ = ["bars", "confusion", "reliability", "risk"]

#: Told apart by those who see no red or no green (Okabe & Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_SIDE = 300.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 46.0, 12.0, 12.0, 40.0


def bars(rows: Mapping[str, Interval], *, title: str, mark: str = "") -> Markup:
    """Draw one bar a row, from 0 to 1, with its interval.

    Parameters
    ----------
    rows : mapping of str to Interval
        What is not known is left out.
    title : str
        Of the whole, for who hears it.
    mark : str
        The row in the strong colour; all where there is none of that name.
    """
    known = {name: value for name, value in rows.items() if not math.isnan(value.value)}
    wide, high, begin = 590.0, 26.0, 240.0
    scale = wide - begin - 60.0
    parts = []
    for i, (name, value) in enumerate(known.items()):
        y = i * high + 4
        colour = _COLOURS[0] if mark in ("", name) or mark not in known else "#9aa5b1"
        length = max(value.value, 0.0) * scale
        parts.append(_text(begin - 8, y + 14, name, anchor="end"))
        parts.append(_box(begin, y, length, high - 8, colour))
        low, top = begin + max(value.low, 0.0) * scale, begin + value.high * scale
        parts.append(_line(low, y + 9, top, y + 9, "var(--ink)", 1.5))
        parts += [_line(x, y + 5, x, y + 13, "var(--ink)", 1.5) for x in (low, top)]
        parts.append(_text(max(top, begin + length) + 6, y + 14, f"{value.value:.3f}"))
    return _svg(wide, len(known) * high + 8, parts, title)


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Draw how often each class (row) was labelled as each (column); shades are shares of a row."""
    shown = [i for i in range(len(names)) if sum(counts[i]) or any(row[i] for row in counts)]
    cell, begin, head = 44.0, 240.0, 150.0
    parts = []
    for y, i in enumerate(shown):
        top, total = head + y * cell, max(sum(counts[i]), 1)
        parts.append(_text(begin - 8, top + cell / 2 + 4, names[i], anchor="end"))
        for x, j in enumerate(shown):
            share = counts[i][j] / total
            left = begin + x * cell
            ground = "0,114,178" if i == j else "213,94,0"
            parts.append(_box(left, top, cell - 2, cell - 2, f"rgba({ground},{share:.3f})"))
            if counts[i][j]:
                ink = "#fff" if share > 0.55 else "var(--ink)"
                middle = left + cell / 2 - 1
                parts.append(_text(middle, top + cell / 2 + 4, str(counts[i][j]), "middle", ink))
    for x, j in enumerate(shown):
        left = begin + x * cell + cell / 2
        parts.append(
            Markup('<text x="{}" y="{}" transform="rotate(-40 {} {})">{}</text>').format(
                _n(left), _n(head - 8), _n(left), _n(head - 8), names[j]
            )
        )
    side = begin + len(shown) * cell + 110
    return _svg(side, head + len(shown) * cell + 4, parts, "Confusion matrix")


def reliability(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """Draw how often answers of each confidence are right, a colour for each row."""
    parts = [
        *_axes("confidence", "share right"),
        _line(*_at(0, 0), *_at(1, 1), "#9aa5b1", 1, "4 4"),
    ]
    most = max((point["count"] for points in rows.values() for point in points), default=1)
    for (name, points), colour in zip(rows.items(), _COLOURS, strict=False):
        path = [_at(p["confidence"], p["accuracy"]) for p in points]
        parts.append(_path(path, colour))
        for point, (x, y) in zip(points, path, strict=True):
            parts.append(
                _line(x, _at(0, point["low"])[1], x, _at(0, point["high"])[1], colour, 1.2)
            )
            radius = 2.5 + 4.5 * math.sqrt(point["count"] / most)
            told = f"{name}: {point['count']:.0f} pictures, {point['accuracy']:.2f} right"
            parts.append(
                Markup(
                    '<circle cx="{}" cy="{}" r="{}" fill="{}"><title>{}</title></circle>'
                ).format(_n(x), _n(y), _n(radius), colour, told)
            )
    return _svg(
        _SIDE + _LEFT + _RIGHT, _SIDE + _TOP + _BOTTOM, [*parts, *_key(rows)], "Reliability"
    )


def risk(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """Draw risk over coverage, one line a row, between what no and what full knowledge would give.

    Parameters
    ----------
    rows : mapping
        Name -> points of `metrics.risk_coverage`. All have the same answers, so that the risk at
        full coverage is the same.
    """
    parts = list(_axes("coverage", "risk"))
    whole = next((points[-1]["risk"] for points in rows.values() if points), 0.0)
    # At a coverage below the share of right answers, whoever knew all would make no mistake.
    best = [(i / 50, max(0.0, 1 - (1 - whole) / (i / 50))) for i in range(1, 51)]
    parts.append(_line(*_at(0, whole), *_at(1, whole), "var(--soft)", 1.5, "7 5"))
    parts.append(_path([_at(x, y) for x, y in best], "var(--soft)", 1.5, "1.5 3"))
    for i, (points, colour) in enumerate(zip(rows.values(), _COLOURS, strict=False)):
        # The later over the earlier, thinner and broken: both are seen where they are one.
        path = [_at(point["coverage"], point["risk"]) for point in points]
        parts.append(_path(path, colour, 4.5 - 1.5 * i, "none" if i == 0 else "9 6"))
    key = [*_key(rows), *_key({"no ranking": 0, "perfect ranking": 0}, "var(--soft)", len(rows))]
    return _svg(
        _SIDE + _LEFT + _RIGHT, _SIDE + _TOP + _BOTTOM, [*parts, *key], "Risk over coverage"
    )


def _at(x: float, y: float) -> tuple[float, float]:
    return _LEFT + x * _SIDE, _TOP + (1 - y) * _SIDE


def _axes(x: str, y: str) -> list[Markup]:
    parts = []
    for step in range(6):
        at = step / 5
        parts.append(_line(*_at(at, 0), *_at(at, 1), "var(--rule)", 1))
        parts.append(_line(*_at(0, at), *_at(1, at), "var(--rule)", 1))
        parts.append(_text(_at(at, 0)[0], _at(0, 0)[1] + 16, f"{at:.1f}", "middle"))
        parts.append(_text(_LEFT - 6, _at(0, at)[1] + 4, f"{at:.1f}", "end"))
    parts.append(_text(_LEFT + _SIDE / 2, _TOP + _SIDE + 34, x, "middle"))
    middle = _TOP + _SIDE / 2
    parts.append(
        Markup(
            '<text x="12" y="{}" transform="rotate(-90 12 {})" text-anchor="middle">{}</text>'
        ).format(_n(middle), _n(middle), y)
    )
    return parts


def _key(rows: Mapping[str, object], colour: str = "", begin: int = 0) -> list[Markup]:
    parts = []
    for i, (name, own) in enumerate(zip(rows, _COLOURS, strict=False)):
        y = _TOP + 14 + 17 * (begin + i)
        if colour:
            dashes = ("4 3", "1.5 2.5")[i]
            parts.append(_line(_LEFT + 8, y - 3, _LEFT + 22, y - 3, colour, 1.5, dashes))
        else:
            parts.append(_box(_LEFT + 10, y - 8, 10, 10, own))
        parts.append(_text(_LEFT + 26, y + 1, name))
    return parts


def _svg(width: float, height: float, parts: Sequence[Markup], title: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">{}</svg>').format(
        _n(width), _n(height), _n(width), title, Markup("").join(parts)
    )


def _text(
    x: float, y: float, words: str, anchor: str = "start", colour: str = "var(--ink)"
) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}" style="fill:{}">{}</text>').format(
        _n(x), _n(y), anchor, colour, words
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(
        _n(x), _n(y), _n(width), _n(height), colour
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dashes: str = "none"
) -> Markup:
    return Markup(
        '<line x1="{}" y1="{}" x2="{}" y2="{}" style="stroke:{};stroke-width:{};'
        'stroke-dasharray:{}"/>'
    ).format(_n(x1), _n(y1), _n(x2), _n(y2), colour, width, dashes)


def _path(
    points: Sequence[tuple[float, float]], colour: str, width: float = 2.0, dashes: str = "none"
) -> Markup:
    where = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return Markup(
        '<polyline points="{}" style="fill:none;stroke:{};stroke-width:{};stroke-dasharray:{}"/>'
    ).format(escape(where), colour, width, dashes)


def _n(value: float) -> str:
    return f"{value:.1f}"
