"""Bounds that a schema sets: of numbers, of lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from astrollava.schema.refusals import wrong

__all__ = ["counts", "high", "low"]

#: Beyond it, a double is a poor friend.
_LARGEST = Decimal(10) ** 30


def _bound(said: Mapping[str, Any], key: str, at: str) -> Decimal | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(f"{at}/{key}", value, "a number")
    if abs(value) > _LARGEST:
        raise wrong(f"{at}/{key}", value, f"a number up to {_LARGEST:.0e}")
    # The shortest decimal that is this double: what the writer of the schema wrote.
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


def low(said: Mapping[str, Any], at: str) -> tuple[Decimal, bool] | None:
    """Return the lower bound of a number, and whether it is left out itself."""
    given = [
        (value, out)
        for key, out in (("minimum", False), ("exclusiveMinimum", True))
        if (value := _bound(said, key, at)) is not None
    ]
    return max(given) if given else None


def high(said: Mapping[str, Any], at: str) -> tuple[Decimal, bool] | None:
    """Return the upper bound of a number, and whether it is left out itself."""
    given = [
        (value, out)
        for key, out in (("maximum", False), ("exclusiveMaximum", True))
        if (value := _bound(said, key, at)) is not None
    ]
    return min(given, key=lambda bound: (bound[0], not bound[1])) if given else None


def counts(
    said: Mapping[str, Any], fewest: str, largest: str, limit: int, at: str
) -> tuple[int, int | None]:
    """Return the bounds of a length, under these two keywords."""
    least, most = said.get(fewest, 0), said.get(largest)
    for key, value in ((fewest, least), (largest, 0 if most is None else most)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < 0 or (key == fewest and value > limit):
            wanted = f"a count from 0 to {limit}" if key == fewest else "a count"
            raise wrong(f"{at}/{key}", value, wanted)
    if most is not None and least > most:
        raise wrong(f"{at}/{fewest}", least, f"at most {largest}, which is {most}")
    return least, most
