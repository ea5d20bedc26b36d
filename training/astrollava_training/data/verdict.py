"""What the voters decided, topic by topic and with its certainty.

Captions, descriptions and answers are all worded from one `Verdict`, so that they cannot contradict
each other. The votes decide it; the label only where they leave a merger or a disturbance open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from astrollava.errors import InvalidRequest
from astrollava_training.data.facts import Facts

__all__ = [
    "CLEAR",
    "HALF",
    "LIKELY",
    "MANY",
    "SEVERAL",
    "Form",
    "Grade",
    "Said",
    "Verdict",
    "of",
    "weakest",
]

CLEAR, LIKELY, HALF = 0.7, 0.55, 0.5
"""Shares of the voters from which a statement is plain, from which it is probable, and above which
one of two answers is given; between the last two it is made with "perhaps"."""

MANY, SEVERAL = 0.45, 0.4
"""Shares that decide between three or four answers and between six: none may reach a half."""

_FEW = 0.3  # of those who saw something odd: below it, this was not what they saw

Form = Literal["smooth", "edge_on", "spiral", "disk", "unsettled", "merger", "artifact"]
"""Branch of the tree; ``unsettled`` is a disk of which half the voters neither say that it is seen
edge-on nor that it is not."""

Grade = Literal["", "probably", "perhaps"]

_GRADES: tuple[Grade, ...] = ("", "probably", "perhaps")


@dataclass(frozen=True)
class Said:
    """One statement.

    Attributes
    ----------
    value : str
        ``"yes"`` or ``"no"``, or an answer of `facts.TREE`.
    grade : {"", "probably", "perhaps"}
        How sure the voters are.
    """

    value: str
    grade: Grade = ""


@dataclass(frozen=True)
class Verdict:
    """All that may be said about a galaxy.

    Attributes
    ----------
    form : Form
        The branch most voters end in.
    said : mapping of str to Said
        By topic of `evaluate.statements`, and ``odd`` for what has no topic there (``"lens"`` or
        ``"other"``). A topic that voters do not decide is left out.
    """

    form: Form
    said: Mapping[str, Said]


def of(facts: Facts) -> Verdict:
    """Return the verdict on a galaxy.

    Raises
    ------
    InvalidRequest
        For a galaxy on which nobody voted.
    """
    if facts.smooth is None:
        raise InvalidRequest("nothing is known about this galaxy", expected="votes on 'smooth'")
    branch, voters = _leading(facts, "smooth")
    merging = _merging(facts)
    merger = merging is not None and merging.value == "yes"
    if branch == "artifact" and not (merger and voters <= HALF):
        return Verdict("artifact", {})
    if merging is not None and merger:
        # Votes on the parts may mean either galaxy.
        return Verdict("merger", {"merging": merging})
    known = {"smooth": Said(branch, _grade(voters)), "merging": merging, **_odd(facts)}
    edge = facts.reach("edge_bulge")  # disk and edge-on together
    # Where nobody was asked, at most those who saw a disk could have called it edge-on.
    most = edge if facts.edge_on is not None else facts.reach("edge_on")
    if most <= HALF or facts.edge_on is not None:
        known["edge_on"] = _yes_no(most)
    form: Form
    if branch == "smooth":
        form = "smooth"
        none = Said("no", _grade(voters))
        known |= {"bar": none, "spiral": none, "rounded": _most(facts, "rounded", HALF)}
        if known["smooth"] is not None and known["smooth"].grade:
            known["bulge"] = _perhaps(facts, "bulge")
    elif edge > HALF:
        form = "edge_on"
        known["bulge"] = _most(facts, "edge_bulge", MANY)
    elif facts.edge_on is not None and facts.edge_on["yes"] > HALF:
        form = "unsettled"
        known["edge_on"] = Said("no", "perhaps")
        known |= {topic: _perhaps(facts, topic) for topic in ("bar", "spiral", "bulge")}
    else:
        known |= {topic: _most(facts, topic, 0.0) for topic in ("bar", "spiral")}
        known["bulge"] = _most(facts, "bulge", MANY)
        spiral = known["spiral"]
        form = "spiral" if spiral is not None and spiral.value == "yes" else "disk"
        if form == "spiral":
            known["winding"] = _most(facts, "winding", MANY)
            number = _most(facts, "arms", SEVERAL)
            known["arms"] = None if number is not None and number.value == "cant_tell" else number
        elif spiral is not None and spiral.grade:
            # Who doubts that there are arms still says what they would be.
            known["winding"] = _perhaps(facts, "winding")
    return Verdict(form, {topic: said for topic, said in known.items() if said is not None})


def _leading(facts: Facts, question: str) -> tuple[str, float]:
    """Return the most frequent answer and its share; ``("", 0.0)`` where nobody was asked."""
    answered = facts.answers(question)
    if answered is None:
        return "", 0.0
    # Of two answers with equal votes the last one of the tree, which for yes and no is "no".
    best = max(reversed(tuple(answered)), key=lambda answer: answered[answer])
    return best, answered[best]


def _grade(voters: float, reach: float = 1.0) -> Grade:
    """Grade a share of the voters; what less than half of all were asked is never plain."""
    if voters >= CLEAR and reach > HALF:
        return ""
    return "probably" if voters >= LIKELY else "perhaps"


def _most(facts: Facts, question: str, least: float) -> Said | None:
    answer, voters = _leading(facts, question)
    if not answer or voters <= least:
        return None
    return Said(answer, _grade(voters, facts.reach(question)))


def _perhaps(facts: Facts, question: str) -> Said | None:
    """Return the leading answer to a question that most voters did not come to."""
    answer, voters = _leading(facts, question)
    return Said(answer, "perhaps") if answer and voters > MANY else None


def _yes_no(voters: float) -> Said:
    if voters > HALF:
        return Said("yes", _grade(voters))
    return Said("no", _grade(1 - voters))


def _merging(facts: Facts) -> Said | None:
    found = _oddity(facts, "merger")
    if facts.label == "merging":
        sure = found is not None and found == Said("yes", "")
        return Said("yes", "" if sure else "probably")
    if facts.label is not None and facts.odd is not None:
        return _yes_no(facts.odd["yes"] * (facts.odd_feature or {}).get("merger", 0.0))
    return found


def _odd(facts: Facts) -> dict[str, Said | None]:
    found = {
        "disturbed": _oddity(facts, "disturbed", "irregular"),
        "ring": _oddity(facts, "ring"),
        "dust_lane": _oddity(facts, "dust_lane"),
    }
    if facts.odd is None or facts.odd["yes"] < HALF:
        return found
    if facts.label == "disturbed" and found["disturbed"] != Said("yes", ""):
        found["disturbed"] = Said("yes", "probably")
    feature, _ = _leading(facts, "odd_feature")
    if feature in ("lens", "other"):
        seen = _oddity(facts, feature)
        if seen is not None and seen.value == "yes":
            found["odd"] = Said(feature, seen.grade)
    return found


def _oddity(facts: Facts, *features: str) -> Said | None:
    """Say whether something odd is there; None where it is open what the odd thing is."""
    if facts.odd is None:
        return None
    odd, named = facts.odd["yes"], facts.odd_feature or {}
    share = sum(named.get(feature, 0.0) for feature in features)
    if odd < HALF or odd * share > HALF:
        return _yes_no(odd * share)
    if share > HALF:
        return Said("yes", "perhaps")
    return Said("no", "probably" if share < _FEW else "perhaps") if named else None


def weakest(*said: Said | None) -> Grade:
    """Return the least certain grade of several statements."""
    return max((s.grade for s in said if s is not None), key=_GRADES.index, default="")
