"""What the model is taught to say: a sentence beyond the votes would teach it to invent."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import InvalidRequest
from astrollava.grounding import find_claims
from astrollava.prompts import CLASSIFY, DESCRIBE, DESCRIBE_GALAXY10
from astrollava.vocabularies import GALAXY10
from astrollava_training.data.answers import answers, class_answer
from astrollava_training.data.facts import KINDS, LABELS, Facts, fractions
from astrollava_training.data.language import caption, conversation, description
from astrollava_training.data.phrases import (
    ASKED,
    CANNOT_TELL,
    EDGE_BULGE,
    ODD_FEATURE,
    OTHER_KINDS,
    UNSEEABLE,
)
from astrollava_training.data.verdict import form, leading, share
from astrollava_training.evaluate.statements import read
from voted_galaxies import any_facts

SEEDS = st.integers(0, 2**32 - 1)
SENTENCES = re.compile(r"[A-Z][^.!?]*\.(?: [A-Z][^.!?]*\.)*")


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def said_of(facts: Facts, seed: int) -> dict[str, str]:
    """Every text there is about a picture, by its use."""
    first = caption(facts, rng(seed))
    return {
        "description": description(facts, rng(seed)),
        "caption": first,
        **answers(facts, first),
    }


@functools.cache
def claims(text: str) -> tuple[object, ...]:
    return tuple(find_claims(text))


@functools.cache
def faults(text: str) -> list[str]:
    """What is wrong with a text as English, as far as rules can tell."""
    return [
        what
        for what, wrong in {
            "no sentences": SENTENCES.fullmatch(text) is None,
            "two spaces": "  " in text,
            "a gap before a stop": re.search(r" [.,:]", text) is not None,
            "a hole": re.search(r"[{}_]|\bNone\b|\bnan\b", text) is not None,
            "a for an": re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text) is not None,
            "a word twice": re.search(r"\b(\w+) \1\b", text) is not None,
        }.items()
        if wrong
    ]


@given(facts=any_facts(), seed=SEEDS)
def test_every_text_is_made_of_whole_sentences(facts: Facts, seed: int) -> None:
    found = {use: faults(text) for use, text in said_of(facts, seed).items()}
    assert {use: wrong for use, wrong in found.items() if wrong} == {}


@given(facts=any_facts(), seed=SEEDS)
def test_nothing_taught_is_a_claim_that_grounding_would_flag(facts: Facts, seed: int) -> None:
    """The model would be taught to say what the package itself warns of."""
    assert {text: claims(text) for text in said_of(facts, seed).values() if claims(text)} == {}


PHRASES = (
    CANNOT_TELL,
    *(text for texts in OTHER_KINDS.values() for text in texts),
    *(text for texts in EDGE_BULGE.values() for text in texts),
    *filter(None, ODD_FEATURE.values()),
    *GALAXY10.answers.values(),
)


@pytest.mark.parametrize("text", PHRASES)
def test_phrases_are_sentences_without_claims(text: str) -> None:
    assert faults(text) == []
    assert claims(text) == ()


def supported(facts: Facts) -> dict[str, set[str]]:
    """What may be said, by topic of `statements`; written from the tree, not from the code."""
    if facts.kind != "galaxy":
        return {topic: {"no"} for topic in ("bar", "spiral", "edge_on", "merging", "disturbed")}
    kind = form(facts)
    bar, spiral = share(facts, "bar", "yes"), share(facts, "spiral", "yes")
    odd = share(facts, "odd", "yes")
    feature = {name: odd * share(facts, "odd_feature", name) for name in ODD_FEATURE}
    labelled = facts.label or ""
    on_edge = labelled.startswith("edge_on") or facts.reach("edge_bulge") >= 0.5
    if not labelled and share(facts, "edge_on", "yes") > 0.5:
        on_edge = True
    allowed: dict[str, set[str]] = {topic: set() for topic in ("arms", "winding", "rounded")}
    allowed["bar"] = {"yes"} if bar > 0.5 else {"no"}
    if kind in ("smooth", "edge_on"):
        allowed["bar"] = {"no"}
    allowed["spiral"] = {"no"} if kind != "spiral" else {"yes"} if spiral > 0.5 else {"yes", "no"}
    allowed["smooth"] = {"smooth"} if kind == "smooth" else {"features"}
    if kind == "disturbed":
        allowed["smooth"] = set()
    allowed["edge_on"] = {"yes"} if on_edge else set()
    if facts.reach("edge_bulge") < 0.5:
        allowed["edge_on"].add("no")
    allowed["merging"] = {"yes"} if kind == "merger" else {"no"}
    # "Distorted" is what an encounter does to a pair.
    twisted = kind in ("merger", "disturbed") or feature["disturbed"] + feature["irregular"] > 0.25
    allowed["disturbed"] = {"yes"} if twisted else set()
    allowed["ring"] = {"yes"} if feature["ring"] > 0.25 else set()
    if feature["ring"] <= 0.5:
        allowed["ring"].add("no")
    allowed["dust_lane"] = {"yes"} if feature["dust_lane"] > 0.25 else set()
    if kind == "spiral":
        number, voters = leading(facts, "arms")
        allowed["arms"] = {number} if voters >= 0.4 else set()
        wound, voters = leading(facts, "winding")
        allowed["winding"] = {wound} if voters > 0.45 else set()
    if kind == "smooth":
        shape, voters = leading(facts, "rounded")
        allowed["rounded"] = {shape} if voters > 0.5 else set()
        allowed["bulge"] = {"none"}
    elif kind == "edge_on":
        shape, voters = leading(facts, "edge_bulge")
        allowed["bulge"] = set() if voters <= 0.5 else {"none" if shape == "none" else "present"}
    else:
        size, voters = leading(facts, "bulge")
        allowed["bulge"] = {size} if voters >= 0.45 else set()
    return allowed


@settings(max_examples=400)
@given(facts=any_facts(), seed=SEEDS)
def test_nothing_is_said_beyond_the_votes(facts: Facts, seed: int) -> None:
    """No bar below half of the voters, no number of arms nobody agreed on, and so on."""
    allowed = supported(facts)
    texts = said_of(facts, seed)
    texts.pop("class", None)  # is of the label, not of the votes
    beyond = {
        (use, topic, value, text)
        for use, text in texts.items()
        for topic, value in read(text).items()
        if value not in allowed.get(topic, set())
    }
    assert beyond == set()


@given(facts=any_facts(), seed=SEEDS)
def test_a_bar_is_doubted_in_words_when_voters_doubt_it(facts: Facts, seed: int) -> None:
    texts, bar = said_of(facts, seed), share(facts, "bar", "yes")
    texts.pop("class", None)
    for text in texts.values():
        if read(text).get("bar") == "yes":
            assert bar > 0.5
            assert bar >= 0.7 or "probably" in text.lower()
    if texts.get("bar") == "It is hard to tell.":
        assert 0.45 < bar < 0.55


@given(facts=any_facts(), seed=SEEDS)
def test_what_is_no_galaxy_is_called_none(facts: Facts, seed: int) -> None:
    if facts.kind == "galaxy":
        return
    texts = said_of(facts, seed)
    assert texts["description"] in OTHER_KINDS[facts.kind]
    for topic in set(texts) - {"description", "caption", "what"}:
        assert texts[topic] == "No galaxy is visible in this picture."


def test_every_kind_of_picture_has_its_words() -> None:
    assert set(OTHER_KINDS) == set(KINDS) - {"galaxy"}


def test_class_answers_are_those_the_vocabulary_scores() -> None:
    """Labels and vocabulary are two lists: in another order, every class would be taught wrong."""
    assert {label: class_answer(label) for label in LABELS} == {
        "disturbed": GALAXY10.answers["Disturbed Galaxies"],
        "merging": GALAXY10.answers["Merging Galaxies"],
        "round_smooth": GALAXY10.answers["Round Smooth Galaxies"],
        "in_between_smooth": GALAXY10.answers["In-between Round Smooth Galaxies"],
        "cigar_smooth": GALAXY10.answers["Cigar Shaped Smooth Galaxies"],
        "barred_spiral": GALAXY10.answers["Barred Spiral Galaxies"],
        "unbarred_tight_spiral": GALAXY10.answers["Unbarred Tight Spiral Galaxies"],
        "unbarred_loose_spiral": GALAXY10.answers["Unbarred Loose Spiral Galaxies"],
        "edge_on_no_bulge": GALAXY10.answers["Edge-on Galaxies without Bulge"],
        "edge_on_bulge": GALAXY10.answers["Edge-on Galaxies with Bulge"],
    }
    assert GALAXY10.question == CLASSIFY.text


@given(facts=any_facts(), seed=SEEDS, turns=st.integers(1, 8))
def test_a_conversation_answers_what_is_asked(facts: Facts, seed: int, turns: int) -> None:
    pairs = conversation(facts, rng(seed), turns=turns)
    assert 1 <= len(pairs) <= turns
    assert pairs == conversation(facts, rng(seed), turns=turns)
    of_class = {CLASSIFY.text, *ASKED["class"]}
    for question, answer in pairs:
        assert faults(answer) == []
        assert (question in UNSEEABLE) == (answer == CANNOT_TELL)
        if question in of_class and facts.kind == "galaxy":
            assert facts.label is not None
            assert answer == class_answer(facts.label)


def test_what_no_picture_shows_is_refused_about_once_in_twelve_questions() -> None:
    facts = Facts(smooth=fractions("smooth", {"features": 1}), label="barred_spiral")
    talks = [conversation(facts, rng(seed)) for seed in range(2000)]
    asked = [question for pairs in talks for question, _ in pairs]
    assert 0.06 < sum(question in UNSEEABLE for question in asked) / len(asked) < 0.1
    assert {question for question in asked if question in UNSEEABLE} == set(UNSEEABLE)
    # What the package asks by default must be what it has heard most.
    for prompt in (DESCRIBE, DESCRIBE_GALAXY10, CLASSIFY):
        assert asked.count(prompt.text) / len(asked) > 0.01


def test_topics_and_answers_go_together() -> None:
    """A topic without a question could never be taught, and would break a run after hours."""
    facts = Facts(
        smooth=fractions("smooth", {"features": 1}),
        edge_on=fractions("edge_on", {"no": 1}),
        bar=fractions("bar", {"yes": 1}),
        spiral=fractions("spiral", {"yes": 1}),
        bulge=fractions("bulge", {"obvious": 1}),
        odd=fractions("odd", {"no": 1}),
        winding=fractions("winding", {"loose": 1}),
        arms=fractions("arms", {"2": 1}),
        neighbours=0,
        label="barred_spiral",
    )
    known = answers(facts, caption(facts, rng(0)))
    assert set(known) == set(ASKED) - {"describe"}
    assert known["bar"] == "Yes, there is a bar."
    assert known["arms"] == "It has two spiral arms."
    text = description(facts, rng(3))
    assert "barred spiral galaxy" in text
    assert "two loosely wound spiral arms and" in text


def test_a_galaxy_nobody_looked_at_is_not_described() -> None:
    for say in (description, caption, conversation):
        with pytest.raises(InvalidRequest, match="nothing is known"):
            say(Facts(), rng(0))


def test_a_conversation_has_a_turn() -> None:
    with pytest.raises(InvalidRequest, match="turns is 0"):
        conversation(Facts(kind="star"), rng(0), turns=0)
