"""Temperature and threshold of a model's labels, for its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.calibrate import fit_temperature, fit_threshold, softmax
from astrollava_training.evaluate.items import Dataset
from astrollava_training.evaluate.metrics import (
    expected_calibration_error,
    negative_log_likelihood,
)
from astrollava_training.evaluate.models import Model

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold for label probabilities, and what they change.

    Attributes
    ----------
    temperature : float
        For the file's ``astrollava.labels.temperature``.
    threshold : float
        For ``astrollava.labels.threshold``; see `fit_threshold`.
    labelled : int
        Pictures it was fitted on.
    nll, ece : tuple of float
        Negative log-likelihood and calibration error, before and after, on those very pictures.
    answered : float
        Fraction at or above the threshold.
    """

    temperature: float
    threshold: float
    labelled: int
    nll: tuple[float, float]
    ece: tuple[float, float]
    answered: float


def calibrate(model: Model, data: Dataset, *, split: str = "val") -> Calibration:
    """Fit temperature and threshold of the labels on a split that scores nothing else.

    Parameters
    ----------
    model : Model
        What its file says of a temperature does not matter.
    data : Dataset
        With the vocabulary the model is calibrated for.
    split : str
        The validation split.

    Returns
    -------
    Calibration
        To be written by `astrollava_training.export.export`, in its `About`.

    Raises
    ------
    InvalidRequest
        The split has fewer than two pictures with a class.
    """
    items = [item for item in data.split(split) if item.label is not None]
    if len(items) < 2:
        raise InvalidRequest(
            f"split {split!r} of {data.name} has {len(items)} pictures with a class",
            expected="at least two",
            hint="Name a split of the data, such as 'val'",
        )
    labels = np.array([item.label for item in items], np.intp)
    scores = model.label_scores([item.load for item in items], data.vocabulary)
    before, temperature = softmax(scores), fit_temperature(scores, labels)
    after = softmax(scores, temperature)
    threshold = fit_threshold(after, labels)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        labelled=len(labels),
        nll=(negative_log_likelihood(labels, before), negative_log_likelihood(labels, after)),
        ece=(expected_calibration_error(labels, before), expected_calibration_error(labels, after)),
        answered=float(np.mean(after.max(axis=1) >= threshold)),
    )
