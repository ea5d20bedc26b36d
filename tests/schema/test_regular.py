"""Patterns: read as Python reads them, or refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.schema.regular import PatternError, matches, parse

_ATOMS = ["a", "b", "[ab]", "[^a]", "[a-c-]", ".", "\\d", "\\w", "\\.", "é", "(?:ab|c)", "(a|)"]
_TIMES = ["", "?", "*", "+", "{2}", "{1,3}", "{2,}"]
_PATTERNS = st.lists(st.tuples(st.sampled_from(_ATOMS), st.sampled_from(_TIMES)), max_size=5).map(
    lambda parts: "".join(atom + times for atom, times in parts)
)


@given(_PATTERNS, st.text("abcd.é-_1\n ", max_size=8))
def test_a_pattern_means_what_it_means_to_python(inside: str, text: str) -> None:
    expected = re.compile(inside, re.ASCII).fullmatch(text) is not None
    assert matches(parse(f"^{inside}$"), text) == expected
    assert matches(parse(f"^({inside}|never)$"), text) == expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a", "whole text"), ("^a", "whole text"), ("a$", "whole text"), ("^a\\$", "whole text"),
        ("^a|b$", "outside brackets"), ("^(a$", "not closed"), ("^a)$", "unmatched"),
        ("^[a$", "not closed"), ("^*$", "means nothing"), ("^a**$", "repeated"),
        ("^a+?$", "lazy"), ("^a{2$", "counts nothing"), ("^a{,2}$", "counts nothing"),
        ("^a{3,2}$", "backwards"), ("^a{5000}$", "more than"), ("^\\b$", "not supported"),
        ("^(?=a)$", "special group"), ("^\\1$", "not supported"), ("^[b-a]$", "no order"),
        ("^a^b$", "means nothing"), ("^\\p{L}$", "not supported"), ("^" + "(" * 50 + "$", "within"),
        ("^" + "a" * 2000 + "$", "longer"), ("^\ud800$", "surrogate"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_to_is_told(pattern: str, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        parse(pattern)


def test_a_pattern_made_to_take_forever_does_not() -> None:
    """Python's own needs longer than the universe is old for the first of these."""
    begun = time.perf_counter()
    assert not matches(parse("^(a+)+$"), "a" * 200 + "b")
    assert not matches(parse("^((a?){1000}){1000}$"), "a" * 50 + "b")
    assert not matches(parse("^(a|a)*$"), "a" * 200 + "b")
    assert time.perf_counter() - begun < 10
