"""Answers to plain questions, against what the votes decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.baselines import Truths, commonest, derangement, drawn
from astrollava_training.evaluate.resampling import Draws, Resampling, interval, lead, ratio
from astrollava_training.evaluate.statements import ANSWERS, read_answer
from astrollava_training.evaluate.truth import answers

__all__ = ["EVERY", "question_tables"]

EVERY = "all"
"""Stands for all questions together."""


def question_tables(
    truths: Truths,
    own: Mapping[str, Sequence[str]],
    blank: Mapping[str, str],
    training: Truths,
    again: Resampling,
    *,
    seed: int,
    names: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Score the answers to each question on the pictures of which it is decided.

    Parameters
    ----------
    truths : sequence of mapping
        What is decided about each picture.
    own : mapping
        Topic -> the model's answer for each picture.
    blank : mapping
        Topic -> its answer to a blank picture.
    training : sequence of mapping
        What is decided about each picture of the training split.
    again : Resampling
        Of the pictures.
    seed : int
        Of the shuffling and of the random answers.
    names : sequence of str, optional
        What the pictures are called: their random answers depend on it. Their places by default.

    Returns
    -------
    dict
        Topic -> ``n``, ``values`` (how often each is true) and ``rows``: row name ->
        ``agreement`` (`Interval`), ``balanced`` (mean over the true values) and ``unanswered``. No
        answer counts as wrong. The last topic, `EVERY`, is all questions together. A row
        ``margin`` is the model's `lead`.
    """
    order = derangement(len(truths), seed)
    tables: dict[str, dict[str, Any]] = {}
    totals: dict[str, NDArray[np.float64]] = {}
    for topic, texts in own.items():
        decided = [i for i, known in enumerate(truths) if topic in known]
        true = [truths[i][topic] for i in decided]
        kinds = sorted(set(true))
        said = {
            "model": [read_answer(texts[i], topic) for i in decided],
            "constant": [_best(topic, true)] * len(decided),
            "prior": [commonest(k[topic] for k in training if topic in k)] * len(decided),
            "shuffled": [read_answer(texts[order[i]], topic) for i in decided],
            "blank": [read_answer(blank[topic], topic)] * len(decided),
            # Of all answers there are: those that come among the true ones tell of the pictures.
            "random": [
                ANSWERS[topic][i]
                for i in drawn(
                    [names[i] if names else i for i in decided],
                    len(ANSWERS[topic]),
                    of=topic,
                    seed=seed,
                )
            ],
            "oracle": list(true),
        }
        counts = {}
        for name, values in said.items():
            count = counts[name] = np.zeros((len(truths), 3))
            for i, value, wanted in zip(decided, values, true, strict=True):
                count[i] = (answers(topic, value, wanted), 1, value is None)
            totals[name] = totals.get(name, np.zeros((len(truths), 3))) + count
        rows = _rows(counts, again)
        for name, values in said.items():
            per_kind = [
                np.mean([answers(topic, s, t) for s, t in zip(values, true, strict=True) if t == k])
                for k in kinds
            ]
            rows[name]["balanced"] = float(np.mean(per_kind)) if kinds else float("nan")
        tables[topic] = {
            "n": len(decided),
            "values": dict(Counter(true).most_common()),
            "rows": rows,
        }
    if totals:
        asked = int(totals["model"][:, 1].sum())
        tables[EVERY] = {"n": asked, "values": {}, "rows": _rows(totals, again)}
    return tables


def _best(topic: str, true: Sequence[str]) -> str | None:
    """Return the one answer that is right most often."""
    return max(
        Counter(true), key=lambda value: sum(answers(topic, value, t) for t in true), default=None
    )


def _rows(
    counts: Mapping[str, NDArray[np.float64]], again: Resampling
) -> dict[str, dict[str, Any]]:
    """Make rows of what is right, asked and unanswered of each picture."""
    draws: dict[str, dict[str, Draws]] = {}
    rows: dict[str, dict[str, Any]] = {}
    there = counts["model"][:, 1] > 0
    units = again.objects(there)
    for name, count in counts.items():
        sums = again.sums(count)
        draws[name] = {"agreement": ratio(sums[:, 0], sums[:, 1])}
        whole = count.sum(axis=0)
        rows[name] = {
            "agreement": interval("agreement", draws[name]["agreement"], units),
            "unanswered": float(whole[2] / whole[1]) if whole[1] else 0.0,
        }
    return rows | {"margin": lead(draws, ("agreement",), count=int(there.sum()), units=units)}
