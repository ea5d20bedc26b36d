"""The bootstrap, for scores that are made of sums over pictures.

Accuracy, F1, calibration error, precision: each is a function of sums of what single pictures add.
So all resamples of all scores are one product of matrices, and scores of different answers are
resampled alike: their difference is paired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.metrics import Interval, interval_of

__all__ = [
    "Draws",
    "Resampling",
    "detectable",
    "interval",
    "intervals",
    "lead",
    "needed",
    "ratio",
]

#: A score on all pictures, then on each resample; shape (1 + resamples,).
Draws = NDArray[np.float64]

#: Normal quantiles of a two-sided test at 5 % and of a power of 80 %.
_SIGNIFICANCE, _POWER = 1.959964, 0.841621

#: Score -> least and greatest it can be, where that is not 0 and 1.
_ENDS: Mapping[str, tuple[float, float]] = {
    "brier": (0.0, 2.0),
    "nll": (0.0, math.inf),
    "cosine": (-1.0, 1.0),
    "stated": (0.0, math.inf),
    "claims": (0.0, math.inf),
}

#: Scores that resampling raises.
_BIASED = ("ece",)

_ROWS = 100  # resamples multiplied at a time: bounds the memory


class Resampling:
    """How often each picture is drawn in each resample.

    Parameters
    ----------
    count : int
        Pictures.
    groups : sequence of str, optional
        The object each shows: objects are drawn, with all of their pictures (a cluster bootstrap).
    resamples, seed : int
        Number of resamples, and of the generator.
    """

    def __init__(
        self, count: int, *, groups: Sequence[str] = (), resamples: int = 1000, seed: int = 0
    ) -> None:
        member = np.unique(groups, return_inverse=True)[1] if len(groups) else np.arange(count)
        objects = int(member.max()) + 1 if count else 0
        self.count = count
        self._member = member
        self._weights = np.ones((1 + resamples, count), np.float32)
        rng = np.random.default_rng(seed)
        for row in self._weights[1:]:
            drawn = np.bincount(rng.integers(objects, size=objects), minlength=objects)
            row[:] = drawn[member]

    def objects(self, among: NDArray[np.generic] | None = None) -> int:
        """Return how many objects there are, or are among the pictures for which this is true."""
        return len(np.unique(self._member if among is None else self._member[among.astype(bool)]))

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Add up what the pictures contribute.

        Parameters
        ----------
        values : ndarray, shape (count,) or (count, k)

        Returns
        -------
        ndarray, shape (1 + resamples,) or (1 + resamples, k)
            First of all pictures, then of each resample.
        """
        wanted = np.asarray(values, np.float64)
        parts = (self._weights[i : i + _ROWS] for i in range(0, len(self._weights), _ROWS))
        return np.concatenate([part.astype(np.float64) @ wanted for part in parts])

    def mean(self, values: NDArray[np.floating]) -> Draws:
        """Return the mean over the pictures drawn."""
        both = self.sums(np.stack([np.asarray(values, np.float64), np.ones(self.count)], axis=1))
        return ratio(both[:, 0], both[:, 1])

    def risk_area(self, confidence: NDArray[np.floating], wrong: NDArray[np.floating]) -> Draws:
        """Return the area under risk over coverage (Geifman & El-Yaniv 2017), in [0, 1].

        The mean, over the pictures drawn, of the share of wrong answers among those at least as
        sure.
        """
        order = np.argsort(-confidence, kind="stable")
        sorted_confidence = confidence[order]
        # Equally sure answers are taken or left together.
        last = np.searchsorted(-sorted_confidence, -sorted_confidence, side="right") - 1
        found = []
        for start in range(0, len(self._weights), _ROWS):
            weights = self._weights[start : start + _ROWS, order].astype(np.float64)
            taken = weights.cumsum(axis=1)[:, last]
            risk = ratio((weights * wrong[order]).cumsum(axis=1)[:, last], taken)
            found.append(np.nansum(weights * risk, axis=1) / weights.sum(axis=1))
        return np.concatenate(found)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, and give NaN where there is nothing to divide by."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def interval(
    name: str,
    draws: Draws,
    units: int,
    *,
    difference: bool = False,
    ends: tuple[float, float] | None = None,
) -> Interval:
    """Return the interval of a score, by what its name says of it.

    Parameters
    ----------
    name : str
        Of the score: tells between what it lies.
    draws : Draws
    units : int
        Objects that it is made of.
    difference : bool
        Of two such scores.
    ends : tuple of float, optional
        Least and greatest it can be in this row, where they lie closer than the score's own.
    """
    low, high = ends or _ENDS.get(name, (0.0, 1.0))
    ends = (low - high, high - low) if difference else (low, high)
    return interval_of(draws, units=units, ends=ends, biased=name in _BIASED)


def intervals(
    scores: Mapping[str, Draws],
    units: int | Mapping[str, int],
    ends: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Interval]:
    """Return the interval of each score, made of so many objects, each or all."""
    return {
        name: interval(
            name,
            draws,
            units if isinstance(units, int) else units[name],
            ends=(ends or {}).get(name),
        )
        for name, draws in scores.items()
    }


def lead(
    rows: Mapping[str, Mapping[str, Draws]],
    scores: Sequence[str],
    *,
    count: int,
    units: int | None = None,
) -> dict[str, Interval | str | int | float | None]:
    """Return how far a model is ahead of the best row that needs no picture, on the same resamples.

    Parameters
    ----------
    rows : mapping
        Row name -> score name -> draws; the row ``model`` is compared with all but ``oracle``.
    scores : sequence of str
        The scores, all of which are better when higher; the first is the one that decides.
    count : int
        Pictures.
    units : int, optional
        Objects that they show; as many by default.

    Returns
    -------
    dict
        Score -> `Interval` of the lead; and for the first score ``over`` (which row it leads
        over), ``needed`` (see `needed`) and ``detectable`` (see `detectable`).
    """
    found: dict[str, Interval | str | int | float | None] = {}
    blind = [name for name in rows if name not in ("model", "oracle")]
    for score in scores:
        rivals = [name for name in blind if score in rows[name] and not _unknown(rows[name][score])]
        if not rivals:
            continue
        best = max(rivals, key=lambda name: rows[name][score][0])
        ahead = rows["model"][score] - rows[best][score]
        gap = interval(score, ahead, count if units is None else units, difference=True)
        found[score] = gap
        if score == scores[0]:
            found["over"] = best
            found["needed"] = needed(gap, count)
            found["detectable"] = detectable(gap)
    return found


def _unknown(draws: Draws) -> bool:
    return bool(np.isnan(draws[0]))


def needed(difference: Interval, count: int) -> int | None:
    """Return how many pictures it takes to see a difference of this size.

    Parameters
    ----------
    difference : Interval
        A paired difference, with its standard error.
    count : int
        Pictures it was measured on.

    Returns
    -------
    int or None
        For a two-sided test at 5 % with a power of 80 %, the standard error falling with the root
        of the number; None where there is no difference, or no error to go by.
    """
    if math.isnan(difference.value) or difference.value == 0 or not difference.error > 0:
        return None
    spread = difference.error**2 * count
    return math.ceil((_SIGNIFICANCE + _POWER) ** 2 * spread / difference.value**2)


def detectable(difference: Interval) -> float:
    """Return the smallest difference that as many pictures show, at 5 % with a power of 80 %.

    NaN where no resample differs: there is no error to go by.
    """
    return math.nan if not difference.error > 0 else (_SIGNIFICANCE + _POWER) * difference.error
