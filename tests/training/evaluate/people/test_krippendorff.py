"""Krippendorff's alpha against published worked examples: a slip in its algebra looks plausible."""

from __future__ import annotations

import doctest
from itertools import combinations
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.people import LEVELS, alpha, alpha_interval, krippendorff

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": examples A, B and C.
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
NOMINAL = [[ord(c) for c in "aabbdcccedda"], [ord(c) for c in "babbbccceddd"]]
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
    [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
]
# The worked example of the article "Krippendorff's alpha" in Wikipedia.
THREE_CODERS = [
    [nan, nan, nan, nan, nan, 3, 4, 1, 2, 1, 1, 3, 3, nan, 3],
    [1, nan, 2, 1, 3, 3, 4, 3, nan, nan, nan, nan, nan, nan, nan],
    [nan, nan, 2, 1, 3, 4, 4, nan, 2, 1, 1, 3, 3, nan, 4],
]


@pytest.mark.parametrize(
    ("ratings", "level", "published"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "ordinal", 0.815),
        (FOUR_OBSERVERS, "interval", 0.849),
        (THREE_CODERS, "nominal", 0.691),
        (THREE_CODERS, "interval", 0.811),
    ],
)
def test_published_examples_are_repeated(ratings: list, level: str, published: float) -> None:
    assert alpha(ratings, level) == pytest.approx(published, abs=5e-4)


def by_definition(ratings: np.ndarray, level: str) -> float:
    """Alpha from pairs of ratings, counted one by one."""
    units = [[v for v in unit if not isnan(v)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    every = [v for unit in units for v in unit]

    def distance(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = sorted((a, b))
        between = sum(low <= v <= high for v in every)
        return (between - (every.count(a) + every.count(b)) / 2) ** 2 if a != b else 0.0

    observed = sum(
        2 * sum(distance(a, b) for a, b in combinations(unit, 2)) / (len(unit) - 1)
        for unit in units
    ) / max(len(every), 1)
    expected = 2 * sum(distance(a, b) for a, b in combinations(every, 2))
    expected /= max(len(every) * (len(every) - 1), 1)
    return 1 - observed / expected if expected else nan


TABLES = st.integers(1, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from([nan, 1.0, 2.0, 3.0, 5.0]), min_size=raters, max_size=raters),
        min_size=1,
        max_size=7,
    )
)


@given(TABLES, st.sampled_from(LEVELS))
def test_alpha_is_what_its_definition_says(units: list[list[float]], level: str) -> None:
    table = np.array(units).T
    assert alpha(table, level) == pytest.approx(by_definition(table, level), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("ratings", [[[1, 2, 3]], [[nan, 1], [2, nan]], [[3, 3], [3, 3]]])
def test_what_says_nothing_of_agreement_has_no_alpha(ratings: list) -> None:
    """One rater, no text rated twice, or one value only: 1.0 would be a lie."""
    assert isnan(alpha(ratings))
    assert isnan(alpha_interval(ratings).low)


def test_perfect_agreement_and_contradiction() -> None:
    assert alpha([[1, 2, 3], [1, 2, 3]]) == pytest.approx(1.0)
    assert alpha([[1, 5, 1, 5], [5, 1, 5, 1]], "interval") < -0.5


def test_the_interval_holds_the_value_and_shrinks_with_more_texts() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, 400)
    ratings = np.clip(truth + rng.integers(-1, 2, (3, 400)), 1, 5)
    few, many = alpha_interval(ratings[:, :40]), alpha_interval(ratings)
    assert many.low < many.value < many.high
    assert many.high - many.low < 0.6 * (few.high - few.low)
    assert many.low < alpha(np.clip(truth + rng.integers(-1, 2, (3, 400)), 1, 5)) < many.high + 0.05


def test_wrong_shapes_and_levels_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="shape"):
        alpha([1, 2, 3])
    with pytest.raises(InvalidRequest, match="ratio"):
        alpha([[1, 2], [1, 2]], "ratio")  # type: ignore[arg-type]


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(krippendorff).failed == 0
