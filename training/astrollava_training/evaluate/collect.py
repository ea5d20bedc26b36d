"""Ask a model everything once, about each picture and about a blank one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from astrollava.prompts import DESCRIBE, DESCRIBE_GALAXY10
from astrollava_training.evaluate.items import AS_IT_IS, Item, View
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, Model, Query, Reply

__all__ = ["BLANK", "PAPER", "QUESTIONS", "Answers", "Asked", "ask_all"]

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

#: Name of the answers to the prompt of the paper.
PAPER = DESCRIBE_GALAXY10.id

#: Name of the blank picture among the items.
BLANK = "(blank)"


@dataclass(frozen=True)
class Asked:
    """What is asked about each picture.

    Attributes
    ----------
    words : mapping
        Name -> the user's turn that is answered in words: prompts of `astrollava.prompts` by their
        ids, questions by their topics.
    choice : Choice, optional
        The question whose answers are weighed.
    max_tokens : int
        Of each text.
    """

    words: Mapping[str, str]
    choice: Choice | None
    max_tokens: int

    @classmethod
    def of(
        cls, choice: Choice | None, *, paper: bool, questions: bool, max_tokens: int = 200
    ) -> Asked:
        """Ask for a description, and as wanted for the paper's and for answers to `QUESTIONS`."""
        words = {DESCRIBE.id: DESCRIBE.text}
        if paper:
            words[PAPER] = DESCRIBE_GALAXY10.text
        if questions:
            words |= QUESTIONS
        return cls(words, choice, max_tokens)


@dataclass(frozen=True)
class Answers:
    """What a model said about some pictures.

    Attributes
    ----------
    items : tuple of Item
        The pictures that could be read.
    texts : mapping
        Name of what was asked -> an answer for each of them.
    scores : ndarray of float64, shape (pictures, answers)
        Log-probabilities of the answers of the `Choice`, in its order.
    unread : mapping
        Id of a picture that could not be read -> why.
    """

    items: tuple[Item, ...]
    texts: Mapping[str, tuple[str, ...]]
    scores: NDArray[np.float64]
    unread: Mapping[str, str]


def ask_all(
    model: Model,
    items: Sequence[Item],
    asked: Asked,
    journal: Journal,
    *,
    view: View | None = None,
    step: str = AS_IT_IS,
) -> Answers:
    """Ask everything about every picture that the journal does not know yet.

    Parameters
    ----------
    model : Model
    items : sequence of Item
    asked : Asked
    journal : Journal
        Has every answer as soon as it is given.
    view : View, optional
        How the pictures are shown, where it is not as they come.
    step : str
        Under what name the journal keeps the answers; the view's, where there is one.
    """
    step = view.name if view is not None else step
    missing = [item for item in items if journal.get(step, item.id) is None]

    def queries() -> Iterator[Query]:
        for item in missing:
            yield Query(
                item.load if view is None else partial(view.shown, item),
                tuple(asked.words.values()),
                () if asked.choice is None else (asked.choice,),
                asked.max_tokens,
                {} if view is None else view.options,
            )

    replies = tqdm(model.answer(queries()), step, len(missing), unit="image", disable=None)
    for item, reply in zip(missing, replies, strict=True):
        journal.add(step, item.id, reply)
    return _gathered(items, asked, journal, step)


def _gathered(items: Sequence[Item], asked: Asked, journal: Journal, step: str) -> Answers:
    replies = [(item, journal.get(step, item.id) or Reply()) for item in items]
    sound = [(item, reply) for item, reply in replies if not reply.error]
    width = 0 if asked.choice is None else len(asked.choice.answers)
    return Answers(
        tuple(item for item, _ in sound),
        {name: tuple(r.texts[i] for _, r in sound) for i, name in enumerate(asked.words)},
        np.array([r.scores[0] if r.scores else () for _, r in sound]).reshape(len(sound), width),
        {item.id: reply.error for item, reply in replies if reply.error},
    )
