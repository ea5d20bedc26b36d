"""Facts in words: captions, descriptions and conversations that say only what is known.

A statement is made plainly where most voters agree, with "probably" where they lean one way, and
not at all where they are split; an answer then says so. What no picture can show is answered by
saying so, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava.prompts import CLASSIFY, DESCRIBE, DESCRIBE_GALAXY10
from astrollava_training.data.answers import answers, bulge_sizes
from astrollava_training.data.facts import Facts
from astrollava_training.data.phrases import (
    ARMS,
    ASKED,
    CANNOT_TELL,
    EDGE_BULGE,
    ODD_FEATURE,
    OTHER_KINDS,
    ROUNDED,
    UNSEEABLE,
    WOUND,
)
from astrollava_training.data.verdict import (
    CLEAR,
    LEANING,
    Form,
    arms,
    form,
    leading,
    share,
    winding,
)

__all__ = ["caption", "conversation", "description"]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _first(facts: Facts, kind: Form, rng: np.random.Generator) -> str:
    lead = _pick(rng, ("This is", "The picture shows", "The image shows"))
    if kind == "smooth":
        shape, voters = leading(facts, "rounded")
        word = _pick(rng, ROUNDED[shape]) if shape else ""
        also = f"and {word} " if word and voters > LEANING else ""
        return f"{lead} a smooth {also}galaxy without spiral arms."
    if kind == "edge_on":
        return f"{lead} a disk galaxy seen " + _pick(
            rng, ("edge-on.", "edge-on, as a thin line of light.")
        )
    if kind == "spiral":
        bar = share(facts, "bar", "yes")
        if bar > LEANING:
            return f"{lead} {'' if bar >= CLEAR else 'what is probably '}a barred spiral galaxy."
        return f"{lead} a spiral galaxy without a {'' if bar < 1 - CLEAR else 'clear '}bar."
    if kind == "disk":
        return f"{lead} a disk galaxy without clear spiral arms."
    if kind == "merger":
        return f"{lead} " + _pick(
            rng, ("two galaxies that are merging.", "a pair of merging galaxies.")
        )
    if kind == "disturbed":
        return f"{lead} a galaxy with a disturbed, irregular shape."
    return "The picture is dominated by a star or an artifact rather than a galaxy."


def _arms(facts: Facts) -> str:
    """Return the arms in words, for example ``"two loosely wound spiral arms"``."""
    words = ARMS.get(arms(facts), "spiral arms")
    if wound := winding(facts):
        words = words.replace("spiral arm", f"{WOUND[wound]} spiral arm")
    return words


def _bulge(facts: Facts, rng: np.random.Generator) -> str:
    """Return the bulge in words, or an empty text where voters are split."""
    sizes = bulge_sizes(facts)
    return _pick(rng, sizes) if sizes else ""


def _details(facts: Facts, kind: Form, rng: np.random.Generator) -> list[str]:
    said: list[str] = []
    if kind == "spiral":
        bulge = _bulge(facts, rng)
        said.append(f"It has {_arms(facts)}{' and ' + bulge if bulge else ''}.")
    elif kind == "disk":
        if bulge := _bulge(facts, rng):
            said.append(f"It has {bulge}.")
        if (bar := share(facts, "bar", "yes")) > LEANING:
            said.append(f"A bar is {'' if bar >= CLEAR else 'probably '}present.")
    elif kind == "edge_on":
        shape, voters = leading(facts, "edge_bulge")
        if voters > LEANING:
            said.append(EDGE_BULGE[shape][0])
    elif kind == "smooth":
        light = (
            "Its light fades evenly from a bright centre.",
            "Its light is smooth and regular, brightest at the centre.",
        )
        said.append(_pick(rng, light))
    elif kind == "merger":
        light = (
            "Their light overlaps and looks distorted.",
            "The shapes are distorted by the encounter.",
        )
        said.append(_pick(rng, light))
    odd, voters = leading(facts, "odd_feature")
    seen = share(facts, "odd", "yes") > LEANING and voters > LEANING
    if seen and ODD_FEATURE[odd] and kind not in ("merger", "disturbed"):
        said.append(ODD_FEATURE[odd])
    if facts.neighbours is not None and rng.random() < 0.7:
        said.append(
            "No other bright source is near."
            if facts.neighbours == 0
            else "Another source lies nearby."
            if facts.neighbours == 1
            else "Several other sources lie in the field."
        )
    return said


def description(facts: Facts, rng: np.random.Generator) -> str:
    """Describe a picture in one to four sentences.

    Parameters
    ----------
    facts : Facts
        What is known about it; of a galaxy at least the label or the votes on ``smooth``.
    rng : numpy.random.Generator
        Chooses the wording.
    """
    if facts.kind != "galaxy":
        return _pick(rng, OTHER_KINDS[facts.kind])
    kind = form(facts)
    if kind == "artifact":
        return _first(facts, kind, rng)
    return " ".join([_first(facts, kind, rng), *_details(facts, kind, rng)])


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """Describe a picture in one sentence, for the alignment stage; arguments of `description`."""
    return OTHER_KINDS[facts.kind][0] if facts.kind != "galaxy" else _first(facts, form(facts), rng)


def conversation(
    facts: Facts, rng: np.random.Generator, *, turns: int = 6
) -> list[tuple[str, str]]:
    """Questions and answers about one picture, in a random order.

    Parameters
    ----------
    facts : Facts
        What is known about it; of a galaxy at least the label or the votes on ``smooth``.
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
