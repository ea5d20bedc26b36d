"""Metrics against cases worked by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astrollava_training.evaluate import metrics
from astrollava_training.evaluate.baselines import derangement
from astrollava_training.evaluate.calibrate import fit_temperature, fit_threshold, softmax
from astrollava_training.evaluate.label_table import scores_of
from astrollava_training.evaluate.resampling import Resampling

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, -1, 0])


def test_scores_by_hand() -> None:
    assert metrics.accuracy(LABELS, PREDICTED) == 3 / 6
    # Recalls 2/3, 1/2, 0; class 3 does not occur and must not count.
    assert metrics.balanced_accuracy(LABELS, PREDICTED, 4) == pytest.approx((2 / 3 + 1 / 2) / 3)
    # F1: 2*2/(3+3), 2*1/(2+2), 0.
    assert metrics.macro_f1(LABELS, PREDICTED, 4) == pytest.approx((4 / 6 + 2 / 4) / 3)
    assert metrics.confusion(LABELS, PREDICTED, 3).tolist() == [
        [2, 1, 0, 0],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
    ]


def test_probability_scores_by_hand() -> None:
    labels = np.array([0, 1])
    given = np.array([[0.8, 0.2, 0.0], [0.6, 0.3, 0.1]])
    assert metrics.top_k_accuracy(labels, given, 1) == 0.5
    assert metrics.top_k_accuracy(labels, given, 2) == 1.0
    assert metrics.brier(labels, given) == pytest.approx((0.04 + 0.04 + 0.36 + 0.49 + 0.01) / 2)
    # Bin (0.7, 0.8]: right at 0.8; bin (0.5, 0.6]: wrong at 0.6.
    assert metrics.expected_calibration_error(labels, given) == pytest.approx((0.2 + 0.6) / 2)
    assert metrics.negative_log_likelihood(labels, given) == pytest.approx(
        -(math.log(0.8) + math.log(0.3)) / 2
    )


def test_equals_come_in_the_order_of_the_classes_in_every_score() -> None:
    """Ties counted for a label and against top-2: the prior read 0.100 accurate, and 0.000.

    Equal probabilities have two of three classes first, not all three.
    """
    labels, given = np.array([0, 1, 2]), np.full((3, 3), 1 / 3)
    right = metrics.accuracy(labels, given.argmax(axis=1))
    assert [metrics.top_k_accuracy(labels, given, k) for k in (1, 2, 3)] == [right, 2 / 3, 1.0]
    found = scores_of(labels, given.argmax(axis=1), given, 3, Resampling(3, resamples=2))
    assert found["top_2"][0] == 2 / 3
    coarse = np.random.default_rng(0).integers(0, 3, (200, 5)) / 3
    labels = np.arange(200) % 5
    right = metrics.accuracy(labels, coarse.argmax(axis=1))
    assert metrics.top_k_accuracy(labels, coarse, 1) == right


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, 200)
    given = rng.dirichlet(np.ones(6), 200)
    predicted = given.argmax(axis=1)
    assert metrics.accuracy(labels, predicted) == sklearn.accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(labels, predicted, 6) == pytest.approx(
        sklearn.balanced_accuracy_score(labels, predicted)
    )
    assert metrics.macro_f1(labels, predicted, 6) == pytest.approx(
        sklearn.f1_score(labels, predicted, average="macro")
    )
    assert metrics.top_k_accuracy(labels, given, 2) == pytest.approx(
        sklearn.top_k_accuracy_score(labels, given, k=2)
    )
    assert metrics.negative_log_likelihood(labels, given) == pytest.approx(
        sklearn.log_loss(labels, given)
    )


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    right = np.repeat([1.0, 0.0], [120, 80])
    found = metrics.bootstrap(lambda at: float(right[at].mean()), 200, resamples=4000)
    half = 1.96 * math.sqrt(0.6 * 0.4 / 200)
    assert found.value == 0.6
    assert found.low == pytest.approx(0.6 - half, abs=0.01)
    assert found.high == pytest.approx(0.6 + half, abs=0.01)
    again = metrics.bootstrap(lambda at: float(right[at].mean()), 200, resamples=4000)
    assert found == again


def test_no_pictures_have_no_score() -> None:
    assert math.isnan(metrics.bootstrap(lambda at: 1.0, 0).value)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 3, (8000, 10))
    chances = softmax(scores, true)
    labels = (chances.cumsum(axis=1) > rng.random((8000, 1))).argmax(axis=1)
    assert fit_temperature(scores, labels) == pytest.approx(true, rel=0.06)
    # A constant per picture is not known from probabilities and must not matter.
    shifted = scores + rng.normal(0, 50, (8000, 1))
    assert fit_temperature(shifted, labels) == pytest.approx(true, rel=0.06)


def test_the_threshold_keeps_what_gains() -> None:
    """Under 0.4 the labels below are wrong, over it right: abstain between."""
    top = np.array([0.2, 0.25, 0.3, 0.5, 0.6, 0.7, 0.8])
    given = np.stack([top, *[(1 - top) / 9] * 9], axis=1)
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    assert 0.3 < fit_threshold(given, labels) < 0.5
    assert fit_threshold(given, np.zeros(7, int)) == 0.0
    # Where all is wrong, abstaining always would gain: half must still be answered.
    assert fit_threshold(given, np.ones(7, int)) <= np.median(top)


@pytest.mark.parametrize("count", [2, 3, 10, 204])
def test_no_picture_keeps_its_own_answer_when_shuffled(count: int) -> None:
    order = derangement(count)
    assert sorted(order) == list(range(count))
    assert not (order == np.arange(count)).any()
