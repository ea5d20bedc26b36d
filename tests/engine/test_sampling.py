"""What llama.cpp would take in silence, or at the price of an assert, must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from astrollava.engine import Sampling
from astrollava.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [-0.1, 10.5, float("nan"), float("inf"), "1", None, True]),
        ("top_k", [-1, 2**31, 1.5]),
        ("top_p", [0, 1.01, -1, float("nan")]),
        ("min_p", [-0.01, 1.01]),
        ("repeat_penalty", [0, 0.4, 6, float("nan")]),
        ("seed", [-1, 2**32 - 1, 0.5, True]),
        ("max_tokens", [0, -1, 1.0, 2**31]),
    ],
)
def test_values_out_of_range_are_named(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidRequest, match=name):
            Sampling(**{name: value})


def test_the_ends_of_the_ranges_are_taken() -> None:
    Sampling(0, 0, 1, 0, 0.5, 0, 1)
    Sampling(10, 2**31 - 1, 1e-6, 1, 5, 2**32 - 2, 2**31 - 1)


def test_sampling_becomes_a_plain_record() -> None:
    assert Sampling(seed=4).to_dict() == {
        "temperature": 0.0,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "repeat_penalty": 1.0,
        "seed": 4,
        "max_tokens": 256,
    }
