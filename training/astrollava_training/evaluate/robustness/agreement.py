"""How far two sets of answers to the same pictures agree, beside what blind agreement would be.

A model that says the same of everything agrees with itself whatever is done to the picture. So each
share of agreement stands beside the share by chance: how often the first answer to a picture agrees
with the second answer to another picture. ``kappa`` is what lies between, from 0 (chance) to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.baselines import Row, derangement
from astrollava_training.evaluate.features import FEATURES, yes_or_no
from astrollava_training.evaluate.resampling import Draws, Resampling, interval, ratio
from astrollava_training.evaluate.statements import read

__all__ = ["Said", "agreement_row", "alike", "share_row"]


@dataclass(frozen=True)
class Said:
    """What a model says about some pictures.

    Attributes
    ----------
    probabilities : ndarray, shape (pictures, labels)
        Of the labels.
    answers : tuple of tuple of str
        For each picture the answers to the questions of `FEATURES`, in their order.
    descriptions : tuple of str
        For each picture.
    """

    probabilities: NDArray[np.float64]
    answers: tuple[tuple[str, ...], ...]
    descriptions: tuple[str, ...]

    def values(self) -> NDArray[np.int64]:
        """Return the answers as 0 (no), 1 (yes) and 2 (neither), shape (pictures, features)."""
        found = [
            [
                2 if (yes := yes_or_no(text, feature)) is None else int(yes)
                for text, feature in zip(texts, FEATURES, strict=True)
            ]
            for texts in self.answers
        ]
        return np.array(found, np.int64).reshape(len(self.answers), len(FEATURES))


def agreement_row(
    one: Said, other: Said, labels: NDArray[np.integer], resampling: Resampling, *, seed: int
) -> Row:
    """Compare two sets of answers.

    Parameters
    ----------
    one, other : Said
        What is compared with, and what is compared.
    labels : ndarray of int, shape (pictures,)
        True classes, -1 where there is none.
    resampling : Resampling
        Over the pictures.
    seed : int
        Of the pictures that stand in for others.

    Returns
    -------
    dict
        ``labels``, ``answers`` and ``statements``: share that agrees, each with its ``… by
        chance`` and ``… kappa``; ``moved``, half the sum of the differences of probabilities; and,
        where there are labels, ``accuracy`` of the other with ``accuracy lost``, by how much the
        first was better on the same pictures. All are `Interval`.
    """
    order = derangement(len(labels), seed)
    first = one.probabilities.argmax(axis=1)
    second = other.probabilities.argmax(axis=1)
    row = share_row("labels", first == second, first == second[order], resampling)
    asked, again = one.values(), other.values()
    row |= share_row(
        "answers", (asked == again).mean(axis=1), (asked == again[order]).mean(axis=1), resampling
    )
    said, after = ([read(text) for text in s.descriptions] for s in (one, other))
    row |= share_row(
        "statements",
        [alike(a, b) for a, b in zip(said, after, strict=True)],
        [alike(a, after[i]) for a, i in zip(said, order, strict=True)],
        resampling,
    )
    moved = np.abs(one.probabilities - other.probabilities).sum(axis=1) / 2
    row["moved"] = interval("moved", resampling.mean(moved), resampling.objects())
    known = (labels >= 0).astype(np.float64)
    if known.any():
        right = np.stack([(first == labels) * known, (second == labels) * known, known], axis=1)
        units = resampling.objects(known)
        before, now, count = resampling.sums(right).T
        row["accuracy"] = interval("accuracy", ratio(now, count), units)
        row["accuracy lost"] = interval(
            "accuracy lost", ratio(before - now, count), units, difference=True
        )
    return row


def share_row(
    name: str,
    same: Sequence[float] | NDArray[np.generic],
    by_chance: Sequence[float] | NDArray[np.generic],
    resampling: Resampling,
) -> Row:
    """Return a share of agreement, that by chance, and kappa between them.

    Parameters
    ----------
    name : str
        What agrees.
    same, by_chance : array_like, shape (pictures,)
        How far the answers to a picture agree, in [0, 1]; and with those to another picture.
    resampling : Resampling
        Over the pictures.
    """
    share = resampling.mean(np.asarray(same, np.float64))
    chance = resampling.mean(np.asarray(by_chance, np.float64))
    kappa: Draws = ratio(share - chance, 1.0 - chance)
    units = resampling.objects()
    return {
        name: interval(name, share, units),
        f"{name} by chance": interval(name, chance, units),
        f"{name} kappa": interval(name, kappa, units, difference=True),
    }


def alike(one: dict[str, str], other: dict[str, str]) -> float:
    """Return the share of the topics either speaks of on which both say the same."""
    topics = one.keys() | other.keys()
    if not topics:
        return 1.0
    return sum(one.get(topic) == other.get(topic) for topic in topics) / len(topics)
