"""Outlines of images in STC-S, the way that archives write them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["covers"]

_FRAMES = {"ICRS", "FK5", "J2000", "TOPOCENTER", "UNKNOWNREFPOS", "SPHERICAL2"}
_KINDS = {"POLYGON", "CIRCLE", "BOX", "ELLIPSE", "CONVEX", "POSITION", "ALLSKY"}
_JOINING = {"NOT", "DIFFERENCE", "INTERSECTION"}
#: Cosine of the angle, near 90 degrees, up to which a corner can be seen.
_AHEAD = 0.02
#: Outlines that are longer are of no image.
_LONGEST = 100_000


def covers(outline: str, position: SkyCoord) -> bool | None:
    """Whether an outline has a position inside; None where it is not understood.

    Shapes are polygons and circles; of several, any may have it. The work is as much as there are
    vertices: `mocpy` takes minutes over a polygon that winds all over the sky.

    Parameters
    ----------
    outline : str
        ``"POLYGON ICRS 10 10 11 10 11 11"``, ``"CIRCLE ICRS 10 10 0.1"``, ``"UNION ICRS (...)"``;
        degrees.
    position : `~astropy.coordinates.SkyCoord`
        One position.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> covers("Polygon J2000 10 10 12 10 12 12 10 12", SkyCoord(11, 11, unit="deg"))
    True
    """
    words = outline[:_LONGEST].upper().replace("(", " ").replace(")", " ").split()
    if len(outline) > _LONGEST or not _JOINING.isdisjoint(words):
        return None
    ra, dec = math.radians(position.icrs.ra.deg), math.radians(position.icrs.dec.deg)
    (_, before), *shapes = _shapes(words)
    if set(before) - _FRAMES - {"UNION"}:
        return None
    said = [_one(kind, rest, ra, dec) for kind, rest in shapes]
    if any(said):
        return True
    return None if None in said or not said else False


def _shapes(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Give what stands before the first shape, under no kind, and what follows each."""
    kind = ""
    rest: list[str] = []
    for word in words:
        if word in _KINDS:
            yield kind, rest
            kind, rest = word, []
        else:
            rest.append(word)
    yield kind, rest


def _one(kind: str, words: list[str], ra: float, dec: float) -> bool | None:
    try:
        numbers = [float(word) for word in itertools.dropwhile(_FRAMES.__contains__, words)]
    except ValueError:
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    if kind == "CIRCLE":
        if len(numbers) != 3:
            return None
        east, north, depth = _seen_from(numbers[0], numbers[1], ra, dec)
        apart = math.degrees(math.atan2(math.hypot(east, north), depth))
        return apart <= numbers[2]
    if kind != "POLYGON" or len(numbers) < 6 or len(numbers) % 2:
        return None
    seen = [
        _seen_from(numbers[place], numbers[place + 1], ra, dec)
        for place in range(0, len(numbers), 2)
    ]
    if any(depth <= _AHEAD for _, _, depth in seen):
        # No plane shows what is behind; a shape that is all there is elsewhere.
        return False if all(depth <= _AHEAD for _, _, depth in seen) else None
    # Great circles are straight lines here.
    corners = [(east / depth, north / depth) for east, north, depth in seen]
    inside = False
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y0 > 0) != (y1 > 0) and x0 + (x1 - x0) * -y0 / (y1 - y0) > 0:
            inside = not inside
    return inside


def _seen_from(lon: float, lat: float, ra: float, dec: float) -> tuple[float, float, float]:
    """Return how far east, north and ahead a direction lies, as seen towards a position."""
    lon, lat = math.radians(lon) - ra, math.radians(lat)
    x, y, z = math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
    return (
        y,
        z * math.cos(dec) - x * math.sin(dec),
        x * math.cos(dec) + z * math.sin(dec),
    )
