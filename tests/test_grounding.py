"""Grounding: claims a picture cannot support are found, and nothing else is."""

from __future__ import annotations

import csv
import doctest
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava import prompts, vocabularies
from astrollava.grounding import KINDS, claims, find_claims

SENTENCES = Path(__file__).with_name("grounding_sentences.txt")
_CLAIM = re.compile(r"\{([a-z-]+):((?:[^{}]|\{\d+\})*)\}")


def _cases() -> list[tuple[str, dict[str, Any], list[tuple[str, int, str]]]]:
    cases = []
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        given_with: dict[str, Any] = {}
        if line.startswith("wcs|"):
            given_with["has_wcs"] = True
        elif line.startswith("names="):
            given_with["supplied_names"] = line.removeprefix("names=").split("|")[0].split(";")
        marked = line.split("|", 1)[1] if given_with else line
        text, expected, at = "", [], 0
        for match in _CLAIM.finditer(marked):
            text += marked[at : match.start()]
            expected.append((match[1], len(text), match[2]))
            text += match[2]
            at = match.end()
        cases.append((text + marked[at:], given_with, expected))
    return cases


CASES = _cases()


@pytest.mark.parametrize(("text", "given_with", "expected"), CASES, ids=[c[0] for c in CASES])
def test_exactly_the_unsupported_claims_are_flagged(
    text: str, given_with: dict[str, Any], expected: list[tuple[str, int, str]]
) -> None:
    flags = find_claims(text, **given_with)
    assert [(flag.kind, flag.start, flag.text) for flag in flags] == expected


def test_the_list_is_long_good_and_bad_and_covers_every_kind() -> None:
    good = [text for text, _, expected in CASES if not expected]
    assert len(CASES) >= 200
    assert len(good) >= 60
    assert {kind for _, _, expected in CASES for kind, _, _ in expected} == set(KINDS)


def test_every_flag_says_why() -> None:
    for flag in find_claims("NGC 1300 at z = 0.005 weighs 10^11 solar masses."):
        assert flag.reason == KINDS[flag.kind]
        assert flag.reason.endswith(".")


def test_what_the_house_itself_says_is_not_flagged() -> None:
    # A flag on our own labels, questions or prompts would show on every result.
    galaxy10 = vocabularies.GALAXY10
    texts = [p.text for p in prompts.PROMPTS]
    texts += [*galaxy10.labels, *galaxy10.answers.values(), *galaxy10.descriptions.values()]
    for task in vocabularies.GALAXY_ZOO2.tasks.values():
        texts += [task.question, *(answer.text for answer in task.answers)]
    assert [text for text in texts if find_claims(text)] == []


def test_the_published_classes_of_real_galaxies_are_not_taken_for_names(shared_data: Path) -> None:
    with open(shared_data / "galaxies" / "votes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = {f"A galaxy of class {row['class']} ({row['gz2_class']})." for row in rows}
    assert [text for text in sorted(texts) if find_claims(text)] == []


@pytest.mark.parametrize(
    ("supplied", "said"),
    [
        ("M31", "M 31"),
        ("M 31", "Messier 31"),
        ("Messier031", "M31"),
        ("NGC0224", "NGC 224"),
        ("Andromeda Galaxy", "M31"),
        ("the whirlpool galaxy", "Whirlpool Galaxy"),
        ("HST", "Hubble Space Telescope"),
        ("SDSS J1234+0123", "SDSS J1234+0123"),
    ],
)
def test_a_supplied_name_is_known_in_its_other_spellings(supplied: str, said: str) -> None:
    assert find_claims(f"This is {said}.")
    assert not find_claims(f"This is {said}.", supplied_names=[supplied])
    assert not find_claims(f"This is {said}.", supplied_names=supplied)


@pytest.mark.parametrize("supplied", ["", "  ", "-", "M", "NGC", "*"])
def test_a_name_that_names_nothing_excuses_nothing(supplied: str) -> None:
    assert find_claims("This is NGC 224, or M31.", supplied_names=[supplied])


_PIECES = st.sampled_from(
    [
        *("NGC 1300", "M31", "z = 0.05", "30 Mpc", "10^11", "solar masses", "million", "M_"),
        *("light-years", " away", "across", "degrees", "°", "☉", "[Fe/H]", "Hubble", "in Virgo"),
        *("cannot tell", "similar to ", "the ", ".", ",", " ", "\n", "\u00a0", "-", "~", "1", "9."),
        *("½", "٣", "é", "🌌", "\ud800"),
    ]
)
_TEXTS = st.one_of(st.text(), st.lists(st.one_of(_PIECES, st.text(max_size=3))).map("".join))


@given(_TEXTS, st.booleans(), st.lists(st.text(), max_size=3))
def test_spans_are_exact_ordered_and_apart_on_any_text(
    text: str, has_wcs: bool, supplied: list[str]
) -> None:
    end = 0
    for flag in find_claims(text, has_wcs=has_wcs, supplied_names=supplied):
        assert flag.text == text[flag.start : flag.end]
        assert flag.text.strip() == flag.text != ""
        assert flag.start >= end
        assert flag.kind in KINDS
        assert not (flag.start and text[flag.start - 1].isalnum() and flag.text[0].isalnum())
        end = flag.end


@given(_TEXTS)
def test_a_wcs_only_ever_takes_flags_away(text: str) -> None:
    without = find_claims(text)
    with_wcs = find_claims(text, has_wcs=True)
    assert [f for f in without if f.kind not in ("position", "angular-size")] == list(with_wcs)


@pytest.mark.parametrize(
    "unit",
    [
        "1", "1 ", "1.", "1,", "~", "-", " ", "\n", "million ", "one ", "between 1 and ", "of ",
        "redshift of ", "redshift about ", "NGC ", "NGC 1+", "M 31", "SDSS J1234", "[ ", "the ",
        "solar mass ", "cannot tell ", "similar to the ", "diameter ", "RA 1 ", "dec 1:", "10^",
        "1 x 10 ", "few many of a ", "5 degrees ", "10⁹", "é", "🌌", "a", "30 kpc ",
    ],
)  # fmt: skip
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    # A quadratic pattern would take 64 times as long for a text 8 times as long.
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            find_claims(text)
            best = min(best, time.process_time() - begun)
        return best

    find_claims(unit)
    # What else the machine does may spoil a measurement, not five.
    assert any(seconds(8_000) < 24 * max(seconds(1_000), 0.001) for _ in range(5))


def test_the_examples_in_the_docstring_are_true() -> None:
    assert doctest.testmod(claims).failed == 0
