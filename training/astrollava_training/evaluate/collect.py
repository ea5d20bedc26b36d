"""Ask a model everything once, about each picture and about a blank one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from astrollava.vocabularies import GALAXY10

__all__ = ["QUESTIONS", "Answers", "Model", "ask_all", "blank", "probabilities"]

#: One plain wording per topic; the topics are those of `statements`.
QUESTIONS: Mapping[str, str] = {
    "smooth": "Is it smooth or does it have features?",
    "edge_on": "Is it edge-on?",
    "bar": "Is there a bar?",
    "spiral": "Does it have spiral arms?",
    "arms": "How many arms?",
    "winding": "How tightly wound are the arms?",
    "bulge": "How prominent is the bulge?",
    "rounded": "How round is it?",
    "merging": "Is it merging?",
    "disturbed": "Is it disturbed?",
    "ring": "Is there a ring?",
}


class Model(Protocol):
    """What is evaluated: `astrollava.Describer`, or anything that answers like it."""

    def classify(self, source: Any, vocabulary: Any = ..., /) -> Any:
        """Return a result with ``probabilities``."""

    def ask(self, source: Any, question: str, /) -> Any:
        """Return a result with ``text``."""

    def describe(self, source: Any, /) -> Any:
        """Return a result with ``text``."""


@dataclass(frozen=True)
class Answers:
    """What a model said about some pictures.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (pictures, 10)
        Over Galaxy10, in its order.
    answers : mapping
        Topic -> answer for each picture.
    descriptions : tuple of str
        One for each picture.
    """

    probabilities: NDArray[np.float64]
    answers: Mapping[str, tuple[str, ...]]
    descriptions: tuple[str, ...]

    def repeated(self, count: int) -> Answers:
        """Return the answers to the first picture, given `count` times."""
        return self.at(np.zeros(count, np.intp))

    def at(self, order: NDArray[np.intp]) -> Answers:
        """Return the answers in another order."""
        return Answers(
            self.probabilities[order],
            {topic: tuple(said[i] for i in order) for topic, said in self.answers.items()},
            tuple(self.descriptions[i] for i in order),
        )


def probabilities(model: Model, sources: Sequence[Any]) -> NDArray[np.float64]:
    """Return Galaxy10 probabilities, shape (pictures, 10)."""
    rows = []
    for source in tqdm(sources, desc="classify", disable=None):
        found = model.classify(source, GALAXY10.name).probabilities
        rows.append([found[label] for label in GALAXY10.labels])
    return np.array(rows, np.float64).reshape(len(sources), len(GALAXY10.labels))


def ask_all(
    model: Model, sources: Sequence[Any], questions: Mapping[str, str] = QUESTIONS
) -> Answers:
    """Classify, describe and ask every question about every picture.

    Parameters
    ----------
    model : Model
        Usually an `astrollava.Describer`.
    sources : sequence
        Anything `astrollava.images.read` takes.
    questions : mapping
        Topic -> wording.

    Returns
    -------
    Answers
    """
    labelled = probabilities(model, sources)
    descriptions: list[str] = []
    answers: dict[str, list[str]] = {topic: [] for topic in questions}
    for source in tqdm(sources, desc="describe and ask", disable=None):
        descriptions.append(model.describe(source).text)
        for topic, question in questions.items():
            answers[topic].append(model.ask(source, question).text)
    said = {topic: tuple(texts) for topic, texts in answers.items()}
    return Answers(labelled, said, tuple(descriptions))


def blank(side: int = 224) -> NDArray[np.uint8]:
    """Return a black picture, shape (side, side, 3)."""
    return np.zeros((side, side, 3), np.uint8)
