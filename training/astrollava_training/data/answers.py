"""Short answers to the questions of `phrases.ASKED`, as far as the facts decide them."""

from __future__ import annotations

from collections.abc import Mapping

from astrollava.vocabularies import GALAXY10
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.phrases import ARMS, ASKED, BULGE, EDGE_BULGE, ROUNDED, WOUND
from astrollava_training.data.verdict import (
    CLEAR,
    LEANING,
    MANY,
    arms,
    form,
    leading,
    share,
    winding,
)

__all__ = ["answers", "bulge_sizes", "class_answer"]

_HIDDEN = "It is seen edge-on, so {} cannot be told."

_SMOOTH: Mapping[str, str] = {
    "bar": "No, the galaxy is smooth and shows no bar.",
    "spiral": "No, it is a smooth galaxy without arms.",
    "arms": "It shows no spiral arms.",
    "winding": "It shows no spiral arms.",
    "bulge": "It is smooth, and no separate bulge stands out.",
}
_EDGE_ON: Mapping[str, str] = {
    "bar": _HIDDEN.format("a bar"),
    "spiral": _HIDDEN.format("spiral arms"),
    "arms": _HIDDEN.format("the number of arms"),
}


def class_answer(label: str) -> str:
    """Return the answer to `CLASSIFY` for a class of `LABELS`, as the vocabulary scores it."""
    return GALAXY10.answers[GALAXY10.labels[LABELS.index(label)]]


def bulge_sizes(facts: Facts) -> tuple[str, ...]:
    """Return wordings for the bulge of a disk seen face-on, none where voters are split."""
    size, voters = leading(facts, "bulge")
    return BULGE[size] if size and voters >= MANY else ()


def answers(facts: Facts, caption: str) -> dict[str, str]:
    """Answer what the facts decide.

    Parameters
    ----------
    facts : Facts
        What is known about a picture.
    caption : str
        The answer to "What is this?" where there is a galaxy, or an artifact in its place.

    Returns
    -------
    dict
        Topic of `ASKED` -> answer. A question that voters were not asked, or are split on beyond
        saying so, is left out. The order is part of what a seed decides.
    """
    if facts.kind != "galaxy":
        nothing = "No galaxy is visible in this picture."
        topics = [topic for topic in ASKED if topic != "describe"]
        return dict.fromkeys(topics, nothing) | {"what": caption}
    kind = form(facts)
    if kind == "artifact":
        return {"what": caption}
    out = {"what": caption, "galaxy": "Yes, a galaxy is visible."}
    if facts.label is not None:
        out["class"] = class_answer(facts.label)
    if kind == "merger":
        # Votes on the parts may mean either galaxy.
        return out | {"merging": "Yes, two galaxies are merging."}
    out["merging"] = "No, it does not look like a merger."
    disturbed = kind == "disturbed"
    out["disturbed"] = "Yes, its shape is disturbed." if disturbed else "No, its shape is regular."
    edge = facts.reach("edge_bulge")  # disk and edge-on together
    out["edge_on"] = _yes_no(edge, "it is seen edge-on", "it is not seen edge-on")
    if disturbed:
        return out
    if kind == "smooth":
        out |= _of_smooth(facts)
    elif kind == "edge_on":
        out |= _of_edge_on(facts)
    else:
        out |= _of_disk(facts, spiral=kind == "spiral")
    out["smooth"] = "It is smooth." if kind == "smooth" else "It has a disk with features."
    ring = share(facts, "odd", "yes") * share(facts, "odd_feature", "ring")
    if ring > LEANING or share(facts, "odd", "no") > LEANING:
        out["ring"] = "Yes, a ring is visible." if ring > LEANING else "No, no ring is visible."
    return out


def _of_smooth(facts: Facts) -> dict[str, str]:
    out = dict(_SMOOTH)
    shape, voters = leading(facts, "rounded")
    if voters > LEANING:
        out["rounded"] = f"It is {ROUNDED[shape][0]}."
    return out


def _of_edge_on(facts: Facts) -> dict[str, str]:
    out = dict(_EDGE_ON)
    shape, voters = leading(facts, "edge_bulge")
    if voters > LEANING:
        out["bulge"] = EDGE_BULGE[shape][1]
    return out


def _of_disk(facts: Facts, *, spiral: bool) -> dict[str, str]:
    out = {
        "bar": _yes_no(share(facts, "bar", "yes"), "there is a bar", "there is no bar"),
        "spiral": _yes_no(
            share(facts, "spiral", "yes"), "it has spiral arms", "it has no clear spiral arms"
        ),
    }
    if sizes := bulge_sizes(facts):
        out["bulge"] = f"It has {sizes[0]}."
    out["rounded"] = "It is a disk galaxy rather than a smooth one."
    if not spiral:
        out["arms"] = out["winding"] = "It shows no clear spiral arms."
    elif number := arms(facts):
        out["arms"] = f"It has {ARMS[number]}."
    elif facts.arms is not None:
        out["arms"] = "The number of arms cannot be told."
    if spiral and (wound := winding(facts)):
        out["winding"] = f"The arms are {WOUND[wound]}."
    return out


def _yes_no(voters: float, yes: str, no: str) -> str:
    if voters >= CLEAR:
        return f"Yes, {yes}."
    if voters >= 0.55:
        return f"Probably yes: {yes}."
    if voters > 0.45:
        return "It is hard to tell."
    return f"Probably not: {no}." if voters > 1 - CLEAR else f"No, {no}."
