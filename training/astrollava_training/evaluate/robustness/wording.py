"""Other words for the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from astrollava.prompts import DESCRIBE
from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate.baselines import Row, derangement
from astrollava_training.evaluate.benchmarks.choices import Question
from astrollava_training.evaluate.features import FEATURES, yes_or_no
from astrollava_training.evaluate.items import Item
from astrollava_training.evaluate.models import Choice
from astrollava_training.evaluate.resampling import Resampling
from astrollava_training.evaluate.robustness.agreement import alike, share_row
from astrollava_training.evaluate.statements import read

__all__ = [
    "DESCRIPTIONS",
    "LABEL_QUESTIONS",
    "REWORDED",
    "answers_row",
    "label_choices",
    "letters",
    "statements_row",
]

#: Ways to ask for a description; the first is `astrollava.prompts.DESCRIBE`.
DESCRIPTIONS: tuple[str, ...] = (
    DESCRIBE.text,
    "What does this image show? Describe the galaxy.",
    "Write a short description of the morphology of this galaxy.",
)

#: Ways to ask for the class; the first is that of the vocabulary.
LABEL_QUESTIONS: tuple[str, ...] = (
    GALAXY10.question,
    "Which morphological type does this galaxy have?",
    "How would you classify this galaxy?",
)

#: Feature -> another way to ask for it than that of `FEATURES`.
REWORDED: Mapping[str, str] = {
    "bar": "Do you see a bar across the centre of this galaxy?",
    "spiral": "Are any spiral arms visible in this galaxy?",
    "edge_on": "Is this galaxy a disk that we look at from the side?",
    "merging": "Is this galaxy in the course of merging with another one?",
    "disturbed": "Does this galaxy look disturbed or irregular?",
    "ring": "Do you see a ring in this galaxy?",
    "bulge": "Is a central bulge visible in this galaxy?",
    "dust_lane": "Do you see a lane of dust across this galaxy?",
}

#: Options of a question about the class: the true one and some others.
_OPTIONS = 4


def label_choices() -> tuple[Choice, ...]:
    """Return the class asked for in each way of `LABEL_QUESTIONS`."""
    plain = Choice.of(GALAXY10)
    return tuple(replace(plain, question=question) for question in LABEL_QUESTIONS)


def letters(items: Sequence[Item], *, seed: int = 0) -> list[Question]:
    """Return the class of each item as a question with four options.

    Parameters
    ----------
    items : sequence of Item
        With labels of `GALAXY10`; those without are left out.
    seed : int
        Of the other options and of their order.
    """
    rng = np.random.default_rng((seed, 3))
    found = []
    for item in items:
        others = rng.permutation(len(GALAXY10))
        order = rng.permutation(_OPTIONS)
        if item.label is None:
            continue
        places = [item.label, *(int(i) for i in others if i != item.label)][:_OPTIONS]
        options = tuple(GALAXY10.labels[places[i]] for i in order)
        answer = options.index(GALAXY10.labels[item.label])
        found.append(Question(item.id, GALAXY10.question, options, answer))
    return found


def answers_row(
    plain: Sequence[Sequence[str]],
    reworded: Sequence[Sequence[str]],
    resampling: Resampling,
    *,
    seed: int = 0,
) -> Row:
    """Compare the answers to two wordings of the questions of `FEATURES`.

    Parameters
    ----------
    plain, reworded : sequence of sequence of str
        For each picture the answers, in the order of `FEATURES`.
    resampling : Resampling
        Over the pictures.
    seed : int
        Of the pictures that stand in for others.
    """
    first, second = (
        np.array([[yes_or_no(t, f) for t, f in zip(ts, FEATURES, strict=True)] for ts in texts])
        for texts in (plain, reworded)
    )
    order = derangement(len(plain), seed)
    same, chance = (first == second).mean(axis=1), (first == second[order]).mean(axis=1)
    return share_row("answers", same, chance, resampling)


def statements_row(
    plain: Sequence[str], reworded: Sequence[str], resampling: Resampling, *, seed: int = 0
) -> Row:
    """Compare what the descriptions state that two prompts bring forth."""
    first, second = ([read(text) for text in texts] for texts in (plain, reworded))
    order = derangement(len(plain), seed)
    same = [alike(a, b) for a, b in zip(first, second, strict=True)]
    chance = [alike(a, second[i]) for a, i in zip(first, order, strict=True)]
    return share_row("statements", same, chance, resampling)
