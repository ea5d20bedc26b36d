"""What the voters decided: the leading answer to a question, and the form most voters end in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from astrollava.errors import InvalidRequest
from astrollava_training.data.facts import Facts

__all__ = ["CLEAR", "LEANING", "MANY", "Form", "arms", "form", "leading", "share", "winding"]

CLEAR, LEANING = 0.7, 0.5
"""Shares of the voters from which a statement is plain, and above which it is made at all."""

MANY, SEVERAL = 0.45, 0.4
"""Shares that decide between three or four answers and between six: none may reach a half."""

Form = Literal["smooth", "edge_on", "spiral", "disk", "merger", "disturbed", "artifact"]

_FORMS: Mapping[str, Form] = {
    "disturbed": "disturbed",
    "merging": "merger",
    "round_smooth": "smooth",
    "in_between_smooth": "smooth",
    "cigar_smooth": "smooth",
    "barred_spiral": "spiral",
    "unbarred_tight_spiral": "spiral",
    "unbarred_loose_spiral": "spiral",
    "edge_on_no_bulge": "edge_on",
    "edge_on_bulge": "edge_on",
}


def share(facts: Facts, question: str, answer: str) -> float:
    """Return the share of an answer to a question of the tree; zero where nobody was asked."""
    answered = facts.answers(question)
    return answered[answer] if answered is not None else 0.0


def leading(facts: Facts, question: str) -> tuple[str, float]:
    """Return the most frequent answer and its share; ``("", 0.0)`` where nobody was asked."""
    answered = facts.answers(question)
    if answered is None:
        return "", 0.0
    best = max(answered, key=lambda answer: answered[answer])
    return best, answered[best]


def arms(facts: Facts) -> str:
    """Return the number of arms, ``"1"`` to ``"4"`` or ``"more"``, or an empty text where split."""
    number, voters = leading(facts, "arms")
    return number if voters >= SEVERAL and number != "cant_tell" else ""


def winding(facts: Facts) -> str:
    """Return how the arms are wound, or an empty text where voters are split."""
    found, voters = leading(facts, "winding")
    return found if voters > MANY else ""


def form(facts: Facts) -> Form:
    """Return the branch of the tree that most voters end in; the label decides where there is one.

    Raises
    ------
    InvalidRequest
        For a galaxy without a label on which nobody voted.
    """
    if facts.label is not None:
        return _FORMS[facts.label]
    if facts.smooth is None:
        raise InvalidRequest(
            "nothing is known about this galaxy", expected="a label, or votes on 'smooth'"
        )
    odd, voters = leading(facts, "odd_feature")
    if share(facts, "odd", "yes") > CLEAR and voters > LEANING:
        if odd == "merger":
            return "merger"
        if odd in ("disturbed", "irregular"):
            return "disturbed"
    branch, _ = leading(facts, "smooth")
    if branch == "smooth":
        return "smooth"
    if branch == "artifact":
        return "artifact"
    if share(facts, "edge_on", "yes") > LEANING:
        return "edge_on"
    return "spiral" if share(facts, "spiral", "yes") > LEANING else "disk"
