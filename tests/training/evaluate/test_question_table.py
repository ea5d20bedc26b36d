"""Questions: what is set beside the model's answers must not have looked at the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from astrollava_training.data.facts import TREE
from astrollava_training.evaluate.baselines import drawn
from astrollava_training.evaluate.collect import QUESTIONS
from astrollava_training.evaluate.question_table import question_tables
from astrollava_training.evaluate.resampling import Resampling
from astrollava_training.evaluate.statements import ANSWERS, TOPICS


def table_of(topic: str, values: list[str], seed: int = 0) -> Mapping[str, Any]:
    truths = [{topic: value} for value in values]
    own = {topic: [""] * len(values)}
    again = Resampling(len(values), resamples=20)
    return question_tables(truths, own, {topic: ""}, (), again, seed=seed)[topic]


def test_random_answers_do_not_know_which_answers_come() -> None:
    """Drawn among those true of some picture, they were right of 18 of 18 without a ring."""
    for topic in QUESTIONS:
        value = ANSWERS[topic][0]
        scores = [
            table_of(topic, [value] * 60, seed)["rows"]["random"]["agreement"].value
            for seed in range(5)
        ]
        chance = 1 / len(ANSWERS[topic])
        assert abs(sum(scores) / 5 - chance) < 0.15, topic
        assert max(scores) < 0.75, topic


def test_random_answers_are_those_of_the_seed() -> None:
    values = ["yes", "no"] * 20
    first = table_of("bar", values, 1)["rows"]["random"]["agreement"]
    assert table_of("bar", values, 1)["rows"]["random"]["agreement"] == first
    others = {table_of("bar", values, s)["rows"]["random"]["agreement"].value for s in range(5)}
    assert len(others) > 1


def test_two_questions_about_a_picture_are_answered_apart_at_random() -> None:
    """One sequence served all: of two answers each, `bar` and `ring` had the same ones.

    The interval of all questions together, which takes them for several, was then too wide.
    """
    truths = [{"bar": "yes", "ring": "yes"}] * 60
    own = {topic: [""] * 60 for topic in ("bar", "ring")}
    alike = 0
    for seed in range(5):
        again = Resampling(60, resamples=20)
        tables = question_tables(truths, own, dict.fromkeys(own, ""), (), again, seed=seed)
        bar, ring = (tables[topic]["rows"]["random"]["agreement"].value for topic in own)
        alike += bar == ring
    assert alike < 5


def test_a_random_answer_depends_on_its_question_alone() -> None:
    """One picture more, or another order, gave every picture after it another random answer."""
    names = [f"g{i}" for i in range(200)]
    given = dict(zip(names, drawn(names, 3, of="bar", seed=1).tolist(), strict=True))
    some = names[150:20:-7]
    assert drawn(some, 3, of="bar", seed=1).tolist() == [given[name] for name in some]
    assert drawn(names, 3, of="bar", seed=2).tolist() != list(given.values())
    assert drawn(names, 3, of="ring", seed=1).tolist() != list(given.values())
    # Each as likely: 5 standard deviations of a third of 30,000.
    many = np.bincount(drawn(range(30_000), 3, of="bar", seed=0), minlength=3)
    assert np.abs(many - 10_000).max() < 5 * (30_000 * 2 / 9) ** 0.5
    assert drawn(["a", "b"], [1, 2], of="options", seed=0).tolist()[0] == 0


def test_every_answer_of_the_voters_can_be_drawn() -> None:
    """``present`` alone cannot: a bulge without a size is no answer to how prominent it is."""
    assert set(ANSWERS) == set(TOPICS)
    assert set(QUESTIONS) <= set(ANSWERS)
    for topic, answers in ANSWERS.items():
        voted = set(TREE.get(topic, answers)) - {"artifact", "cant_tell"}
        assert set(answers) == voted, topic
