"""What the votes decide about a galaxy, in the values of `statements`."""

from __future__ import annotations

from collections.abc import Mapping

from astrollava_training.data.facts import Facts
from astrollava_training.evaluate.statements import CONTRADICTION

__all__ = ["agrees", "answers", "truth", "truth_of_label"]

_HALF = 0.5

_SMOOTH = {"smooth": "smooth", "bar": "no", "spiral": "no", "merging": "no"}
_DISK = {"smooth": "features", "edge_on": "no", "merging": "no"}
_EDGE = {"smooth": "features", "edge_on": "yes", "merging": "no"}
_OF_LABEL: Mapping[str, Mapping[str, str]] = {
    "disturbed": {"disturbed": "yes", "merging": "no"},
    "merging": {"merging": "yes"},
    "round_smooth": {**_SMOOTH, "edge_on": "no", "rounded": "round"},
    "in_between_smooth": {**_SMOOTH, "edge_on": "no", "rounded": "in_between"},
    "cigar_smooth": {**_SMOOTH, "rounded": "cigar"},
    "barred_spiral": {**_DISK, "bar": "yes", "spiral": "yes"},
    "unbarred_tight_spiral": {**_DISK, "bar": "no", "spiral": "yes", "winding": "tight"},
    "unbarred_loose_spiral": {**_DISK, "bar": "no", "spiral": "yes", "winding": "loose"},
    "edge_on_no_bulge": {**_EDGE, "bulge": "none"},
    "edge_on_bulge": {**_EDGE, "bulge": "present"},
}


def truth(facts: Facts) -> dict[str, str]:
    """Return the value of each topic that more than half of the voters decide.

    A question of the tree counts where more than half of all voters came to it. A galaxy most
    voters call smooth shows neither bar nor arms, though Galaxy Zoo did not ask. Of a merger only
    that it is one is decided: votes on its parts may mean either galaxy.

    Parameters
    ----------
    facts : Facts
        Votes on one picture.

    Returns
    -------
    dict
        Topic of `statements.TOPICS` -> value; undecided topics are left out.
    """
    if facts.kind != "galaxy" or facts.smooth is None or facts.smooth["artifact"] > _HALF:
        return {}
    odd = facts.odd["yes"] if facts.odd is not None else 0.0
    features = facts.odd_feature or {}

    def odd_share(*names: str) -> float:
        return odd * sum(features.get(name, 0.0) for name in names)

    if facts.label == "merging" or odd_share("merger") > _HALF:
        return {"merging": "yes"}
    known: dict[str, str] = {}
    if 1.0 - odd > _HALF or facts.label is not None:
        known["merging"] = "no"
    for topic, names in {
        "disturbed": ("disturbed", "irregular"),
        "ring": ("ring",),
        "dust_lane": ("dust_lane",),
    }.items():
        if odd_share(*names) > _HALF:
            known[topic] = "yes"
        elif 1.0 - odd > _HALF:
            known[topic] = "no"
    known["edge_on"] = "yes" if facts.reach("edge_bulge") > _HALF else "no"
    if facts.smooth["smooth"] > _HALF:
        known |= {"smooth": "smooth", "bar": "no", "spiral": "no"}
    elif facts.smooth["features"] > _HALF:
        known["smooth"] = "features"
    for topic in ("bar", "spiral", "bulge", "winding", "arms", "rounded"):
        decided = _majority(facts, topic)
        if decided is not None and decided != "cant_tell":
            known[topic] = decided
    if edge := _majority(facts, "edge_bulge"):
        known["bulge"] = "none" if edge == "none" else "present"
    return known


def truth_of_label(label: str) -> dict[str, str]:
    """Return what the Galaxy10 class of a galaxy says about it by itself.

    Parameters
    ----------
    label : str
        A member of `astrollava_training.data.facts.LABELS`.

    Returns
    -------
    dict
        As of `truth`; a cigar-shaped galaxy may or may not be seen edge-on.
    """
    return dict(_OF_LABEL[label])


def _majority(facts: Facts, question: str) -> str | None:
    answered = facts.answers(question)
    if answered is None or facts.reach(question) <= _HALF:
        return None
    best = max(answered, key=lambda answer: answered[answer])
    return best if answered[best] > _HALF else None


def agrees(topic: str, said: str | None, true: str) -> bool:
    """Whether a statement fits the truth; a bulge without a size fits every bulge there is."""
    if topic == "bulge" and said != true and "present" in (said, true):
        return said not in (None, CONTRADICTION, "none") and true != "none"
    return said == true


def answers(topic: str, said: str | None, true: str) -> bool:
    """Whether a value answers the question rightly.

    As `agrees`, but that there is a bulge does not say how prominent it is where voters said so.
    """
    vague = topic == "bulge" and said == "present" and true != "present"
    return agrees(topic, said, true) and not vague
