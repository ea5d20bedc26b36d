"""Values of any size to single precision, with what they were divided by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["divisor", "is_wide", "needs_divisor", "single"]

# Below this, single precision has lost digits or has none left.
_LEAST = 1e-30
_MOST = float(np.finfo(np.float32).max)
# No quantity of astronomy is larger in any unit, or smaller than its inverse; values that are, such
# as 1.8e308, stand for no data.
_ABSURD = 1e60


def is_wide(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a type may not fit single precision."""
    return dtype.kind == "f" and dtype.itemsize > 4


def needs_divisor(converted: NDArray[np.float32]) -> bool:
    """Tell whether what came of wide values asks for a look at them: some infinite or all tiny."""
    # Unlike max and min of np, these pass over NaN, and unlike isinf they need no memory.
    most, least = np.fmax.reduce(converted, axis=None), np.fmin.reduce(converted, axis=None)
    return not _LEAST <= max(most, -least) <= _MOST


def divisor(pieces: Iterable[NDArray[np.floating[Any]]]) -> float:
    """Return the power of ten by which values are brought into single precision, mostly 1."""
    most = 0.0
    for piece in pieces:
        size = np.abs(piece)
        most = max(most, float(np.max(size, initial=0.0, where=size <= _ABSURD)))
    if most == 0 or _LEAST <= most <= _MOST:
        return 1.0
    return 10.0 ** math.floor(math.log10(max(most, 1 / _ABSURD)))


def single(values: NDArray[Any]) -> tuple[NDArray[np.float32], float]:
    """Return a new array of single precision, and what its values are multiplied by to be `values`.

    Values that are no quantity, above 1e60, become infinite.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        converted = np.array(values, dtype=np.float32, order="C")
        if not values.size or not is_wide(values.dtype) or not needs_divisor(converted):
            return converted, 1.0
        scale = divisor([values])
        if scale != 1.0:
            converted = np.array(values / scale, dtype=np.float32, order="C")
    return converted, scale
