"""The bootstrap by sums: the same figures as scoring each resample anew, and those of theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava_training.evaluate import metrics
from astrollava_training.evaluate.calibrate import softmax
from astrollava_training.evaluate.label_table import label_table, scores_of
from astrollava_training.evaluate.metrics import Interval, interval_of
from astrollava_training.evaluate.resampling import (
    Resampling,
    detectable,
    interval,
    intervals,
    lead,
    needed,
)


def drawn(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, count), rng.dirichlet(np.ones(classes), count)


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_all_pictures_are_those_of_metrics(seed: int) -> None:
    """Two ways to a score, one by sums: where they part, one of them is wrong."""
    labels, given = drawn(150, 7, seed)
    predicted = given.argmax(axis=1)
    found = scores_of(labels, predicted, given, 7, Resampling(150, resamples=2))
    assert {name: draws[0] for name, draws in found.items() if name != "aurc"} == pytest.approx(
        {
            "accuracy": metrics.accuracy(labels, predicted),
            "balanced_accuracy": metrics.balanced_accuracy(labels, predicted, 7),
            "macro_f1": metrics.macro_f1(labels, predicted, 7),
            "top_2": metrics.top_k_accuracy(labels, given, 2),
            "ece": metrics.expected_calibration_error(labels, given),
            "brier": metrics.brier(labels, given),
            "nll": metrics.negative_log_likelihood(labels, given),
        }
    )


def test_scores_of_a_resample_are_those_of_its_pictures() -> None:
    labels, given = drawn(60, 4, 5)
    again = Resampling(60, resamples=5, seed=3)
    found = scores_of(labels, given.argmax(axis=1), given, 4, again)
    for row in range(1, 6):
        at = np.repeat(np.arange(60), again._weights[row].astype(int))
        assert len(at) == 60
        assert found["macro_f1"][row] == pytest.approx(
            metrics.macro_f1(labels[at], given[at].argmax(axis=1), 4)
        )
        assert found["ece"][row] == pytest.approx(
            metrics.expected_calibration_error(labels[at], given[at])
        )
        risk = again.risk_area(given.max(axis=1), given.argmax(axis=1) != labels)
        assert risk[row] == pytest.approx(area(labels[at], given[at]))


def area(labels: np.ndarray, given: np.ndarray) -> float:
    """Risk over coverage by its definition, picture by picture."""
    confidence = given.max(axis=1)
    wrong = given.argmax(axis=1) != labels
    return float(np.mean([wrong[confidence >= c].mean() for c in confidence]))


@given(st.integers(1, 30), st.integers(0, 1000))
def test_risk_over_coverage_takes_ties_together(count: int, seed: int) -> None:
    """In an order among equals, a blind answer could look as if it knew when to be silent."""
    rng = np.random.default_rng(seed)
    confidence, wrong = rng.integers(1, 4, count) / 4, rng.random(count) < 0.5
    found = Resampling(count, resamples=1).risk_area(confidence, wrong)[0]
    assert found == pytest.approx(
        float(np.mean([wrong[confidence >= c].mean() for c in confidence]))
    )


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    right = np.repeat([1.0, 0.0], [120, 80])
    found = interval_of(Resampling(200, resamples=4000).mean(right))
    error = math.sqrt(0.6 * 0.4 / 200)
    assert found.value == pytest.approx(0.6)
    assert found.error == pytest.approx(error, rel=0.05)
    assert found.low == pytest.approx(0.6 - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(0.6 + 1.96 * error, abs=0.01)


def test_pictures_of_one_object_are_no_independent_evidence() -> None:
    """Each picture shown four times must not halve the error."""
    rng = np.random.default_rng(0)
    right = rng.random(100) < 0.6
    alone = interval_of(Resampling(100, resamples=2000).mean(right))
    groups = [str(i) for i in range(100) for _ in range(4)]
    four = np.repeat(right, 4)
    together = interval_of(Resampling(400, groups=groups, resamples=2000).mean(four))
    fooled = interval_of(Resampling(400, resamples=2000).mean(four))
    assert together.error == pytest.approx(alone.error, rel=0.1)
    assert fooled.error == pytest.approx(alone.error / 2, rel=0.1)


def test_a_paired_difference_has_a_smaller_error() -> None:
    rng = np.random.default_rng(1)
    easy = rng.random(500) < 0.6
    better = easy | (rng.random(500) < 0.05)
    again = Resampling(500, resamples=1000)
    rows = {"model": {"s": again.mean(better)}, "constant": {"s": again.mean(easy)}}
    found = lead(rows, ("s",), count=500)
    assert found["over"] == "constant"
    assert found["s"].low > 0
    unpaired = math.hypot(*(interval_of(row["s"]).error for row in rows.values()))
    assert found["s"].error < unpaired / 3


def test_the_number_needed_is_that_of_the_textbook() -> None:
    """A difference of 0.1 with a deviation of 1 per picture: (1.96 + 0.84)² · 100 = 785."""
    measured = Interval(0.1, 0.0, 0.2, error=1 / math.sqrt(400))
    assert needed(measured, 400) == 785
    assert detectable(measured) == pytest.approx(2.8016 / 20, rel=1e-3)
    assert needed(Interval(0.0, 0.0, 0.0, 0.1), 400) is None
    assert needed(Interval(0.1, 0.1, 0.1, 0.0), 400) is None
    assert needed(Interval(math.nan, math.nan, math.nan, math.nan), 400) is None


def test_the_number_needed_gives_the_power_it_promises() -> None:
    """Simulated: with so many pictures, four of five trials see the difference."""
    rng = np.random.default_rng(2)
    gains = rng.choice([-1.0, 0.0, 1.0], 100_000, p=[0.05, 0.8, 0.15])
    whole = interval_of(Resampling(2000, resamples=500).mean(gains[:2000]))
    count = needed(Interval(0.1, 0, 0, whole.error), 2000)
    assert count is not None
    trials = rng.choice(gains, (2000, count))
    z = trials.mean(axis=1) / (trials.std(axis=1, ddof=1) / math.sqrt(count))
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.05)


@given(st.integers(1, 25), st.integers(1, 5), st.integers(0, 10_000), st.booleans())
def test_every_interval_has_its_score_in_it_and_a_width(
    count: int, classes: int, seed: int, perfect: bool
) -> None:
    """A calibration error of 0.073 had the interval 0.081 to 0.269, none of 12 that of 0 to 0."""
    labels, given = drawn(count, classes, seed)
    if perfect:
        given = np.eye(classes)[labels]
    other = drawn(count, classes, seed + 1)[1]
    again = Resampling(count, resamples=25, seed=seed)
    first, second = (scores_of(labels, g.argmax(axis=1), g, classes, again) for g in (given, other))
    ends = {"brier": 2.0, "nll": math.inf}
    for name, found in intervals(first, again.objects()).items():
        if name == "nll" and math.isnan(found.low):
            assert found.error == 0.0  # without an end, what never differs has no interval
            continue
        assert -1e-9 <= found.low <= found.value <= found.high <= ends.get(name, 1.0) + 1e-9
        assert found.low < found.high, name
    for name in first:
        gap = interval(name, second[name] - first[name], again.objects(), difference=True)
        if not math.isnan(gap.low):
            assert gap.low <= gap.value <= gap.high
            assert gap.low < gap.high, name


@given(st.integers(1, 300), st.booleans())
def test_none_and_all_of_so_many_have_the_interval_of_wilson(count: int, right: bool) -> None:
    again = Resampling(count, resamples=5)
    found = interval("accuracy", again.mean(np.full(count, float(right))), again.objects())
    assert (found.low, found.high) == pytest.approx(metrics.wilson(float(right), count))


def test_what_cannot_be_other_has_no_interval() -> None:
    """Equal probabilities for ten classes had the Brier score 0.900 [0.726, 1.113]: it is 0.9."""
    labels = np.arange(30) % 10
    even, other = np.full(10, 0.1), np.array([0.55, *[0.05] * 9])
    own = np.tile(even, (30, 1))
    rows = label_table(labels, own, even, other, Resampling(30, resamples=50), seed=0)
    found = rows["blank"]["brier"]
    assert found.value == pytest.approx(0.9)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    # Of others the score depends on what is there, between right and wrong everywhere.
    assert rows["prior"]["brier"].low < rows["prior"]["brier"].value < rows["prior"]["brier"].high
    alike = label_table(np.zeros(30, int), own, even, other, Resampling(30, resamples=50), seed=0)
    found = alike["prior"]["brier"]
    assert found.low == pytest.approx(found.value)
    assert found.value < found.high < 0.95**2 + 0.55**2 + 8 * 0.05**2


def test_pairs_that_never_differ_have_the_interval_of_tango() -> None:
    """Tango 1998 of no unequal pairs among 50: plus and minus z² / (n + z²) = 0.0713."""
    again = Resampling(50, resamples=5)
    found = interval("accuracy", again.mean(np.zeros(50)), again.objects(), difference=True)
    assert (found.low, found.high) == pytest.approx((-0.07135, 0.07135), abs=1e-5)


def test_what_many_pictures_of_one_object_agree_on_is_of_one_object() -> None:
    again = Resampling(40, groups=["one"] * 20 + ["other"] * 20, resamples=5)
    assert (again.objects(), again.objects(np.arange(40) < 20)) == (2, 1)
    found = interval("accuracy", again.mean(np.ones(40)), again.objects())
    assert found.low == pytest.approx(metrics.wilson(1.0, 2)[0])


@pytest.mark.parametrize("true", [1.0, 1.5, 3.0])
def test_the_interval_of_a_calibration_error_covers_the_truth(true: float) -> None:
    """The percentiles alone never covered the error of a model whose confidence is honest."""
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 2, (60_000, 5))
    given, chances = softmax(scores, 1.0), softmax(scores, true)
    labels = (chances.cumsum(axis=1) > rng.random((60_000, 1))).argmax(axis=1)
    truth = metrics.expected_calibration_error(labels, given)
    # What is left of the scatter in 60,000 is no error of the model's.
    covered = 0
    for trial in range(100):
        at = rng.integers(60_000, size=100)
        again = Resampling(100, resamples=150, seed=trial)
        ece = scores_of(labels[at], given[at].argmax(axis=1), given[at], 5, again)["ece"]
        found = interval("ece", ece, again.objects())
        covered += found.low - 0.005 <= truth <= found.high
    assert covered >= 89


def test_reliability_by_hand() -> None:
    labels = np.array([0, 1, 1])
    given = np.array([[0.75, 0.25], [0.75, 0.25], [0.05, 0.95]])
    first, second = metrics.reliability(labels, given)
    assert (first["count"], first["confidence"], first["accuracy"]) == (2, 0.75, 0.5)
    assert (second["count"], second["accuracy"]) == (1, 1.0)
    # Wilson's interval of 1 of 2: (0.0945, 0.9055).
    assert (first["low"], first["high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)


def test_reliability_agrees_with_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    labels, given = drawn(400, 3, 9)
    right = given.argmax(axis=1) == labels
    share, confidence = calibration.calibration_curve(right, given.max(axis=1), n_bins=10)
    found = metrics.reliability(labels, given)
    assert [b["accuracy"] for b in found] == pytest.approx(list(share))
    assert [b["confidence"] for b in found] == pytest.approx(list(confidence))


def test_risk_over_coverage_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    found = metrics.risk_coverage(labels, given)
    assert [(p["coverage"], p["risk"]) for p in found] == [
        (0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)
    ]  # fmt: skip


def test_brier_and_log_loss_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    labels, given = drawn(300, 5, 4)
    onehot = np.eye(5)[labels]
    mean = np.mean([sklearn.brier_score_loss(onehot[:, i], given[:, i]) for i in range(5)])
    assert metrics.brier(labels, given) == pytest.approx(5 * mean)
    assert metrics.confusion(labels, given.argmax(axis=1), 5)[:, :5].tolist() == (
        sklearn.confusion_matrix(labels, given.argmax(axis=1)).tolist()
    )
