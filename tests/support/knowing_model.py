"""Models under evaluation whose answers are known in advance: one that sees, others that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from astrollava.vocabularies import GALAXY10, Vocabulary
from astrollava_training.evaluate.features import FEATURES
from astrollava_training.evaluate.models import Model, Query, Reply, Rule

__all__ = ["KnowingModel", "picture_of"]


def picture_of(number: int) -> np.ndarray:
    """A picture of one grey level, which tells its number, and survives a little noise."""
    return np.full((8, 8, 3), 10 + 4 * number, np.uint8)


class KnowingModel(Model):
    """Answers from the truth of the picture shown, by the grey level of its middle.

    Parameters
    ----------
    truths : mapping
        Number of a picture -> topic -> value; of any other nothing is known.
    labels : mapping
        Number -> class.
    answer_with : callable, optional
        Question and truth of the picture -> answer, in the place of a truthful one.
    """

    name = "knowing"
    image_size = (8, 8)

    def __init__(
        self,
        truths: Mapping[int, Mapping[str, str]],
        labels: Mapping[int, int] | None = None,
        answer_with: Callable[[str, Mapping[str, str]], str] | None = None,
    ) -> None:
        self.truths, self.labels = truths, labels or {}
        self.answer_with = answer_with or self.truthful
        self.asked = 0

    @staticmethod
    def truthful(question: str, truth: Mapping[str, str]) -> str:
        for feature, wording in FEATURES.items():
            if wording == question:
                if feature not in truth:
                    return "It is hard to tell."
                return "No." if truth[feature] in ("no", "none") else "Yes."
        return " ".join(
            {"yes": f"There is a {t}.", "no": f"There is no {t}."}.get(v, "")
            for t, v in truth.items()
            if t in ("bar", "ring")
        )

    def facts(self) -> dict[str, Any]:
        return {"name": self.name}

    def rule(self, vocabulary: Vocabulary) -> Rule:
        return Rule()

    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        for query in queries:
            self.asked += 1
            number = round((float(np.median(query.picture())) - 10) / 4)
            truth = self.truths.get(number, {})
            scores = []
            for choice in query.score:
                label = self.labels.get(number)
                row = [-3.0] * len(choice.answers)
                if label is not None:
                    wanted = GALAXY10.labels[label]
                    lines = choice.question.splitlines()
                    lettered = [line[0] for line in lines if line[1:] == f". {wanted}"]
                    for i, answer in enumerate(choice.answers):
                        if answer in (GALAXY10.answers[wanted], *lettered[:1]):
                            row[i] = -0.1
                scores.append(tuple(row))
            texts = tuple(self.answer_with(question, truth) for question in query.say)
            yield Reply(texts, tuple(scores))

    def close(self) -> None:
        pass
