"""Answers that need no picture, which every table sets beside the model's.

``constant``
    One answer for all: the best there is, chosen on the very pictures it is scored on.
``prior``
    The most frequent class or answer of the training split, and its class shares. Where that has no
    picture but those scored: of the published counts, else of equal shares of all classes.
``shuffled``
    The model's answers, each given to another picture.
``blank``
    The model's answer to a black picture.
``random``
    An answer drawn at random among all there are, each as likely. Of free descriptions, which have
    no list of answers: what is true of a picture drawn at random, from where `prior` is.
``oracle``
    The truth itself, as the table could hear it at best. It is not blind: it shows the ceiling.
"""

from __future__ import annotations

import hashlib
import json
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


def drawn(
    names: Iterable[object], choices: int | Sequence[int], *, of: str, seed: int
) -> NDArray[np.intp]:
    """Draw an answer at random for each picture, or question.

    A draw depends on the seed, on what is asked and on the name, and on nothing else: not on what
    else is asked or of whom, nor in what order. One sequence for all would answer two questions
    about a picture alike.

    Parameters
    ----------
    names : iterable
        Of the pictures, or of the questions.
    choices : int or sequence of int
        How many answers there are, each as likely; or how many for each name.
    of : str
        What is asked.
    seed : int
        Another gives other draws.

    Returns
    -------
    ndarray of int, shape (names,)
        Numbers from 0, below `choices`.
    """
    each = list(names)
    many = [choices] * len(each) if isinstance(choices, int) else choices
    return np.array(
        [_hash(seed, of, name) % count for name, count in zip(each, many, strict=True)], np.intp
    )


def _hash(*parts: object) -> int:
    # Of 128 bits: what is left over by any number of answers weighs nothing.
    words = json.dumps([str(part) for part in parts]).encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:16], "big")


def commonest(values: Iterable[str]) -> str | None:
    """Return the most frequent value, None where there is none."""
    found = Counter(values).most_common(1)
    return found[0][0] if found else None
