"""Answers that need no picture, which every table sets beside the model's.

``constant``
    One answer for all: the best there is, chosen on the very pictures it is scored on.
``prior``
    The most frequent class or answer of the training split, and its class shares.
``shuffled``
    The model's answers, each given to another picture.
``blank``
    The model's answer to a black picture.
``random``
    An answer drawn at random among all there are, each as likely. Of free descriptions, which have
    no list of answers: what is true of a picture drawn at random, of the training split if any.
``oracle``
    The truth itself, as the table could hear it at best. It is not blind: it shows the ceiling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLIND", "Row", "Truths", "commonest", "derangement", "drawn"]

Row = dict[str, Any]
"""Score name -> value of one row of a table."""

Truths = Sequence[Mapping[str, str]]
"""For each picture topic -> value, as far as it is decided."""

BLIND = ("constant", "prior", "shuffled", "blank", "random")
"""Names of the rows that need no picture, in the order of the tables."""


def derangement(count: int, seed: int = 0) -> NDArray[np.intp]:
    """Return an order in which no picture keeps its place (for two or more)."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, np.intp)
    moved[order] = np.roll(order, 1)
    return moved


def drawn(count: int, choices: int, seed: int) -> NDArray[np.intp]:
    """Return so many numbers below `choices`, each as likely."""
    return np.random.default_rng((seed, 1)).integers(choices, size=count)


def commonest(values: Iterable[str]) -> str | None:
    """Return the most frequent value, None where there is none."""
    found = Counter(values).most_common(1)
    return found[0][0] if found else None
