"""Scores of multiple choice: seeing pays, letters, length and blank pictures do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate.benchmarks import (
    Chosen,
    Question,
    ask_questions,
    question_report,
    retention,
)
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Query, Reply
from knowing_model import KnowingModel, picture_of


class Taker(KnowingModel):
    """Always takes the option that a function picks from the lines of the question."""

    def __init__(self, take: Callable[[list[str]], int]) -> None:
        super().__init__({})
        self.take = take

    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        for query in queries:
            query.picture()
            (choice,) = query.score
            lines = choice.question.splitlines()[1 : 1 + len(choice.answers)]
            row = np.full(len(choice.answers), -5.0)
            row[self.take(lines)] = -0.1
            yield Reply((), (tuple(row),))


def classes(count: int) -> tuple[list[Question], dict[str, np.ndarray], dict[int, int]]:
    """Questions for the class, the pictures, and the classes of these by number."""
    rng = np.random.default_rng(0)
    questions, pictures, labels = [], {}, {}
    for i in range(count):
        options = rng.permutation(10)[:4]
        answer = int(rng.integers(4))
        names = tuple(GALAXY10.labels[int(o)] for o in options)
        questions.append(Question(str(i), "Which?", names, answer, category="abc"[i % 3]))
        pictures[str(i)] = picture_of(i)
        labels[i] = int(options[answer])
    return questions, pictures, labels


def test_a_model_that_sees_is_right_in_every_order() -> None:
    questions, pictures, labels = classes(40)
    model = KnowingModel({}, labels)
    chosen = ask_questions(model, questions, Journal(None, {}), pictures=pictures)
    found = question_report(questions, chosen, resamples=200)
    rows = {name: row.get("accuracy") for name, row in found["rows"].items()}
    assert rows["model"].value == rows["any order"].value == 1.0
    assert found["consistency"].value == 1.0
    assert rows["margin"].low > 0.2
    assert rows["shuffled"].value < 0.6
    assert rows["blank"].value < 0.6
    assert found["letters"] == dict.fromkeys("ABCD", 40)
    assert found["categories"]["a"] == {"n": 14, "accuracy": 1.0}


def test_a_model_that_loves_a_letter_is_found_out() -> None:
    questions, pictures, _ = classes(60)
    chosen = ask_questions(Taker(lambda _: 0), questions, Journal(None, {}), pictures=pictures)
    found = question_report(questions, chosen, resamples=100)
    rows = {name: row["accuracy"].value for name, row in found["rows"].items()}
    assert found["letters"] == {"A": 240}
    assert found["consistency"].value == 0.0
    assert rows["any order"] == 0.0
    assert rows["model"] == rows["blank"] == rows["shuffled"] <= rows["letter"]


def test_taking_the_longest_option_is_a_row_of_its_own() -> None:
    """In many benchmarks the right option is the longest, and a blind model learns that."""
    rng = np.random.default_rng(0)
    questions = []
    for i in range(30):
        options = ["short", "tiny", "brief"]
        options.insert(place := int(rng.integers(4)), "by far the longest of them all")
        questions.append(Question(str(i), "?", tuple(options), place))
    longest = Taker(lambda lines: int(np.argmax([len(line) for line in lines])))
    chosen = ask_questions(longest, questions, Journal(None, {}))
    rows = question_report(questions, chosen, resamples=50)["rows"]
    assert rows["model"]["accuracy"].value == rows["longest"]["accuracy"].value == 1.0
    assert rows["margin"]["accuracy"].value == 0.0
    assert rows["margin"]["over"] == "longest"
    assert "blank" not in rows


def test_questions_of_different_lengths_and_without_answers() -> None:
    questions = [
        Question("a", "?", ("x", "y"), 1),
        Question("b", "?", ("x", "y", "z"), None),
        Question("c", "?", ("x", "y", "z"), 0),
    ]
    chosen = ask_questions(Taker(lambda lines: len(lines) - 1), questions, Journal(None, {}))
    assert chosen.orders.tolist() == [[1, 0, -1], [2, 0, 1], [2, 0, 1]]
    found = question_report(questions, chosen, resamples=20)
    assert found["n"] == 2
    assert found["rows"]["model"]["accuracy"].value == 0.5
    with pytest.raises(InvalidRequest, match="its answer"):
        question_report(questions[1:2], chosen)
    with pytest.raises(InvalidRequest, match="its answer"):
        retention(questions[1:2], chosen, chosen)


def test_retention_by_hand() -> None:
    questions = [Question(str(i), "?", ("x", "y"), 0) for i in range(10)]
    nothing = np.empty(0, int)
    before = Chosen(np.array([[0]] * 8 + [[1]] * 2), nothing, nothing)
    after = Chosen(np.array([[0]] * 3 + [[1]] * 5 + [[0]] + [[1]]), nothing, nothing)
    found = retention(questions, before, after, resamples=200)
    assert (found["n"], found["lost"], found["gained"]) == (10, 5, 1)
    assert found["before"].value == 0.8
    assert found["after"].value == pytest.approx(0.4)
    assert found["change"].value == pytest.approx(-0.4)
    assert found["kept"].value == 3 / 8
    # Two-sided binomial of 1 in 6: 2 * (1 + 6) / 64.
    assert found["p"] == pytest.approx(14 / 64)
    assert retention(questions, before, before, resamples=20)["p"] == 1.0


def test_the_test_of_retention_is_mcnemars() -> None:
    stats = pytest.importorskip("scipy.stats")
    nothing = np.empty(0, int)
    rng = np.random.default_rng(0)
    for count in (5, 60, 3000):
        questions = [Question(str(i), "?", ("x", "y"), 0) for i in range(count)]
        first, second = (rng.random((count, 1)) < share for share in (0.5, 0.55))
        found = retention(
            questions,
            Chosen(first.astype(int), nothing, nothing),
            Chosen(second.astype(int), nothing, nothing),
            resamples=2,
        )
        n = found["lost"] + found["gained"]
        assert found["p"] == pytest.approx(stats.binomtest(found["lost"], n).pvalue)
