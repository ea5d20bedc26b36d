"""Texts that go in circles, and answers to questions nobody taught a model, are told as such."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava import Describer, prompts
from astrollava.grounding import find_loops, find_untaught, untaught_words
from astrollava.images import example
from astrollava.vocabularies import GALAXY10

WORDS = st.text("abcdefgh'é-", min_size=1, max_size=6).filter(lambda word: word[0].isalpha())
GAPS = st.sampled_from([" ", ", ", ". ", "\n", "; "])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "No, it does not look not look does not look does not look does not look does a disk.",
            "not look does not look does not look does not look does",
        ),
        ("probably perhaps perhaps perhaps disk disk", "perhaps perhaps perhaps"),
        ("A field. Stars lie here. Stars lie here. Stars lie here.", "Stars lie here. " * 3),
        ("It is, it is, IT IS round.", "It is, it is, IT IS"),
    ],
)
def test_a_circle_is_found(text: str, found: str) -> None:
    """The embedded model said the first of these about tidal tails, and no flag said a word."""
    (flag,) = find_loops(text)
    assert flag.kind == "repetition"
    assert flag.text == text[flag.start : flag.end] == found.rstrip(" .")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This is a spiral galaxy with a bar. It has two arms. It is not edge-on.",
        "A very, very bright galaxy beside a galaxy.",
        "It is round; it is smooth; it is not edge-on.",
        "Counts: 0 0 0 0 and 1, 1, 1.",
        "-- -- -- ... ... ...",
        "barred bar ba barbarbar",
    ],
)
def test_what_is_no_circle_is_left_alone(text: str) -> None:
    assert find_loops(text) == ()


@given(st.lists(st.tuples(WORDS, GAPS), min_size=1, max_size=12), st.integers(3, 5))
def test_whatever_is_said_three_times_is_found(said: list[tuple[str, str]], times: int) -> None:
    once = "".join(word + gap for word, gap in said)
    flags = find_loops(f"Before {once * times}behind.")
    assert flags
    for flag in flags:
        words = re.findall(r"[^\s,.;:!?]+", flag.text)
        assert len(words) >= 3


@given(st.text(max_size=300))
def test_any_text_has_sound_spans(text: str) -> None:
    for flag in find_loops(text):
        assert flag.text == text[flag.start : flag.end] != ""


def test_time_grows_with_the_length_of_a_text_alone() -> None:
    """A text is as long as a model makes it, and may be made to be read slowly."""

    def seconds(text: str) -> float:
        began = time.process_time()
        find_loops(text)
        return time.process_time() - began

    for piece in ("a ", "ab" * 40, "a b c d e f g h i j k ", "a b a c ", "x, "):
        short, long = (min(seconds(piece * n) for _ in range(3)) for n in (2_000, 16_000))
        assert long < 40 * max(short, 1e-3), piece


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Does it have a bar?", ()),
        ("Are there any bars?", ()),
        ("Could you please tell me whether a BAR is visible in this image?", ()),
        ("Are there tidal tails?", ("tidal", "tails")),
        ("Write a poem, a poem!", ("Write", "poem")),
        ("¿Hay una barra?", ("Hay", "una", "barra")),
        ("", ()),
        ("1 2 3?", ()),
    ],
)
def test_words_nobody_taught_are_named(question: str, words: tuple[str, ...]) -> None:
    assert untaught_words(question, ["Does it have a bar?", "How many arms?"]) == words


def test_of_a_model_that_does_not_say_what_it_was_taught_nothing_is_flagged() -> None:
    """A model of billions of parameters was taught to answer anything."""
    assert find_untaught("No.", "Are there tidal tails?", ()) == ()


def test_the_embedded_model_says_what_it_never_learned() -> None:
    """To tidal tails it answered with words in circles, to dust lanes with rings; both unmarked."""
    with Describer() as describer:
        for question in ("Are there tidal tails?", "Is there a dust lane?"):
            answer = describer.ask(example(), question)
            (flag,) = [flag for flag in answer.flags if flag.kind == "untaught"]
            assert flag.text == answer.text
            assert question.split()[-1].rstrip("?") in flag.reason
        for question in ("Is there a bar?", "How many arms?", "What is its redshift?"):
            assert describer.ask(example(), question).flags == ()
        for prompt in (None, prompts.DESCRIBE_GALAXY10, "Describe the picture."):
            assert describer.describe(example(), prompt=prompt).flags == ()
        assert untaught_words(GALAXY10.question, describer.facts.questions) == ()
