"""Scores of labels and of probabilities, and their uncertainty, in plain numpy.

Labels are whole numbers ``0 .. classes - 1``; probabilities have shape ``(n, classes)`` with rows
that add up to one. A prediction of ``-1`` is no answer and counts as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Interval",
    "accuracy",
    "balanced_accuracy",
    "bootstrap",
    "brier",
    "confusion",
    "expected_calibration_error",
    "interval_of",
    "macro_f1",
    "mcnemar",
    "negative_log_likelihood",
    "rank_of",
    "reliability",
    "risk_coverage",
    "share",
    "top_k_accuracy",
    "wilson",
]

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Fraction predicted right, in [0, 1]."""
    return float(np.mean(labels == predicted))


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Count pairs: rows are true classes, columns predicted ones, the last column no answer.

    Returns
    -------
    ndarray of int64, shape (classes, classes + 1)
    """
    column = np.where(predicted < 0, classes, predicted)
    flat = np.bincount(labels * (classes + 1) + column, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1)


def balanced_accuracy(labels: Labels, predicted: Labels, classes: int) -> float:
    """Mean over the classes that occur of the fraction predicted right, in [0, 1]."""
    table = confusion(labels, predicted, classes)
    count = table.sum(axis=1)
    there = count > 0
    return float(np.mean(np.diagonal(table)[there] / count[there]))


def macro_f1(labels: Labels, predicted: Labels, classes: int) -> float:
    """Mean F1 over the classes that occur among labels or predictions, in [0, 1]."""
    table = confusion(labels, predicted, classes)
    right = np.diagonal(table)
    total = table.sum(axis=1) + table[:, :classes].sum(axis=0)
    there = total > 0
    return float(np.mean(2.0 * right[there] / total[there]))


def top_k_accuracy(labels: Labels, probabilities: Probabilities, k: int = 2) -> float:
    """Fraction whose true class is among the first `k` by `rank_of`, in [0, 1]."""
    return float(np.mean(rank_of(labels, probabilities) < k))


def rank_of(labels: Labels, probabilities: Probabilities) -> NDArray[np.intp]:
    """Return how many classes come before the true one, the most probable first.

    Of equals the first in the order of the classes comes first, as in `numpy.argmax`, by which a
    label is given: whatever is labelled rightly has rank 0, and no top-2 lies below its accuracy.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    before: NDArray[np.intp] = ((probabilities > own) | ((probabilities == own) & earlier)).sum(
        axis=1
    )
    return before


def brier(labels: Labels, probabilities: Probabilities) -> float:
    """Mean squared distance to the truth as a one-hot vector, in [0, 2] (Brier 1950)."""
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1.0
    return float(np.mean(((probabilities - truth) ** 2).sum(axis=1)))


def negative_log_likelihood(labels: Labels, probabilities: Probabilities) -> float:
    """Mean of minus the log of the true class's probability, in nats."""
    own = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.maximum(own, 1e-12))))


def expected_calibration_error(
    labels: Labels, probabilities: Probabilities, bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over equal bins, in [0, 1] (Guo et al. 2017)."""
    confidence, right, number = _binned(labels, probabilities, bins)
    gap = np.bincount(number, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval, which always has the score in it.

    Attributes
    ----------
    value, low, high : float
        The score on all pictures, and the ends of the interval (see `interval_of`); NaN where none
        can be told.
    error : float
        Its standard error: the standard deviation over resampled pictures.
    """

    value: float
    low: float
    high: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    score: Callable[[NDArray[np.intp]], float],
    count: int,
    *,
    ends: tuple[float, float] = (-math.inf, math.inf),
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Resample pictures with replacement and score each resample.

    Parameters
    ----------
    score : callable
        Takes picture numbers, shape (count,), and gives a score; for a paired difference, score
        both on the same numbers.
    count : int
        Number of pictures.
    ends : tuple of float
        Least and greatest score there can be.
    resamples : int
        Number of resamples.
    seed : int
        Seed of the generator.

    Returns
    -------
    Interval
        All of it NaN where the score is undefined.

    Examples
    --------
    >>> import numpy as np
    >>> right = np.array([1, 1, 0, 1])
    >>> bootstrap(lambda rows: float(right[rows].mean()), 4).value
    0.75
    """
    rng = np.random.default_rng(seed)
    value = score(np.arange(count)) if count else float("nan")
    again = [] if math.isnan(value) else range(resamples)
    draws = np.array([value, *(score(rng.integers(count, size=count)) for _ in again)])
    return interval_of(draws, units=count, ends=ends)


def interval_of(
    draws: NDArray[np.floating],
    *,
    units: int = 0,
    ends: tuple[float, float] = (-math.inf, math.inf),
    biased: bool = False,
) -> Interval:
    """Return the interval of a score.

    Parameters
    ----------
    draws : ndarray, shape (1 + resamples,)
        The score on all pictures, then on each resample; NaN where it is undefined, as it is where
        a resample leaves out every picture that it is defined on.
    units : int
        Objects that the score is made of.
    ends : tuple of float
        Least and greatest score there can be.
    biased : bool
        Resampling raises the score, as it raises a calibration error; or it is a difference of two
        such, where `ends` has values below zero.

    Returns
    -------
    Interval
        The 2.5 and 97.5 percentiles of the resamples. Where all resamples are the same, up to
        ``z² / (units + z²)`` of the objects may yet be other, as far as the score goes: Wilson's
        interval of none or all of so many, and Tango's (1998) of pairs none of which differ. Of a
        score without ends there is none, then, nor of one that can be no other. Where `biased`, the
        bias is taken off. All of it is NaN where the score is undefined.
    """
    value, resampled = float(draws[0]), draws[1:][~np.isnan(draws[1:])]
    if math.isnan(value) or not resampled.size:
        return Interval(value, math.nan, math.nan, math.nan)
    error = float(resampled.std(ddof=1)) if resampled.size > 1 else math.nan
    if np.ptp(np.append(resampled, value)) < _SAME:
        # What is the same in every resample was never otherwise: that is little of few objects.
        other = wilson(0.0, units)[1] if units else math.nan
        low, high = (value + other * (end - value) for end in ends)
        if not (math.isfinite(low) and math.isfinite(high)) or ends[1] - ends[0] < _SAME:
            low = high = math.nan
        return Interval(value, low, high, 0.0)
    low, high = map(float, np.percentile(resampled, [2.5, 97.5]))
    if biased:
        low, high = _without_bias(value, resampled, (low, high), signed=ends[0] < 0)
        low, high = max(low, ends[0]), min(high, ends[1])
    return Interval(value, min(low, value), max(high, value), error)


#: Scores nearer than this are the same but for rounding.
_SAME = 1e-9


def _without_bias(
    value: float, resampled: NDArray[np.floating], ends: tuple[float, float], *, signed: bool
) -> tuple[float, float]:
    """Return the ends of an interval less what resampling adds.

    A mean of absolute gaps grows with their scatter: on a sample it lies above the truth, on a
    resample as much again above the sample. In squares the two are alike whether the gaps are large
    or nothing but scatter, so it is squares that the bootstrap's bias (Efron & Tibshirani 1993,
    ch. 10) is taken off: once from the upper end, which leaves the sample's own, twice from the
    lower, so that a model whose confidence is honest may have no error at all.
    """
    low, high = ends
    if signed:  # of a difference, what the two add to it
        added = float(resampled.mean()) - value
        return low - added, high - added
    added = float((resampled**2).mean()) - value**2
    return math.sqrt(max(low**2 - 2 * added, 0.0)), math.sqrt(max(high**2 - added, 0.0))


def reliability(
    labels: Labels, probabilities: Probabilities, bins: int = 10
) -> list[dict[str, float]]:
    """Return how often answers of each confidence are right: what a reliability diagram shows.

    Returns
    -------
    list of dict
        For each bin that is not empty ``count``, mean ``confidence``, ``accuracy`` and its 95 %
        interval ``low``, ``high`` (Wilson 1927).
    """
    confidence, right, number = _binned(labels, probabilities, bins)
    found = []
    for at in np.unique(number):
        inside = number == at
        n, share = int(inside.sum()), float(right[inside].mean())
        low, high = wilson(share, n)
        found.append(
            {
                "count": n,
                "confidence": float(confidence[inside].mean()),
                "accuracy": share,
                "low": low,
                "high": high,
            }
        )
    return found


def risk_coverage(
    labels: Labels, probabilities: Probabilities, points: int = 50
) -> list[dict[str, float]]:
    """Return the share of wrong answers when only the surest are given.

    Returns
    -------
    list of dict
        ``coverage`` (share of pictures answered), ``risk`` (share of those answered wrongly) and
        ``threshold`` (the least confidence answered), from the surest to all; of at most `points`
        thresholds.
    """
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    thresholds = np.unique(confidence)[::-1]
    if len(thresholds) > points:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, points).round().astype(int)]
    found = []
    for threshold in thresholds:
        given = confidence >= threshold
        found.append(
            {
                "coverage": float(given.mean()),
                "risk": float(wrong[given].mean()),
                "threshold": float(threshold),
            }
        )
    return found


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of so many (Wilson 1927)."""
    z2 = 1.959964**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _binned(
    labels: Labels, probabilities: Probabilities, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Return confidence, whether right, and the bin of the confidence."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # A confidence on an edge belongs to the bin below it, as in Guo et al. 2017.
    return confidence, right, np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def share(part: int, whole: int) -> Interval:
    """Return a share with the 95 % interval of `wilson`; NaN of nothing."""
    if not whole:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    value = part / whole
    return Interval(value, *wilson(value, whole), math.sqrt(value * (1 - value) / whole))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return p of the exact, two-sided McNemar test.

    Parameters
    ----------
    only_first, only_second : int
        Pictures, or questions, that only one of two models has right.

    Returns
    -------
    float
        How likely a split at least this uneven is where each is as likely; 1 where there is none.

    Examples
    --------
    >>> mcnemar(1, 5)
    0.21875
    """
    total, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, k) for k in range(least + 1))
    # Whole numbers to the end: two to the power of thousands is no float.
    return float(min(1.0, 2 * tail / 2**total))
