"""Facts in words: captions, descriptions and conversations that say only what is known.

A statement is made plainly where most voters agree, with "probably" or "perhaps" where they lean
one way, and not at all where they are split; an answer then says so. What no picture can show is
answered by saying so, too. The order of the sentences is fixed and their wording nearly so: what
varies is what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava.prompts import CLASSIFY, DESCRIBE, DESCRIBE_GALAXY10
from astrollava_training.data import verdict
from astrollava_training.data.answers import answers, graded
from astrollava_training.data.facts import Facts
from astrollava_training.data.phrases import (
    ARMS,
    ASKED,
    BULGE,
    CANNOT_TELL,
    ODD,
    OTHER_KINDS,
    ROUNDED,
    SEEN,
    UNSEEABLE,
    WOUND,
)
from astrollava_training.data.verdict import Grade, Said, Verdict, weakest

__all__ = ["TAUGHT", "caption", "conversation", "description"]

TAUGHT: tuple[str, ...] = (
    DESCRIBE.text,
    DESCRIBE_GALAXY10.text,
    CLASSIFY.text,
    *(question for wordings in ASKED.values() for question in wordings),
    *UNSEEABLE,
)
"""All that is ever asked in a conversation."""

_MAIN = 0.7  # of the texts: a small model that is decoded greedily learns one wording


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _lead(rng: np.random.Generator, grade: Grade) -> str:
    sure = f" {grade}" if grade else ""
    return f"This is{sure}" if rng.random() < _MAIN else f"The picture{sure} shows"


def _it_is(grade: Grade) -> str:
    return f"It is {grade}" if grade else "It is"


def _first(found: Verdict, rng: np.random.Generator) -> str:
    """Return the caption."""
    said = found.said
    if found.form == "artifact":
        return "The picture is dominated by a star or an artifact rather than a galaxy."
    if found.form == "merger":
        return f"{_lead(rng, said['merging'].grade)} a pair of merging galaxies."
    if "disturbed" in said and said["disturbed"].value == "yes":
        return f"{_lead(rng, said['disturbed'].grade)} a galaxy with a disturbed shape."
    return f"{_lead(rng, _sure(found))} {_form(found)}"


def _sure(found: Verdict) -> Grade:
    """Return how sure the form is."""
    edge, spiral = found.said.get("edge_on"), found.said.get("spiral")
    also = edge if found.form == "edge_on" else spiral if found.form == "spiral" else None
    return weakest(found.said["smooth"], also)


def _form(found: Verdict) -> str:
    said, sure = found.said, _sure(found)
    if found.form == "smooth":
        shape = said.get("rounded")
        # "Probably a smooth and probably round galaxy" says no more than the first of the two.
        also = "" if shape is None else f"and {_again(shape, sure)}{ROUNDED[shape.value]} "
        return f"a smooth {also}galaxy."
    if found.form == "edge_on":
        return "a disk galaxy seen edge-on."
    if found.form == "unsettled":
        return "a disk galaxy."
    if found.form == "disk":
        spiral = said.get("spiral")
        grade = "" if spiral is None else _again(spiral, sure)
        without = "" if spiral is None else f", {grade}without spiral arms"
        return f"a disk galaxy{without if grade else without.replace(',', '')}."
    bar = said.get("bar")
    if bar is None:
        return "a spiral galaxy."
    if grade := _again(bar, sure):
        return f"a spiral galaxy, {grade}with{'out' if bar.value == 'no' else ''} a bar."
    return "a barred spiral galaxy." if bar.value == "yes" else "a spiral galaxy without a bar."


def _again(said: Said, before: Grade) -> str:
    """Return the grade of a statement where it is less sure than what is said before it."""
    return f"{said.grade} " if weakest(said, Said("", before)) != before else ""


def _details(found: Verdict) -> list[str]:
    said = found.said
    bulge, texts = said.get("bulge"), []
    if found.form == "spiral":
        texts.append(_arms(said.get("arms"), said.get("winding")))
    elif found.form == "disk" and "bar" in said:
        texts.append(graded(said["bar"], "It", f"shows {_article(said['bar'])} bar."))
    with_bulge = "" if bulge is None else graded(bulge, "it", f"has {BULGE[bulge.value]}")
    if found.form == "edge_on":
        texts.append(with_bulge and f"{with_bulge}.")
    elif found.form == "smooth":
        nothing = graded(said["bar"], "it", "shows no spiral arms and no bar")
        texts.append(_not_edge_on(said.get("edge_on"), nothing))
    else:
        texts.append(_not_edge_on(said.get("edge_on"), with_bulge))
    return [text[0].upper() + text[1:] for text in texts if text]


def _article(said: Said) -> str:
    return "a" if said.value == "yes" else "no"


def _not_edge_on(edge: Said | None, rest: str) -> str:
    seen = ""
    if edge is not None:
        unclear = edge.grade == "perhaps"
        seen = SEEN["edge_on"][3] if unclear else graded(edge, "it is", "not seen edge-on")
    both = ", and ".join(filter(None, (seen, rest)))
    return both and f"{both}."


def _arms(number: Said | None, wound: Said | None) -> str:
    if number is None:
        if wound is None:
            return ""
        return graded(wound, "its spiral arms are", f"{WOUND[wound.value]}.")
    arms = graded(number, "it has", ARMS[number.value])
    if wound is None:
        return f"{arms}."
    return f"{arms}, {wound.grade + ' ' if wound.grade else ''}{WOUND[wound.value]}."


def _odd(found: Verdict) -> list[str]:
    """Return what is odd, and what is not."""
    said, texts = found.said, []
    for topic in ("ring", "dust_lane"):
        if topic in said and said[topic].value == "yes":
            plain, may, *_ = SEEN[topic]
            texts.append(_visible(said[topic].grade, plain, may))
    if "odd" in said:
        seen = ODD[said["odd"].value]
        texts.append(_visible(said["odd"].grade, seen, seen.replace(" is ", " may be ")))
    no = {topic: s for topic, s in said.items() if s.value == "no"}
    looks = [word for word in ("disturbed", "merging") if word in no]
    shows = [topic.replace("_", " ") for topic in ("ring", "dust_lane") if topic in no]
    if not looks and not shows:
        return texts
    grade = weakest(*(no.get(topic) for topic in ("disturbed", "merging", "ring", "dust_lane")))
    parts = []
    if looks:
        both = f"looks neither {looks[0]} nor {looks[-1]}"
        looked = both if len(looks) == 2 else f"does not look {looks[0]}"
        parts.append(f"it {grade} {looked}" if grade else f"it {looked}")
    if shows:
        none = "is visible" if looks or not grade else f"is {grade} visible"
        parts.append(f"no {' or '.join(shows)} {none}")
    return [*texts, ", and ".join(parts) + "."]


def _visible(grade: Grade, plain: str, may: str) -> str:
    if grade == "perhaps":
        return f"{may}."
    return f"{plain.replace(' is ', f' is {grade} ') if grade else plain}."


def description(facts: Facts, rng: np.random.Generator) -> str:
    """Describe a picture in up to six sentences.

    Parameters
    ----------
    facts : Facts
        What is known about it; of a galaxy at least the votes on ``smooth``.
    rng : numpy.random.Generator
        Chooses the wording.

    Returns
    -------
    str
        What it is; how it is seen; its arms, bar and bulge; what is odd or that nothing is; and,
        for half of the simulated ones, whether it has neighbours.
    """
    if facts.kind != "galaxy":
        return _other(facts, rng)
    found = verdict.of(facts)
    said = [_first(found, rng)]
    if found.form == "artifact":
        return said[0]
    if found.form == "merger":
        said.append("This makes the shape of each one hard to tell.")
    else:
        if said[0].endswith("disturbed shape."):
            said.append(f"{_it_is(_sure(found))} {_form(found)}")
        said += _details(found)
        said += [text[0].upper() + text[1:] for text in _odd(found)]
    if facts.neighbours is not None and rng.random() < 0.5:
        said.append(
            "No other bright source is near."
            if facts.neighbours == 0
            else "Another source lies nearby."
            if facts.neighbours == 1
            else "Several other sources lie in the field."
        )
    return " ".join(said)


def _other(facts: Facts, rng: np.random.Generator) -> str:
    texts = OTHER_KINDS[facts.kind]
    return texts[0] if rng.random() < _MAIN else texts[-1]


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """Describe a picture in one sentence, for the alignment stage; arguments of `description`."""
    if facts.kind != "galaxy":
        return OTHER_KINDS[facts.kind][0]
    return _first(verdict.of(facts), rng)


def conversation(
    facts: Facts, rng: np.random.Generator, *, turns: int = 6
) -> list[tuple[str, str]]:
    """Questions and answers about one picture, in a random order.

    Parameters
    ----------
    facts : Facts
        What is known about it; of a galaxy at least the votes on ``smooth``.
    rng : numpy.random.Generator
        Chooses questions and wording.
    turns : int
        Number of question-answer pairs at most, and at least one.

    Returns
    -------
    list of (question, answer)
        A request for a description and the class question come more often than the others, and
        about one question in twelve asks for what no picture can show.

    Raises
    ------
    InvalidRequest
        For less than one turn, or a galaxy about which nothing is known.
    """
    if turns < 1:
        raise InvalidRequest(f"turns is {turns}", expected="at least 1")
    known = answers(facts, caption(facts, rng))
    asked = [topic for topic in known if topic != "class"]
    weights = np.array(
        [1.6 if topic in ("bar", "arms", "spiral", "edge_on") else 1.0 for topic in asked]
    )
    count = min(max(turns - 2, 1), len(asked))
    chosen = rng.choice(len(asked), size=count, replace=False, p=weights / weights.sum())
    pairs = [(_pick(rng, ASKED[asked[i]]), known[asked[i]]) for i in chosen]
    prompt = _pick(rng, (DESCRIBE.text, DESCRIBE.text, DESCRIBE_GALAXY10.text, *ASKED["describe"]))
    pairs.append((prompt, description(facts, rng)))
    if "class" in known:
        pairs.append(
            (CLASSIFY.text if rng.random() < 0.7 else _pick(rng, ASKED["class"]), known["class"])
        )
    if rng.random() < 0.08 * turns:
        pairs.append((_pick(rng, UNSEEABLE), CANNOT_TELL))
    order = rng.permutation(len(pairs))
    return [pairs[i] for i in order[:turns]]
