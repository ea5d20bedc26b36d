"""Short answers to the questions of `phrases.ASKED`, worded from a `Verdict`."""

from __future__ import annotations

from astrollava.vocabularies import GALAXY10, GALAXY_PRESENCE
from astrollava_training.data import verdict
from astrollava_training.data.facts import LABELS, Facts
from astrollava_training.data.phrases import ARMS, ASKED, BULGE, ROUNDED, SEEN, WOUND
from astrollava_training.data.verdict import Said, Verdict

__all__ = ["answers", "class_answer", "graded"]

_UNTOLD = {
    "arms": "The number of arms is hard to tell.",
    "winding": "How the arms are wound is hard to tell.",
    "bulge": "How prominent its bulge is cannot be told.",
    "rounded": "How round it is cannot be told.",
}
_HIDDEN = {"arms": "the number of arms", "winding": "how the arms are wound"}
_UNSEEN = {"bar": "no clear bar is visible", "spiral": "no clear spiral arms are visible"}


def class_answer(label: str) -> str:
    """Return the answer to `CLASSIFY` for a class of `LABELS`, as the vocabulary scores it."""
    return GALAXY10.answers[GALAXY10.labels[LABELS.index(label)]]


def graded(said: Said, before: str, after: str) -> str:
    """Return ``before`` and ``after`` with the grade of a statement, if it has one, in between."""
    return f"{before} {said.grade} {after}" if said.grade else f"{before} {after}"


def answers(facts: Facts, caption: str) -> dict[str, str]:
    """Answer everything that can be asked.

    Parameters
    ----------
    facts : Facts
        What is known about a picture; of a galaxy at least the votes on ``smooth``.
    caption : str
        The answer to "What is this?" where there is a galaxy, or an artifact in its place.

    Returns
    -------
    dict
        Topic of `ASKED` -> answer: all but ``describe``, without ``class`` where there is no label,
        and of an artifact ``what`` alone. What voters do not decide is answered by saying so. The
        order is part of what a seed decides.
    """
    if facts.kind != "galaxy":
        topics = [topic for topic in ASKED if topic != "describe"]
        return dict.fromkeys(topics, GALAXY_PRESENCE.no) | {"what": caption}
    found = verdict.of(facts)
    if found.form == "artifact":
        return {"what": caption}
    out = {"what": caption, "galaxy": GALAXY_PRESENCE.yes}
    if facts.label is not None:
        out["class"] = class_answer(facts.label)
    rest = [topic for topic in ASKED if topic not in (*out, "describe", "class")]
    if found.form == "merger":
        merging = graded(found.said["merging"], "Two galaxies are", "merging")
        out |= dict.fromkeys(rest, f"{merging}, so this is hard to tell.")
        return out | {"merging": _yes_no("merging", found.said["merging"])}
    return out | {topic: _answer(topic, found) for topic in rest}


def _answer(topic: str, found: Verdict) -> str:
    said = found.said.get(topic)
    if topic == "smooth":
        return _smooth(found.said["smooth"])
    if topic == "rounded" and found.form != "smooth":
        return graded(found.said["smooth"], "It is", "a disk rather than a smooth galaxy.")
    if found.form == "edge_on" and topic in _HIDDEN:
        return f"{_edge_on(found)}, so {_HIDDEN[topic]} cannot be told."
    if found.form == "edge_on" and topic in _UNSEEN:
        return f"{_edge_on(found)}, and {_UNSEEN[topic]}."
    spiral = found.said.get("spiral")
    if topic in ("arms", "winding") and spiral is not None and spiral.value == "no":
        none = graded(spiral, "It", "shows no spiral arms")
        # Only of winding: a number of arms would say that there are some.
        if said is not None and topic == "winding":
            return f"{none}; if there are any, they are {said.grade} {WOUND[said.value]}."
        return f"{none}."
    if said is None:
        return _UNTOLD.get(topic, "It is hard to tell.")
    if topic == "arms":
        return graded(said, "It has", f"{ARMS[said.value]}.")
    if topic == "winding":
        return graded(said, "The arms are", f"{WOUND[said.value]}.")
    if topic == "bulge":
        return graded(said, "It", f"has {BULGE[said.value]}.")
    if topic == "rounded":
        return graded(said, "It is", f"{ROUNDED[said.value]}.")
    return _yes_no(topic, said)


def _edge_on(found: Verdict) -> str:
    return graded(found.said["edge_on"], "It is", "seen edge-on")


def _smooth(said: Said) -> str:
    if said.value == "smooth":
        return graded(said, "It is", "smooth.")
    return graded(said, "It", "has a disk with features.")


def _yes_no(topic: str, said: Said) -> str:
    yes, may, no, unclear = SEEN[topic]
    if said.grade == "perhaps":
        return f"Perhaps yes: {may}." if said.value == "yes" else f"Perhaps not: {unclear}."
    if said.grade == "probably":
        return f"Probably yes: {yes}." if said.value == "yes" else f"Probably not: {no}."
    return f"Yes, {yes}." if said.value == "yes" else f"No, {no}."
