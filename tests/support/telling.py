"""A model that answers from the votes of a picture: what evaluation should call a perfect one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from astrollava.vocabularies import GALAXY10, Vocabulary
from astrollava_training.data import language
from astrollava_training.data.answers import answers
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.galaxies import read_votes
from astrollava_training.evaluate.collect import QUESTIONS
from astrollava_training.evaluate.models import Model, Query, Reply, Rule

__all__ = ["Teller"]

_TOPICS = {words: topic for topic, words in QUESTIONS.items()}


class Teller(Model):
    """Answers from the votes of the picture shown, or always from the same ones.

    `sure` is the probability it gives its label; `wrong` the share of pictures it mislabels.
    """

    def __init__(
        self, votes: Path, *, always: Facts | None = None, sure: float = 0.9, wrong: float = 0.0
    ) -> None:
        self.known = {path: facts for path, _, facts in read_votes(votes)}
        self.always, self.sure, self.wrong = always, sure, wrong
        self.name = "teller"
        self.image_size = (8, 8)
        self.asked = 0

    def facts(self) -> dict[str, Any]:
        return {"runtime": "votes", "sure": self.sure, "wrong": self.wrong}

    def rule(self, vocabulary: Vocabulary) -> Rule:
        return Rule("sum")

    def close(self) -> None:
        self.known.clear()

    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        for number, query in enumerate(queries):
            self.asked += 1
            facts = self._facts(query.picture())
            texts = tuple(self._say(facts, words) for words in query.say)
            yield Reply(texts, tuple(self._weigh(facts, number) for _ in query.score))

    def _facts(self, source: Any) -> Facts:
        if self.always is not None:
            return self.always
        return self.known[source] if isinstance(source, Path) else Facts(kind="empty")

    def _say(self, facts: Facts, words: str) -> str:
        if words not in _TOPICS:
            return language.description(facts, np.random.default_rng(0))
        known = answers(facts, language.caption(facts, np.random.default_rng(0)))
        return known.get(_TOPICS[words], language.CANNOT_TELL)

    def _weigh(self, facts: Facts, number: int) -> tuple[float, ...]:
        at = LABELS.index(facts.label) if facts.label is not None else 0
        if number % 100 < 100 * self.wrong:
            at = (at + 1) % len(LABELS)
        shares = np.full(len(GALAXY10), (1 - self.sure) / (len(GALAXY10) - 1))
        shares[at] = self.sure
        return tuple(float(score) for score in np.log(shares))
