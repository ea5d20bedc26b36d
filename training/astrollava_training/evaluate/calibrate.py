"""Honest probabilities: a temperature and a threshold, fitted on a validation split only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.metrics import negative_log_likelihood

__all__ = ["fit_temperature", "fit_threshold", "softmax"]


def softmax(scores: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.floating]:
    """Turn log-likelihoods, shape (n, classes), into probabilities at a temperature."""
    scaled = scores / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.floating] = scaled / scaled.sum(axis=1, keepdims=True)
    return result


def fit_temperature(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Find the temperature of the highest likelihood (Guo et al. 2017).

    Parameters
    ----------
    scores : ndarray, shape (n, classes)
        Log-likelihood of each label's answer; a constant per row does not matter.
    labels : ndarray of int, shape (n,)
        True classes.

    Returns
    -------
    float
        Between 0.05 and 20. Above one, the model was too sure of itself.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(labels, softmax(scores, math.exp(log_temperature)))

    # The loss is convex in 1/T, so it has one minimum in log T: keep the third that holds it.
    low, high = math.log(0.05), math.log(20.0)
    while high - low > 1e-4:
        third = (high - low) / 3
        if loss(low + third) <= loss(high - third):
            high -= third
        else:
            low += third
    return math.exp((low + high) / 2)


def fit_threshold(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, cost: float = 0.5
) -> float:
    """Find the probability under which to abstain.

    A right label gains one, a wrong one loses `cost`, abstaining gains nothing; the threshold is
    the lowest of those with the greatest gain. With perfectly calibrated probabilities it would be
    ``cost / (1 + cost)``, a third by default.

    Parameters
    ----------
    probabilities : ndarray, shape (n, classes)
        Calibrated.
    labels : ndarray of int, shape (n,)
        True classes.
    cost : float
        What a wrong label loses, above zero.

    Returns
    -------
    float
        In [0, 1); zero means never to abstain. At most the median confidence, so that a model
        answers at least half of what resembles the validation split.
    """
    confidence = probabilities.max(axis=1)
    gain = np.where(probabilities.argmax(axis=1) == labels, 1.0, -cost)
    values = np.unique(confidence)
    candidates = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2])
    candidates = candidates[candidates <= np.median(confidence)]
    gains = [float(gain[confidence >= t].sum()) for t in candidates]
    return float(candidates[int(np.argmax(gains))])
