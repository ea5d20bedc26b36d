"""The same objects shown in other ways: what a stretch, or an outreach JPEG, does to answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.prompts import DESCRIBE
from astrollava_training.evaluate.collect import Answers
from astrollava_training.evaluate.items import AS_IT_IS
from astrollava_training.evaluate.plan import Plan
from astrollava_training.evaluate.resampling import Resampling, interval
from astrollava_training.evaluate.statements import read
from astrollava_training.evaluate.truth import agrees

__all__ = ["view_table"]


def view_table(
    own: Answers,
    views: Mapping[str, Answers],
    probabilities: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    plan: Plan,
) -> dict[str, Any]:
    """Compare each view of the pictures with the pictures as they come.

    Parameters
    ----------
    own : Answers
        About the pictures as they come.
    views : mapping
        Name of a view -> answers about the same pictures.
    probabilities : callable
        Makes probabilities of scores.
    plan : Plan
        Resamples and seed.

    Returns
    -------
    dict
        View -> ``n`` (pictures that could be read in both), ``accuracy`` (of those with a class),
        ``change`` (accuracy less that of the picture as it comes, paired), ``same_label`` (share
        labelled alike), ``precision`` (statements that are true of all on decided topics) and
        ``same_text``. All but the first are `Interval`.
    """
    table: dict[str, Any] = {}
    for name, answers in {AS_IT_IS: own, **views}.items():
        at = {item.id: i for i, item in enumerate(answers.items)}
        both = [i for i, item in enumerate(own.items) if item.id in at]
        if not both:
            continue
        there = [at[own.items[i].id] for i in both]
        groups = [own.items[i].group or own.items[i].id for i in both]
        again = Resampling(len(both), groups=groups, resamples=plan.resamples, seed=plan.seed)
        labels = np.array([-1 if (v := own.items[i].label) is None else v for i in both])
        known = (labels >= 0).astype(float)
        before = probabilities(own.scores[both]).argmax(axis=1)
        after = probabilities(answers.scores[there]).argmax(axis=1)
        was, now = (before == labels) * known, (after == labels) * known
        sums = again.sums(np.stack([was, now, known], axis=1))
        said = np.array(
            [
                _statements(answers.texts[DESCRIBE.id][j], own.items[i].truth)
                for i, j in zip(both, there, strict=True)
            ]
        )
        right = again.sums(said)
        labelled, shown = again.objects(known), again.objects()
        texts = [
            own.texts[DESCRIBE.id][i] == answers.texts[DESCRIBE.id][j]
            for i, j in zip(both, there, strict=True)
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            table[name] = {
                "n": len(both),
                "accuracy": interval("accuracy", sums[:, 1] / sums[:, 2], labelled),
                "change": interval(
                    "change", (sums[:, 1] - sums[:, 0]) / sums[:, 2], labelled, difference=True
                ),
                "same_label": interval("same_label", again.mean(before == after), shown),
                "precision": interval(
                    "precision", right[:, 0] / right[:, 1], again.objects(said[:, 1])
                ),
                "same_text": interval("same_text", again.mean(np.array(texts)), shown),
            }
    return table


def _statements(text: str, truth: Mapping[str, str]) -> tuple[int, int]:
    """Count statements that are true, and those on decided topics."""
    said = read(text)
    both = said.keys() & truth.keys()
    return sum(agrees(topic, said[topic], truth[topic]) for topic in both), len(both)
