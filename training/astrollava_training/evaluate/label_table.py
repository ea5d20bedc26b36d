"""Labels by likelihood, beside the answers that need no picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.baselines import Row, derangement, drawn
from astrollava_training.evaluate.metrics import Interval, mcnemar, rank_of
from astrollava_training.evaluate.resampling import Draws, Resampling, intervals, lead, ratio

__all__ = ["calibration_table", "label_table", "scores_of"]

_BINS = 10
_LEADING = ("accuracy", "balanced_accuracy", "macro_f1")


def label_table(
    labels: NDArray[np.integer],
    own: NDArray[np.float64],
    blank: NDArray[np.float64],
    prior: NDArray[np.float64],
    again: Resampling,
    *,
    seed: int,
    names: Sequence[str] = (),
) -> dict[str, Row]:
    """Score label probabilities beside the blind answers.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        True classes.
    own : ndarray, shape (n, classes)
        The model's probabilities.
    blank, prior : ndarray, shape (classes,)
        Its probabilities for a blank picture; class shares in training.
    again : Resampling
        Of the n pictures.
    seed : int
        Of the shuffling and of the random answers.
    names : sequence of str, optional
        What the pictures are called: their random answers depend on it. Their places by default.

    Returns
    -------
    dict
        Row name -> score name -> `Interval`. The row ``margin`` is the model's `lead`, with ``p``
        of the exact McNemar test against the row it leads over.
    """
    count, classes = own.shape
    constant = np.full(count, np.bincount(labels, minlength=classes).argmax())
    rows: dict[str, tuple[NDArray[np.integer], NDArray[np.float64] | None]] = {
        "model": (own.argmax(axis=1), own),
        # One bare answer has neither a second choice nor probabilities.
        "constant": (constant, None),
        "prior": _told(np.tile(prior, (count, 1))),
        "shuffled": _told(own[derangement(count, seed)]),
        "blank": _told(np.tile(blank, (count, 1))),
        "random": (drawn(names or range(count), classes, of="labels", seed=seed), None),
        "oracle": _told(np.eye(classes)[labels]),
    }
    units = again.objects()
    draws = {name: scores_of(labels, *given, classes, again) for name, given in rows.items()}
    table: dict[str, Row] = {name: dict(intervals(scores, units)) for name, scores in draws.items()}
    for name, always in (("prior", prior), ("blank", blank)):
        table[name] |= intervals({"brier": draws[name]["brier"]}, units, {"brier": _ends(always)})
    margin = lead(draws, _LEADING, count=count, units=units)
    right, other = rows["model"][0] == labels, rows[str(margin["over"])][0] == labels
    # The bootstrap of a handful of pictures is surer than they allow.
    margin["p"] = mcnemar(int((right & ~other).sum()), int((other & ~right).sum()))
    return table | {"margin": margin}


def _ends(always: NDArray[np.float64]) -> tuple[float, float]:
    """Return the least and greatest Brier score of the same probabilities for every picture.

    Equal ones score the same whatever the pictures show: no other picture could change that.
    """
    scores = ((always - np.eye(len(always))) ** 2).sum(axis=1)
    return float(scores.min()), float(scores.max())


def _told(
    probabilities: NDArray[np.float64],
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    return probabilities.argmax(axis=1), probabilities


def scores_of(
    labels: NDArray[np.integer],
    predicted: NDArray[np.integer],
    probabilities: NDArray[np.float64] | None,
    classes: int,
    again: Resampling,
) -> dict[str, Draws]:
    """Return the scores of `metrics` on all pictures and on each resample.

    Parameters
    ----------
    labels, predicted : ndarray of int, shape (n,)
        True and predicted classes; -1 is no answer.
    probabilities : ndarray, shape (n, classes), optional
        Without them there are the scores of bare answers only.
    classes : int
        Number of classes.
    again : Resampling
        Of the n pictures.
    """
    right = labels == predicted
    truth = np.eye(classes)[labels]
    said = np.eye(classes + 1)[np.where(predicted < 0, classes, predicted)][:, :classes]
    both = truth * right[:, None]
    there, given, hit = (again.sums(part) for part in (truth, said, both))
    total = there.sum(axis=1)
    found = {
        "accuracy": hit.sum(axis=1) / total,
        "balanced_accuracy": np.nanmean(ratio(hit, there), axis=1),
        "macro_f1": np.nanmean(ratio(2 * hit, there + given), axis=1),
    }
    if probabilities is None:
        return found
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    second = (rank_of(labels, probabilities) < 2).astype(np.float64)
    confidence = probabilities.max(axis=1)
    number = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.eye(_BINS)[number] * (right - confidence)[:, None]
    return found | {
        "top_2": again.mean(second),
        "ece": np.abs(again.sums(gaps)).sum(axis=1) / total,
        "brier": again.mean(((probabilities - truth) ** 2).sum(axis=1)),
        "nll": again.mean(-np.log(np.maximum(own[:, 0], 1e-12))),
        "aurc": again.risk_area(confidence, ~right),
    }


def calibration_table(
    labels: NDArray[np.integer],
    rows: Mapping[str, NDArray[np.float64]],
    again: Resampling,
) -> dict[str, dict[str, Interval]]:
    """Score the same answers with probabilities made in several ways.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    rows : mapping
        Row name -> probabilities, shape (n, classes).
    again : Resampling
    """
    table = {}
    for name, given in rows.items():
        scores = scores_of(labels, given.argmax(axis=1), given, given.shape[1], again)
        table[name] = intervals(
            {key: scores[key] for key in ("ece", "brier", "nll", "aurc")}, again.objects()
        )
    return table
