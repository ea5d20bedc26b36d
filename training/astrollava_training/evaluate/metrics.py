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
    "macro_f1",
    "negative_log_likelihood",
    "top_k_accuracy",
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
    """Fraction whose true class is among the `k` most probable, in [0, 1]; ties count against."""
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    # Ties against: else equal probabilities, which say nothing, would score one.
    rank = (probabilities >= own).sum(axis=1) - 1
    return float(np.mean(rank < k))


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
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # A confidence on an edge belongs to the bin below it, as in the original.
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(number, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


@dataclass(frozen=True)
class Interval:
    """A score with the 95 % interval of the bootstrap.

    Attributes
    ----------
    value, low, high : float
        The score on all pictures, and the 2.5 and 97.5 percentiles over resampled pictures.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    score: Callable[[NDArray[np.intp]], float], count: int, *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Resample pictures with replacement and score each resample.

    Parameters
    ----------
    score : callable
        Takes picture numbers, shape (count,), and gives a score; for a paired difference, score
        both on the same numbers.
    count : int
        Number of pictures.
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
    unknown = float("nan")
    value = score(np.arange(count)) if count else unknown
    if math.isnan(value):
        return Interval(unknown, unknown, unknown)
    rng = np.random.default_rng(seed)
    scores = np.array([score(rng.integers(count, size=count)) for _ in range(resamples)])
    # A resample may leave out every picture a score is defined on.
    low, high = np.percentile(scores[~np.isnan(scores)], [2.5, 97.5])
    return Interval(value, float(low), float(high))
