"""Multiple-choice questions asked and scored, in every order of their options.

The option whose letter is most probable is taken. A model may prefer a letter to any content, so
each question is asked with the options moved on by one place until every option has stood at every
letter; right whatever the order is the *CircularEval* of MMBench (Liu et al. 2023,
arXiv:2307.06281).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.asking import ask
from astrollava_training.evaluate.baselines import Row, derangement, drawn
from astrollava_training.evaluate.benchmarks.choices import Question
from astrollava_training.evaluate.items import Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.metrics import Interval, mcnemar
from astrollava_training.evaluate.models import Model
from astrollava_training.evaluate.resampling import (
    Draws,
    Resampling,
    interval,
    intervals,
    lead,
    ratio,
)

__all__ = ["Chosen", "ask_questions", "question_report", "retention"]


@dataclass(frozen=True)
class Chosen:
    """What a model chose.

    Attributes
    ----------
    orders : ndarray of int, shape (questions, orders)
        Place of the option chosen in each order, the published one first; -1 where a question has
        fewer options than orders.
    blank, shuffled : ndarray of int, shape (questions,)
        With a black picture, and with that of another question, in the published order. Where no
        question has a picture, both are empty.
    """

    orders: NDArray[np.int64]
    blank: NDArray[np.int64]
    shuffled: NDArray[np.int64]


def ask_questions(
    model: Model,
    questions: Sequence[Question],
    journal: Journal,
    *,
    every_order: bool = True,
    pictures: Mapping[str, Any] | None = None,
) -> Chosen:
    """Ask every question.

    Parameters
    ----------
    model : Model
    questions : sequence of Question
        One without a picture is asked beside a black one: the models here always see something.
    journal : Journal
        Keeps the answers.
    every_order : bool
        Move the options on through all places, else ask in the published order only.
    pictures : mapping, optional
        Id of a question -> its picture, or a function that loads it, where questions come without.
    """
    nothing = model.blank()
    own = {q.id: q.image for q in questions} if pictures is None else pictures
    shown = [nothing if own.get(q.id) is None else own[q.id] for q in questions]
    most = max(len(q.options) for q in questions) if every_order else 1
    orders = np.full((len(questions), most), -1)
    for shift in range(most):
        at = [i for i, q in enumerate(questions) if shift < len(q.options)]
        orders[at, shift] = _ask(model, questions, shown, at, shift, journal, f"order {shift}")
    seen = [i for i, q in enumerate(questions) if own.get(q.id) is not None]
    blank, shuffled = np.empty(0, int), np.empty(0, int)
    if len(seen) > 1:
        blank, shuffled = orders[:, 0].copy(), orders[:, 0].copy()
        blank[seen] = _ask(model, questions, [nothing] * len(questions), seen, 0, journal, "blank")
        others = list(shown)
        for i, other in zip(seen, derangement(len(seen)), strict=True):
            others[i] = shown[seen[other]]
        shuffled[seen] = _ask(model, questions, others, seen, 0, journal, "shuffled")
    return Chosen(orders, blank, shuffled)


def _ask(
    model: Model,
    questions: Sequence[Question],
    pictures: Sequence[Any],
    at: Sequence[int],
    shift: int,
    journal: Journal,
    step: str,
) -> list[int]:
    by_id = {questions[i].id: questions[i] for i in at}
    items = [Item(questions[i].id, partial(_itself, pictures[i]), None, "test") for i in at]
    replies = ask(model, items, journal, step, score=lambda item: (by_id[item.id].choice(shift),))
    return [
        questions[i].chosen(int(np.argmax(reply.scores[0])), shift)
        for i, reply in zip(at, replies, strict=True)
    ]


def _itself(picture: Any) -> Any:
    return picture() if callable(picture) else picture


def question_report(
    questions: Sequence[Question], chosen: Chosen, *, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Score the questions whose answers are told.

    Returns
    -------
    dict
        ``n``; ``rows``: row name -> ``accuracy`` (`Interval`) for ``model``, ``any order`` (right
        in all orders), ``random``, ``letter`` (always the letter that is right most often),
        ``longest`` (always the longest option) and, where there are pictures, ``blank`` and
        ``shuffled``, with ``margin``, the lead over the best blind row; ``consistency``
        (`Interval`), the share of questions with the same option chosen in all orders; ``letters``,
        how often each letter was chosen over all orders; and ``categories`` -> ``n`` and
        ``accuracy``.

    Raises
    ------
    InvalidRequest
        No question has its answer.
    """
    told = _told(questions)
    kept = [questions[i] for i in told]
    right = np.array([question.answer for question in kept])
    orders = chosen.orders[told]
    resampling = Resampling(len(kept), resamples=resamples, seed=seed)
    asked = orders >= 0
    counts = np.array([len(question.options) for question in kept])
    given: dict[str, NDArray[np.generic]] = {
        "model": orders[:, 0] == right,
        "any order": ((orders == right[:, None]) | ~asked).all(axis=1),
        "random": drawn([q.id for q in kept], counts.tolist(), of="options", seed=seed) == right,
        "letter": right == np.bincount(right).argmax(),
        "longest": np.array([int(np.argmax([len(o) for o in q.options])) for q in kept]) == right,
    }
    if chosen.blank.size:
        given["blank"] = chosen.blank[told] == right
        given["shuffled"] = chosen.shuffled[told] == right
    draws = {
        name: {"accuracy": resampling.mean(hits.astype(float))} for name, hits in given.items()
    }
    rows: dict[str, Row] = {name: dict(intervals(row, len(kept))) for name, row in draws.items()}
    compared = {name: row for name, row in draws.items() if name != "any order"}
    rows["margin"] = dict(lead(compared, ("accuracy",), count=len(kept)))
    same = ((orders == orders[:, :1]) | ~asked).all(axis=1)
    return {
        "n": len(kept),
        "rows": rows,
        "consistency": interval("consistency", resampling.mean(same.astype(float)), len(kept)),
        "letters": _letters(kept, orders),
        "categories": _categories(kept, given["model"]),
    }


def _told(questions: Sequence[Question]) -> list[int]:
    """Return the places of the questions whose answers are told; there must be one."""
    told = [i for i, question in enumerate(questions) if question.answer is not None]
    if not told:
        raise InvalidRequest(
            "none of the questions has its answer",
            hint="Send what was chosen to those who keep the answers; it is in predictions.csv",
        )
    return told


def _letters(questions: Sequence[Question], orders: NDArray[np.int64]) -> dict[str, int]:
    count: dict[str, int] = {}
    for question, row in zip(questions, orders, strict=True):
        for shift, place in enumerate(row):
            if place >= 0:
                letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(place - shift) % len(question.options)]
                count[letter] = count.get(letter, 0) + 1
    return dict(sorted(count.items()))


def _categories(questions: Sequence[Question], hits: NDArray[np.generic]) -> dict[str, Row]:
    names = sorted({question.category for question in questions} - {""})
    found: dict[str, Row] = {}
    for name in names:
        own = hits[[question.category == name for question in questions]].astype(float)
        found[name] = {"n": len(own), "accuracy": float(own.mean())}
    return found


def retention(
    questions: Sequence[Question],
    before: Chosen,
    after: Chosen,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two models on the same questions: what one had and the other lost.

    Parameters
    ----------
    questions : sequence of Question
        With their answers.
    before, after : Chosen
        What each chose, in the published order.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n``, ``before``, ``after`` and ``change`` (`Interval`, paired), ``kept`` (share of what
        was right before that still is), ``lost`` and ``gained`` (questions), and ``p``: the exact
        two-sided McNemar test of as many lost as gained.
    """
    told = _told(questions)
    right = np.array([questions[i].answer for i in told])
    first = (before.orders[told, 0] == right).astype(float)
    second = (after.orders[told, 0] == right).astype(float)
    resampling = Resampling(len(told), resamples=resamples, seed=seed)
    both: Draws = ratio(resampling.sums(first * second), resampling.sums(first))
    lost, gained = int((first > second).sum()), int((second > first).sum())
    found: Mapping[str, Interval] = {
        "before": interval("before", resampling.mean(first), len(told)),
        "after": interval("after", resampling.mean(second), len(told)),
        "change": interval("change", resampling.mean(second - first), len(told), difference=True),
        "kept": interval("kept", both, int(first.sum())),
    }
    return {"n": len(told), **found, "lost": lost, "gained": gained, "p": mcnemar(lost, gained)}
