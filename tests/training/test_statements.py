"""The parser of statements: every score of free text stands on it."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava_training.data import language
from astrollava_training.data.facts import Facts
from astrollava_training.data.galaxies import read_votes
from astrollava_training.evaluate import statements
from astrollava_training.evaluate.statements import CONTRADICTION, TOPICS, read, read_answer
from astrollava_training.evaluate.truth import agrees, answers, truth

READ = {
    "This is a barred spiral galaxy.": {"bar": "yes", "spiral": "yes", "smooth": "features"},
    "An unbarred tight spiral galaxy.": {
        "bar": "no",
        "spiral": "yes",
        "winding": "tight",
        "smooth": "features",
    },
    "It has no bar or spiral arms.": {"bar": "no", "spiral": "no"},
    "No bar is seen, but it has two loosely wound arms.": {
        "bar": "no",
        "spiral": "yes",
        "arms": "2",
        "winding": "loose",
    },
    "A galaxy without a bar and with three arms.": {"bar": "no", "spiral": "yes", "arms": "3"},
    "The bar is not visible.": {"bar": "no"},
    "Spiral arms are absent.": {"spiral": "no"},
    "It isn't edge-on.": {"edge_on": "no"},
    "The disk is seen face-on.": {"smooth": "features", "edge_on": "no"},
    "It is seen edge-on, so a bar cannot be told.": {"edge_on": "yes"},
    "It is hard to tell whether there is a ring.": {},
    "A two-armed spiral.": {"spiral": "yes", "arms": "2"},
    "More than four spiral arms surround a bulgeless disk.": {
        "smooth": "features",
        "spiral": "yes",
        "arms": "more",
        "bulge": "none",
    },
    "A smooth, almost circular galaxy.": {"smooth": "smooth", "rounded": "round"},
    "It is a disk galaxy rather than a smooth one.": {"smooth": "features"},
    "A cigar-shaped smooth galaxy.": {"smooth": "smooth", "rounded": "cigar"},
    "A small bulge lies at its centre. The bulge looks boxy.": {"bulge": "noticeable"},
    "No central bulge is visible.": {"bulge": "none"},
    "There is a bar. There is no bar.": {"bar": CONTRADICTION},
    "It does not look like a merger.": {"merging": "no"},
    "Its shape is irregular and a dust lane crosses it.": {
        "disturbed": "yes",
        "dust_lane": "yes",
    },
    "": {},
    "A barbecue, a springy armchair and a ringing bell.": {},
}


@pytest.mark.parametrize("text", READ)
def test_a_text_is_read_as_a_person_reads_it(text: str) -> None:
    assert read(text) == READ[text]


@pytest.mark.parametrize(
    ("text", "topic", "value"),
    [
        ("Yes.", "bar", "yes"),
        ("No, there is none.", "ring", "no"),
        ("Probably not.", "edge_on", "no"),
        ("Yes, it is. No, it is not.", "bar", "yes"),
        ("No, its shape is regular.", "disturbed", "no"),
        ("It has two spiral arms.", "arms", "2"),
        ("No, it has no arms.", "arms", None),
        ("It is hard to tell.", "bar", None),
        ("That cannot be told from the picture alone.", "bar", None),
        ("There is a bar. There is no bar.", "bar", None),
        ("Yesterday.", "bar", None),
        ("Yes.", "bulge", None),
    ],
)
def test_an_answer_counts_only_where_it_gives_one(text: str, topic: str, value: str | None) -> None:
    assert read_answer(text, topic) == value


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert set(read(text)) <= set(TOPICS)
    for topic in TOPICS:
        read_answer(text, topic)


def test_what_training_teaches_is_read_as_true(shared_data: Path) -> None:
    """If the parser misread the taught language, a perfect model would score badly."""
    rng = np.random.default_rng(0)
    stated = wrong = 0
    for _, _, facts in read_votes(shared_data / "galaxies" / "votes.csv", split="train"):
        known = truth(facts)
        said = read(language.description(facts, rng))
        assert CONTRADICTION not in said.values()
        for topic in said.keys() & known.keys():
            stated += 1
            wrong += not agrees(topic, said[topic], known[topic])
    assert stated > 2000
    assert wrong == 0


def test_truth_follows_the_tree() -> None:
    """Votes on a bar by a few who saw a disk must not decide about a galaxy most call smooth."""
    smooth = Facts(
        smooth={"smooth": 0.9, "features": 0.1, "artifact": 0.0},
        edge_on={"yes": 0.0, "no": 1.0},
        bar={"yes": 1.0, "no": 0.0},
        spiral={"yes": 1.0, "no": 0.0},
        odd={"yes": 0.1, "no": 0.9},
        rounded={"round": 0.7, "in_between": 0.3, "cigar": 0.0},
    )
    assert truth(smooth) == {
        "merging": "no",
        "disturbed": "no",
        "ring": "no",
        "dust_lane": "no",
        "edge_on": "no",
        "smooth": "smooth",
        "bar": "no",
        "spiral": "no",
        "rounded": "round",
    }
    assert truth(Facts(kind="star")) == {}


@pytest.mark.parametrize(
    ("said", "true", "fits"),
    [
        ("present", "obvious", True),
        ("noticeable", "present", True),
        ("none", "present", False),
        ("present", "none", False),
        ("noticeable", "obvious", False),
        (None, "present", False),
        (CONTRADICTION, "present", False),
    ],
)
def test_a_bulge_without_a_size_fits_any_that_is_there(
    said: str | None, true: str, fits: bool
) -> None:
    assert agrees("bulge", said, true) is fits


def test_that_there_is_a_bulge_does_not_answer_how_prominent_it_is() -> None:
    """ "It has a bulge." once won the question for a constant, by 22 points."""
    assert agrees("bulge", "present", "obvious")
    assert not answers("bulge", "present", "obvious")
    assert answers("bulge", "obvious", "obvious")
    assert answers("bulge", "present", "present")
    assert answers("bulge", "noticeable", "present")
    assert answers("bar", "no", "no")


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(statements).failed == 0
