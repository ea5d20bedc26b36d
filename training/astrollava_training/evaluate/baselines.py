"""Answers that need no picture, and the tables they share with the model.

``constant``
    One answer for all: the best there is, chosen on the very pictures it is scored on.
``prior``
    The most frequent class or answer of the training split, and its class frequencies.
``shuffled``
    The model's answers, each given to another picture.
``blank``
    The model's answer to a black picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate import metrics
from astrollava_training.evaluate.collect import Answers
from astrollava_training.evaluate.metrics import Interval, bootstrap
from astrollava_training.evaluate.statements import CONTRADICTION, read, read_answer
from astrollava_training.evaluate.truth import agrees, answers

__all__ = ["EVERY", "derangement", "label_table", "question_tables", "statement_table"]

EVERY = "all"
"""Stands for all questions together."""

Row = dict[str, Any]
Truths = Sequence[Mapping[str, str]]
_Score = Callable[[NDArray[np.float64]], float]


def derangement(count: int, seed: int = 0) -> NDArray[np.intp]:
    """Return an order in which no picture keeps its place (for two or more)."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, np.intp)
    moved[order] = np.roll(order, 1)
    return moved


def label_table(
    labels: NDArray[np.integer],
    own: NDArray[np.float64],
    blank: NDArray[np.float64],
    prior: NDArray[np.float64],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Row]:
    """Score label probabilities beside the blind answers.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        True classes.
    own : ndarray, shape (n, classes)
        The model's probabilities.
    blank, prior : ndarray, shape (classes,)
        Its probabilities for a blank picture; class frequencies in training.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Row name -> score name -> `Interval`. The row ``margin`` is the model's lead over the best
        blind answer in each score, on the same resampled pictures.
    """
    count, classes = own.shape
    constant = np.zeros(classes)
    constant[np.bincount(labels, minlength=classes).argmax()] = 1.0
    rows = {
        "model": own,
        "constant": np.tile(constant, (count, 1)),
        "prior": np.tile(prior, (count, 1)),
        "shuffled": own[derangement(count, seed)],
        "blank": np.tile(blank, (count, 1)),
    }

    def scores(name: str, at: NDArray[np.intp]) -> dict[str, float]:
        true, given = labels[at], rows[name][at]
        predicted = given.argmax(axis=1)
        found = {
            "accuracy": metrics.accuracy(true, predicted),
            "balanced_accuracy": metrics.balanced_accuracy(true, predicted, classes),
            "macro_f1": metrics.macro_f1(true, predicted, classes),
        }
        if name != "constant":  # one bare answer has neither a second choice nor probabilities
            found |= {
                "top_2": metrics.top_k_accuracy(true, given, 2),
                "ece": metrics.expected_calibration_error(true, given),
                "brier": metrics.brier(true, given),
            }
        return found

    def interval(name: str, key: str, against: str | None = None) -> Interval:
        def score(at: NDArray[np.intp]) -> float:
            lead = scores(name, at)[key]
            return lead if against is None else lead - scores(against, at)[key]

        return bootstrap(score, count, resamples=resamples, seed=seed)

    every = np.arange(count)
    table: dict[str, Row] = {
        name: {key: interval(name, key) for key in scores(name, every)} for name in rows
    }
    margin: Row = {}
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        blind = [(table[name][key].value, name) for name in rows if name != "model"]
        margin[key] = interval("model", key, against=max(blind)[1])
    return table | {"margin": margin}


def question_tables(
    truths: Truths, own: Answers, blank: Answers, training: Truths, *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Score the answers to each question on the pictures whose votes decide it.

    Returns
    -------
    dict
        Topic -> ``n``, ``values`` (how often each is true) and ``rows``: row name ->
        ``agreement`` (`Interval`), ``balanced`` (mean over the true values) and ``unanswered``. No
        answer counts as wrong. The last topic, `EVERY`, is all questions together, and has a row
        ``margin``: the model's lead over the best blind row, on the same resampled pictures.
    """
    shuffled = own.at(derangement(len(truths), seed))
    tables: dict[str, dict[str, Any]] = {}
    totals: dict[str, NDArray[np.float64]] = {}
    for topic in own.answers:
        decided = [i for i, known in enumerate(truths) if topic in known]
        true = [truths[i][topic] for i in decided]
        common = Counter(known[topic] for known in training if topic in known).most_common(1)
        often = Counter(true)
        best = max(often, key=lambda v: sum(answers(topic, v, t) for t in true), default=None)
        said = {
            "model": [read_answer(own.answers[topic][i], topic) for i in decided],
            "constant": [best] * len(decided),
            "prior": [common[0][0] if common else None] * len(decided),
            "shuffled": [read_answer(shuffled.answers[topic][i], topic) for i in decided],
            "blank": [read_answer(blank.answers[topic][0], topic)] * len(decided),
        }
        for name, values in said.items():
            count = totals.setdefault(name, np.zeros((len(truths), 3)))
            for i, value, wanted in zip(decided, values, true, strict=True):
                count[i] += (answers(topic, value, wanted), 1, value is None)
        tables[topic] = {
            "n": len(decided),
            "values": dict(often.most_common()),
            "rows": {
                name: _agreement(topic, values, true, resamples=resamples, seed=seed)
                for name, values in said.items()
            },
        }
    return tables | {EVERY: _every_question(totals, resamples=resamples, seed=seed)}


def _every_question(
    totals: Mapping[str, NDArray[np.float64]], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Pool the questions; a row of `totals` counts right, asked and unanswered of a picture."""

    def share(counts: NDArray[np.float64]) -> float:
        return float(counts[0] / counts[1]) if counts[1] else float("nan")

    rows: dict[str, Row] = {}
    for name, counts in totals.items():
        whole = counts.sum(axis=0)
        rows[name] = {
            "agreement": _pooled(share, counts, resamples, seed),
            "unanswered": float(whole[2] / whole[1]) if whole[1] else 0.0,
        }
    blind = [name for name in totals if name != "model"]
    best = max(blind, key=lambda name: rows[name]["agreement"].value, default=None)
    if best is not None:
        model, other = totals["model"], totals[best]
        rows["margin"] = {
            "agreement": bootstrap(
                lambda at: share(model[at].sum(axis=0)) - share(other[at].sum(axis=0)),
                len(model),
                resamples=resamples,
                seed=seed,
            )
        }
    return {"n": int(totals["model"][:, 1].sum()) if totals else 0, "values": {}, "rows": rows}


def _agreement(
    topic: str, said: Sequence[str | None], true: Sequence[str], *, resamples: int, seed: int
) -> Row:
    right = np.array([answers(topic, s, t) for s, t in zip(said, true, strict=True)], float)
    kinds = sorted(set(true))
    per_value = [right[[t == kind for t in true]].mean() for kind in kinds]
    return {
        "agreement": bootstrap(
            lambda at: float(right[at].mean()), len(right), resamples=resamples, seed=seed
        ),
        "balanced": float(np.mean(per_value)) if kinds else float("nan"),
        "unanswered": sum(value is None for value in said) / max(len(said), 1),
    }


def statement_table(
    truths: Truths, own: Answers, blank: Answers, *, resamples: int, seed: int
) -> dict[str, Row]:
    """Score what free descriptions say on topics the votes decide.

    Returns
    -------
    dict
        Row name -> ``precision`` (stated and true of all stated), ``recall`` (of all decided
        topics), ``f1`` (all `Interval`) and ``stated`` (statements per description, decided or
        not). The constant is the one of the model's own descriptions that scores the best F1 when
        given to every picture.
    """
    said = [read(text) for text in own.descriptions]
    nothing = read(blank.descriptions[0])
    order = derangement(len(truths), seed)
    candidates = {tuple(sorted(s.items())): s for s in said}.values()
    best = max(candidates, key=lambda s: _f1(_counts([s] * len(truths), truths).sum(axis=0)))
    rows = {
        "model": said,
        "constant": [best] * len(truths),
        "shuffled": [said[i] for i in order],
        "blank": [nothing] * len(truths),
    }
    table: dict[str, Row] = {}
    for name, statements in rows.items():
        counts = _counts(statements, truths)
        table[name] = {
            key: _pooled(score, counts, resamples, seed)
            for key, score in {"precision": _precision, "recall": _recall, "f1": _f1}.items()
        }
        table[name]["stated"] = sum(map(len, statements)) / max(len(statements), 1)
        table[name]["contradictions"] = sum(CONTRADICTION in s.values() for s in statements)
    return table


def _pooled(score: _Score, counts: NDArray[np.float64], resamples: int, seed: int) -> Interval:
    return bootstrap(
        lambda at: score(counts[at].sum(axis=0)), len(counts), resamples=resamples, seed=seed
    )


def _counts(said: Sequence[Mapping[str, str]], truths: Truths) -> NDArray[np.float64]:
    """Count per picture: statements that are true, statements on decided topics, decided topics."""
    rows = []
    for statements, known in zip(said, truths, strict=True):
        both = statements.keys() & known.keys()
        right = sum(agrees(topic, statements[topic], known[topic]) for topic in both)
        rows.append((right, len(both), len(known)))
    return np.array(rows, np.float64)


def _precision(total: NDArray[np.float64]) -> float:
    return float(total[0] / total[1]) if total[1] else float("nan")


def _recall(total: NDArray[np.float64]) -> float:
    return float(total[0] / total[2]) if total[2] else float("nan")


def _f1(total: NDArray[np.float64]) -> float:
    return float(2 * total[0] / (total[1] + total[2])) if total[1] + total[2] else float("nan")
