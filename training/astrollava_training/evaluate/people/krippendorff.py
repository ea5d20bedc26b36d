"""Krippendorff's alpha: how far raters agree beyond chance.

Computed from the coincidence matrix as in Krippendorff (2011), "Computing Krippendorff's
Alpha-Reliability": any number of raters, ratings may be missing, and a unit with fewer than two
ratings says nothing. 1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.metrics import Interval, bootstrap

__all__ = ["LEVELS", "Level", "alpha", "alpha_interval"]

Level = Literal["nominal", "ordinal", "interval"]

#: Levels of measurement: equal or not; ordered; ordered with equal distances.
LEVELS: tuple[Level, ...] = get_args(Level)


def alpha(ratings: ArrayLike, level: Level = "ordinal") -> float:
    """Return Krippendorff's alpha.

    Parameters
    ----------
    ratings : array_like of float, shape (raters, units)
        NaN where a rater did not rate a unit. Nominal values are numbers too: any code will do.
    level : {"nominal", "ordinal", "interval"}
        What the values mean.

    Returns
    -------
    float
        At most 1; NaN where it is not defined: no unit was rated twice, or all ratings are equal.

    Raises
    ------
    InvalidRequest
        For another shape or level.

    Examples
    --------
    >>> from math import nan
    >>> round(alpha([[1, 2, 3, 3], [1, 2, 3, nan], [1, 2, 2, 3]]), 3)
    0.852
    """
    table = _table(ratings, level)
    values = np.unique(table[~np.isnan(table)])
    return _alpha(_counts(table, values), values, level)


def alpha_interval(
    ratings: ArrayLike, level: Level = "ordinal", *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return alpha with the 95 % interval of the bootstrap over units.

    Units are drawn with replacement, which Zapf et al. (2016, BMC Medical Research Methodology 16,
    93) found to cover better than the closed formula.

    Parameters
    ----------
    ratings, level
        As for `alpha`.
    resamples, seed : int
        Of the bootstrap.
    """
    table = _table(ratings, level)
    values = np.unique(table[~np.isnan(table)])
    counts = _counts(table, values)
    return bootstrap(
        lambda at: _alpha(counts[at], values, level),
        len(counts),
        ends=(-1.0, 1.0),
        resamples=resamples,
        seed=seed,
    )


def _table(ratings: ArrayLike, level: str) -> NDArray[np.float64]:
    table = np.asarray(ratings, np.float64)
    if table.ndim != 2:
        raise InvalidRequest(
            f"ratings has shape {table.shape}", expected="two axes: raters and units"
        )
    if level not in LEVELS:
        raise InvalidRequest(f"level is {level!r}", expected=f"one of {', '.join(LEVELS)}")
    return table


def _counts(table: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often each unit got each value, shape (units, values); unpaired units are 0."""
    counts: NDArray[np.float64] = (table.T[:, :, None] == values).sum(axis=1).astype(np.float64)
    counts[counts.sum(axis=1) < 2] = 0.0
    return counts


def _alpha(counts: NDArray[np.float64], values: NDArray[np.float64], level: str) -> float:
    pairable = counts.sum(axis=1)
    paired = counts[pairable >= 2]
    # Each unit's pairs weigh as many as it has ratings, whatever their number.
    weights = 1.0 / (pairable[pairable >= 2] - 1.0)
    coincidences = (paired * weights[:, None]).T @ paired
    coincidences -= np.diag((paired * weights[:, None]).sum(axis=0))
    totals = coincidences.sum(axis=0)
    distance = _distance(totals, values, level)
    expected = float(totals @ distance @ totals)
    if expected == 0.0:
        return math.nan
    observed = float((coincidences * distance).sum())
    return 1.0 - (float(totals.sum()) - 1.0) * observed / expected


def _distance(
    totals: NDArray[np.float64], values: NDArray[np.float64], level: str
) -> NDArray[np.float64]:
    """Return the squared difference of every two values, shape (values, values)."""
    if level == "nominal":
        unequal: NDArray[np.float64] = 1.0 - np.eye(len(values))
        return unequal
    # Ranks between two values: all ratings from one to the other, the ends counted half.
    at = values if level == "interval" else np.cumsum(totals) - totals / 2.0
    gap: NDArray[np.float64] = (at[:, None] - at[None, :]) ** 2
    return gap
