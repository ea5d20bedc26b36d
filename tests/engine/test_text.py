"""Text must come out in whole characters, and no part of a stop string may slip through."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from astrollava.engine._text import TextAssembler


def assemble(data: bytes, cuts: list[int], stop: list[str]) -> list[str]:
    assembler = TextAssembler(stop)
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    pieces = []
    for start, end in pairwise(edges):
        pieces.append(assembler.feed(data[start:end]))
        if assembler.stopped:
            break
    pieces.append(assembler.finish())
    return pieces


@given(st.text(max_size=60), st.lists(st.integers(0, 300), max_size=20))
def test_text_is_the_same_wherever_its_bytes_are_cut(text: str, cuts: list[int]) -> None:
    assert "".join(assemble(text.encode(), cuts, [])) == text


@given(
    st.text("ab☉", max_size=40),
    st.lists(st.integers(0, 200), max_size=20),
    st.lists(st.text("ab☉", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_text_ends_before_the_first_stop_string_wherever_it_is_cut(
    text: str, cuts: list[int], stop: list[str]
) -> None:
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    expected = text[: min(ends)] if ends else text
    # Only the order in which stop strings are completed may decide between overlapping ones.
    got = "".join(assemble(text.encode(), cuts, stop))
    if len(stop) == 1:
        assert got == expected
    assert not any(s in got for s in stop)
    assert text.startswith(got)
    assert bool(ends) == (got != text)


def test_half_a_character_is_held_until_it_is_whole() -> None:
    assembler = TextAssembler([])
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert assembler.feed(first) == ""
    assert assembler.feed(second) == "é"


def test_half_a_character_at_the_end_is_dropped() -> None:
    assembler = TextAssembler([])
    assert assembler.feed(b"a" + "☉".encode()[:2]) == "a"
    assert assembler.finish() == ""


def test_what_only_looked_like_a_stop_string_is_shown_in_the_end() -> None:
    assembler = TextAssembler(["STOP"])
    assert assembler.feed(b"go ST") == "go "
    assert assembler.feed(b"ART S") == "START "
    assert assembler.finish() == "S"
