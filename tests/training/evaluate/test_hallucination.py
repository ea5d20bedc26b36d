"""POPE from votes: its questions are what they claim, and no blind answer wins."""

from __future__ import annotations

import doctest
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava_training.evaluate import features as features_module
from astrollava_training.evaluate.features import FEATURES, features, yes_or_no
from astrollava_training.evaluate.hallucination import (
    STRATEGIES,
    blank_table,
    description_table,
    probe_tables,
    probes,
)

YES_NO = [name for name in FEATURES if name != "bulge"]
TRUTHS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: st.sampled_from(["yes", "no"]) for name in YES_NO},
            "bulge": st.sampled_from(["none", "obvious", "present"]),
            "arms": st.sampled_from(["2", "more"]),
        },
    ),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize(
    ("text", "feature", "said"),
    [
        ("Yes, there is a bar.", "bar", True),
        ("No, it is seen face-on.", "edge_on", False),
        ("Perhaps not: none is clearly visible.", "ring", False),
        ("Probably, yes.", "ring", True),
        ("Probably yes.", "ring", True),
        ("Not that I can see.", "ring", False),
        ("Not sure.", "ring", None),
        ("It is hard to tell.", "bar", None),
        ("There is no bar.", "bar", False),
        ("It has an obvious bulge.", "bulge", True),
        ("It is bulgeless.", "bulge", False),
        ("There is a bar. There is no bar.", "bar", None),
        ("Notable arms.", "spiral", True),
        ("Nothing.", "bar", None),
        ("", "bar", None),
    ],
)
def test_an_answer_is_read_as_a_person_reads_it(text: str, feature: str, said: bool | None) -> None:
    assert yes_or_no(text, feature) is said


@given(st.text(), st.sampled_from(sorted(FEATURES)))
def test_no_answer_breaks_the_reader(text: str, feature: str) -> None:
    yes_or_no(text, feature)


@given(TRUTHS, st.sampled_from(STRATEGIES), st.integers(0, 3))
def test_half_of_the_questions_are_about_what_is_not_there(
    truths: list[dict[str, str]], strategy: str, seed: int
) -> None:
    """An unequal share would reward a model that always says the same."""
    chosen = probes(truths, strategy, seed=seed)
    assert sum(probe.there for probe in chosen) * 2 == len(chosen)
    assert len(set(chosen)) == len(chosen)
    for probe in chosen:
        assert features(truths[probe.picture])[probe.feature] is probe.there
    if strategy == "balanced":
        counts = Counter((probe.feature, probe.there) for probe in chosen)
        assert all(counts[name, True] == counts[name, False] for name in FEATURES)
    else:
        assert max(Counter((p.picture, p.there) for p in chosen).values(), default=0) <= 3
    assert chosen == probes(truths, strategy, seed=seed)


def test_popular_asks_for_what_is_common_and_adversarial_for_what_goes_together() -> None:
    """Without these a model that goes by habit would look as if it saw."""
    # Of what the last picture lacks, bars, mergers and disks from the side are common, but what
    # comes with spirals are rings, dust lanes and disturbances.
    truths = [
        *({"bar": "yes", "merging": "yes", "edge_on": "yes"} for _ in range(9)),
        *({"spiral": "yes", "ring": "yes", "dust_lane": "yes", "disturbed": "yes"},) * 4,
        {"spiral": "yes"}
        | dict.fromkeys(("bar", "merging", "edge_on", "ring", "dust_lane", "disturbed"), "no"),
    ]
    asked = {
        strategy: {
            probe.feature
            for seed in range(20)
            for probe in probes(truths, strategy, seed=seed)
            if not probe.there
        }
        for strategy in STRATEGIES
    }
    assert asked["popular"] == {"bar", "merging", "edge_on"}
    assert asked["adversarial"] == {"ring", "dust_lane", "disturbed"}
    assert asked["random"] == asked["popular"] | asked["adversarial"]


def test_who_knows_what_is_rare_gains_nothing_where_features_are_balanced() -> None:
    truths = [{"bar": "yes", "ring": "no", "spiral": "yes"} for _ in range(20)]
    truths += [{"bar": "no", "ring": "yes", "spiral": "yes"} for _ in range(4)]
    habits = told(truths, "No.") | {"bar": ["Yes."] * len(truths)}
    blank = dict.fromkeys(FEATURES, "")
    found = probe_tables(truths, habits, blank, resamples=20)
    assert found["random"]["rows"]["model"]["accuracy"].value > 0.6
    assert found["balanced"]["rows"]["model"]["accuracy"].value == 0.5
    assert found["balanced"]["rows"]["constant"]["accuracy"].value == 0.5
    assert found["balanced"]["n"] == 16


def some_truths(count: int = 60) -> list[dict[str, str]]:
    rng = np.random.default_rng(1)
    return [
        {name: "yes" if rng.random() < 0.4 else "no" for name in FEATURES if name != "bulge"}
        for _ in range(count)
    ]


def told(truths: list[dict[str, str]], answer: str | None = None) -> dict[str, list[str]]:
    return {
        name: [answer or ("Yes." if t.get(name) == "yes" else "No.") for t in truths]
        for name in FEATURES
    }


def test_a_model_that_sees_wins_and_one_that_always_agrees_does_not() -> None:
    truths = some_truths()
    blank = dict.fromkeys(FEATURES, "It is hard to tell.")
    seeing = probe_tables(truths, told(truths), blank, resamples=200)
    nodding = probe_tables(truths, told(truths, "Yes, it has."), blank, resamples=200)
    for strategy in STRATEGIES:
        rows = seeing[strategy]["rows"]
        assert rows["model"]["accuracy"].value == 1.0
        assert rows["model"]["false_yes"].value == 0.0
        assert rows["margin"]["accuracy"].low > 0.2
        assert rows["blank"]["unanswered"].value == 1.0
        assert rows["blank"]["accuracy"].value == 0.0
        rows = nodding[strategy]["rows"]
        assert rows["model"]["accuracy"] == rows["always yes"]["accuracy"]
        assert rows["model"]["false_yes"].value == rows["model"]["yes"].value == 1.0
        assert rows["margin"]["accuracy"].value <= 0.0


def test_scores_by_hand() -> None:
    truths = [{"bar": "yes", "ring": "no"}, {"bar": "no", "ring": "yes"}]
    texts = {name: ["", ""] for name in FEATURES} | {
        "bar": ["Yes.", "Yes."],
        "ring": ["No.", "It is hard to tell."],
    }
    found = probe_tables(truths, texts, dict.fromkeys(FEATURES, ""), resamples=20)["random"]
    row = found["rows"]["model"]
    assert found["n"] == 4
    assert found["asked"]["bar"] == found["asked"]["ring"] == 1
    score = {name: interval.value for name, interval in row.items()}
    assert score == pytest.approx(
        {
            "accuracy": 0.5,  # bar of the first, ring of the first
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "yes": 0.5,
            "false_yes": 0.5,
            "unanswered": 0.25,
        }
    )


def test_pictures_without_any_decided_feature_ask_nothing() -> None:
    found = probe_tables([{}, {}], told([{}, {}]), dict.fromkeys(FEATURES, ""), resamples=10)
    assert found["popular"]["n"] == 0


def test_claims_of_descriptions_by_hand() -> None:
    truths = [{"bar": "yes", "ring": "no"}, {"bar": "no"}]
    said = ["A bar. A ring. It lies 30 Mpc away, at z = 0.05.", "There is a bar and a dust lane."]
    found = description_table(truths, said, "Nothing is seen.", resamples=50)
    row = {name: interval.value for name, interval in found["model"].items()}
    assert row["stated"] == 2.0
    assert row["unsupported"] == pytest.approx(2 / 3)
    assert row["undecided"] == pytest.approx(1 / 4)
    assert row["claims"] == 1.0
    assert row["claiming"] == 0.5
    assert found["blank"]["stated"].value == 0.0
    # The other's text: the ring is decided by nobody there, the bar right then wrong.
    assert found["shuffled"]["claims"].value == 1.0


def test_what_is_seen_in_nothing_is_counted() -> None:
    found = blank_table(
        {"black": "A barred spiral galaxy at z = 0.1.", "white": "No galaxy; no bar."},
        {"black": {"bar": "Yes.", "ring": "No."}, "white": {"bar": "It is hard to tell."}},
    )
    assert (found["black"]["features"], found["black"]["claims"], found["black"]["yes"]) == (
        3,
        1,
        1,
    )
    assert (found["white"]["features"], found["white"]["claims"], found["white"]["yes"]) == (
        0,
        0,
        0,
    )


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(features_module).failed == 0
