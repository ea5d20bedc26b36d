"""Votes into facts: a column read as another, or a vote left unnormalised, would teach lies."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from astrollava_training.data.facts import GROUPS, LABELS, TARGETS, TREE, Facts, fractions
from astrollava_training.data.galaxies import facts_of_votes, read_votes


@pytest.fixture(scope="module")
def voted(shared_data: Path) -> list[tuple[Path, str, Facts]]:
    return read_votes(shared_data / "galaxies" / "votes.csv")


def test_every_row_is_read_with_its_split_and_its_picture(voted):
    assert len(voted) == 1000
    assert {name: sum(s == name for _, s, _ in voted) for name in ("train", "val", "test")} == {
        "train": 696,
        "val": 100,
        "test": 204,
    }
    assert all(path.is_file() for path, _, _ in voted[::50])


def test_a_split_is_kept_apart(shared_data, voted):
    table = shared_data / "galaxies" / "votes.csv"
    train = {path for path, _, _ in read_votes(table, split="train")}
    test = {path for path, _, _ in read_votes(table, split="test")}
    assert len(train) == 696
    assert not train & test


def test_fractions_add_up_to_one_where_a_question_was_answered(voted):
    for _, _, facts in voted:
        for question, answers in TREE.items():
            found = facts.answers(question)
            if found is not None:
                assert tuple(found) == answers
                assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("label", "question", "answer"),
    [
        ("round_smooth", "rounded", "round"),
        ("in_between_smooth", "rounded", "in_between"),
        ("cigar_smooth", "rounded", "cigar"),
        ("barred_spiral", "bar", "yes"),
        ("unbarred_tight_spiral", "winding", "tight"),
        ("unbarred_loose_spiral", "winding", "loose"),
        ("edge_on_no_bulge", "edge_bulge", "none"),
        ("edge_on_bulge", "edge_on", "yes"),
        ("merging", "odd_feature", "merger"),
    ],
)
def test_a_class_agrees_with_the_votes_behind_it(voted, label, question, answer):
    """Guards against columns in another order than the answers: votes made the class."""
    shares = [
        found[answer]
        for _, _, facts in voted
        if facts.label == label and (found := facts.answers(question)) is not None
    ]
    assert len(shares) > 5
    assert np.mean(shares) > 0.5


def test_undecided_galaxies_have_no_label(voted):
    labels = {facts.label for _, _, facts in voted}
    assert labels <= {None, *LABELS}
    assert sum(facts.label is None for _, _, facts in voted) > 50


def test_a_question_weighs_as_much_as_voters_reached_it(voted):
    for _, _, facts in voted[:200]:
        targets, weights = facts.vector()
        assert targets.shape == weights.shape == (len(TARGETS),)
        assert targets.dtype == weights.dtype == np.float32
        assert np.all((weights >= 0) & (weights <= 1.000001))
        for name, where in GROUPS:
            assert len(set(weights[where].tolist())) == 1, name
            assert targets[where].sum() == pytest.approx(1, abs=1e-5) or weights[where][0] == 0
        assert facts.reach("winding") <= facts.reach("bar") <= facts.reach("smooth")


def test_nobody_reaches_a_bar_in_a_smooth_galaxy():
    facts = Facts(
        smooth=fractions("smooth", {"smooth": 1.0}),
        edge_on=fractions("edge_on", {"no": 1.0}),
        bar=fractions("bar", {"yes": 1.0}),
    )
    assert facts.reach("bar") == 0
    assert facts.reach("edge_bulge") == 0


def test_no_votes_are_no_answer_rather_than_zeros():
    assert fractions("bar", {"yes": 0.0, "no": 0.0}) is None


def test_an_answer_of_another_question_is_refused():
    with pytest.raises(KeyError, match="bar"):
        fractions("bar", {"round": 1.0})
    with pytest.raises(KeyError, match="colour"):
        Facts().answers("colour")
    with pytest.raises(KeyError, match="colour"):
        Facts.of_galaxy({"colour": None})


def test_a_table_without_the_votes_says_which_column_is_missing():
    with pytest.raises(ValueError, match="t01_smooth_or_features_a01_smooth"):
        facts_of_votes({"class": "merging"})


def test_a_bad_cell_is_named_by_its_line(tmp_path, shared_data):
    with (shared_data / "galaxies" / "votes.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))[:3]
    rows[2][6] = "many"
    table = tmp_path / "votes.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with pytest.raises(ValueError, match="line 3"):
        read_votes(table)


def test_an_unknown_class_is_refused(shared_data):
    with (shared_data / "galaxies" / "votes.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    with pytest.raises(ValueError, match="teapot"):
        facts_of_votes({**row, "class": "teapot"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "no table in CSV and UTF-8"),
        (b"image,split\n\x00", "no table in CSV and UTF-8|no column"),
        (b"image,class\na.jpg,x\n", "has no column"),
        (b"\xef\xbb\xbfimage,split\na.jpg,train\n", "no column 't01"),
    ],
)
def test_a_file_that_is_no_table_of_votes_is_named(tmp_path, content, said):
    """ "'utf-8' codec can't decode byte 0xff": of which file, nobody was told."""
    table = tmp_path / "votes.csv"
    table.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_votes(table)
    assert str(table) in str(caught.value)
