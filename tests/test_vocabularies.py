"""Label sets and the Galaxy Zoo tree: order, wording and columns others depend on."""

from __future__ import annotations

import csv
import doctest
import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava import prompts, vocabularies
from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10, GALAXY_ZOO2, Vocabulary, from_labels, get


def test_galaxy10_keeps_the_order_of_the_data_set() -> None:
    # The integer classes of Galaxy10 DECaLS index this tuple.
    assert GALAXY10.labels == (
        "Disturbed Galaxies",
        "Merging Galaxies",
        "Round Smooth Galaxies",
        "In-between Round Smooth Galaxies",
        "Cigar Shaped Smooth Galaxies",
        "Barred Spiral Galaxies",
        "Unbarred Tight Spiral Galaxies",
        "Unbarred Loose Spiral Galaxies",
        "Edge-on Galaxies without Bulge",
        "Edge-on Galaxies with Bulge",
    )
    assert len(GALAXY10) == 10


def test_galaxy10_answers_are_the_sentences_the_model_is_trained_on() -> None:
    assert list(GALAXY10.answers.values()) == [
        "A disturbed galaxy.",
        "A merging pair of galaxies.",
        "A round smooth galaxy.",
        "An in-between smooth galaxy.",
        "A cigar-shaped smooth galaxy.",
        "A barred spiral galaxy.",
        "An unbarred tight spiral galaxy.",
        "An unbarred loose spiral galaxy.",
        "An edge-on galaxy without a bulge.",
        "An edge-on galaxy with a bulge.",
    ]
    assert set(GALAXY10.descriptions) == set(GALAXY10.labels)


def test_the_question_of_galaxy10_is_the_classify_prompt() -> None:
    # The rooms may not import each other, so the text stands in both.
    assert GALAXY10.question == prompts.CLASSIFY.text


def test_get_takes_a_name_a_vocabulary_labels_or_answers() -> None:
    assert get("galaxy10") is GALAXY10
    assert get(GALAXY10) is GALAXY10
    assert get(["star", "galaxy"]).answers == {"star": "Star.", "galaxy": "Galaxy."}
    assert get({"bar": "Yes.", "no bar": "No."}).answers == {"bar": "Yes.", "no bar": "No."}


@pytest.mark.parametrize("name", ["Galaxy10", "galaxy-10", "galaxy 10"])
def test_a_near_name_is_answered_with_the_right_one(name: str) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'galaxy10'"):
        get(name)


def test_an_unknown_name_is_not_taken_for_labels() -> None:
    # A string is a sequence of letters: "star" must not become the labels s, t, a, r.
    with pytest.raises(InvalidRequest, match="no vocabulary named 'star'"):
        get("star")
    with pytest.raises(InvalidRequest, match="the str 'star'"):
        from_labels("star")


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([], "has no label"),
        (["star"], "has one label"),
        (["star", "Star "], "alike"),
        (["star", ""], "'' is no label"),
        (["star", " \n"], "no label"),
        (["star", 3], "3 is no label"),
        ({"a": "Yes.", "b": "yes."}, "answers 'Yes.' and 'yes.' are alike"),
        ({"a": "Yes.", "b": ""}, "'' is no answer"),
        (3, "the int 3"),
        (None, "the NoneType"),
        ({"star", "galaxy"}, "the set"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: Any, problem: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        get(labels)
    assert problem in str(raised.value)


def test_answers_and_descriptions_must_go_with_the_labels() -> None:
    with pytest.raises(InvalidRequest, match="one answer for each"):
        Vocabulary("v", ("a", "b"), "Which?", {"a": "A."})
    with pytest.raises(InvalidRequest, match="describes \\['c'\\]"):
        Vocabulary("v", ("a", "b"), "Which?", {"a": "A.", "b": "B."}, {"c": "?"})
    with pytest.raises(InvalidRequest, match="question"):
        from_labels(["a", "b"], question=" ")


def test_a_vocabulary_cannot_be_changed_through_what_it_was_made_of() -> None:
    answers = {"b": "B.", "a": "A."}
    vocabulary = Vocabulary("v", ("a", "b"), "Which?", answers)
    answers["a"] = "changed"
    assert vocabulary.answers == {"a": "A.", "b": "B."}
    assert list(vocabulary.answers) == ["a", "b"], "answers follow the labels' order"
    with pytest.raises(TypeError):
        vocabulary.answers["a"] = "changed"  # type: ignore[index]


def test_vocabularies_and_the_tree_travel_between_processes_and_hash() -> None:
    for thing in (GALAXY10, GALAXY_ZOO2):
        copy = pickle.loads(pickle.dumps(thing))
        assert copy == thing
        assert hash(copy) == hash(thing)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=6))
def test_any_labels_give_a_vocabulary_or_a_named_error(labels: list[str]) -> None:
    try:
        vocabulary = from_labels(labels)
    except InvalidRequest:
        return
    assert vocabulary.labels == tuple(labels)
    assert len(set(vocabulary.answers.values())) == len(labels)


def test_the_columns_are_those_of_the_published_votes(shared_data: Path) -> None:
    with open(shared_data / "galaxies" / "votes.csv", newline="") as file:
        header = next(csv.reader(file))
    assert tuple(header[6:]) == GALAXY_ZOO2.columns


def test_every_path_of_the_tree_ends_and_every_task_is_reached() -> None:
    reached: set[str] = set()

    def walk(task_id: str | None, behind: tuple[str, ...]) -> None:
        if task_id is None:
            return
        assert task_id not in behind, "the tree has a loop"
        reached.add(task_id)
        for answer in GALAXY_ZOO2.tasks[task_id].answers:
            walk(answer.next, (*behind, task_id))

    walk(GALAXY_ZOO2.first, ())
    assert sorted(reached) == [f"t{n:02d}" for n in range(1, 12)]
    ids = [answer.id for task in GALAXY_ZOO2.tasks.values() for answer in task.answers]
    assert len(ids) == len(set(ids)) == 37
    assert "a35" not in ids


def test_a_barred_spiral_goes_through_bar_arms_winding_number_bulge_and_oddity() -> None:
    votes = {
        "t01_smooth_or_features_a02_features_or_disk": 0.9,
        "t02_edgeon_a05_no": 1.0,
        "t03_bar_a06_bar": 0.6,
        "t03_bar_a07_no_bar": 0.4,
        "t04_spiral_a08_spiral": 0.9,
        "t10_arms_winding_a29_medium": 0.5,
        "t11_arms_number_a32_2": 0.8,
        "t05_bulge_prominence_a11_just_noticeable": 0.7,
        "t06_odd_a15_no": 0.9,
    }
    path = GALAXY_ZOO2.path(votes)
    assert [s.task.id for s in path] == ["t01", "t02", "t03", "t04", "t10", "t11", "t05", "t06"]
    assert path[2].answer.text == "bar"
    assert path[2].fraction == 0.6


def test_a_path_stops_where_nobody_answered_and_skips_nan() -> None:
    nan = float("nan")
    votes = {
        "t01_smooth_or_features_a01_smooth": 0.7,
        "t01_smooth_or_features_a02_features_or_disk": nan,
        "t07_rounded_a16_completely_round": nan,
    }
    assert [s.answer.id for s in GALAXY_ZOO2.path(votes)] == ["a01"]
    assert GALAXY_ZOO2.path({}) == ()


@given(st.dictionaries(st.sampled_from(GALAXY_ZOO2.columns), st.floats()))
def test_any_votes_give_a_connected_path(votes: dict[str, float]) -> None:
    path = GALAXY_ZOO2.path(votes)
    for step, following in itertools.pairwise(path):
        assert step.answer.next == following.task.id


def test_the_examples_in_the_docstrings_are_true() -> None:
    for module in (vocabularies.labels, vocabularies.galaxy_zoo):
        assert doctest.testmod(module).failed == 0
