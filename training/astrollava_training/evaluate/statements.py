"""What a text says about a galaxy, read by fixed rules.

A text is cut into clauses at full stops, commas, semicolons, colons and "but". In each clause every
mention of a topic becomes one statement:

- A yes-or-no topic (``bar``, ``spiral``, ``edge_on``, ``merging``, ``disturbed``, ``ring``,
  ``dust_lane``) is ``"no"`` after *no, not, without, lacks, neither, rather than, instead of*,
  before *absent, missing* or *is not*, or as *unbarred* and *face-on*; else ``"yes"``. A negation
  ends at *with* and at *and* with a verb or a number.
- ``smooth`` is ``"smooth"`` or ``"features"``; ``rounded`` is ``"round"``, ``"in_between"`` or
  ``"cigar"``; ``winding`` ``"tight"``, ``"medium"`` or ``"loose"``; ``arms`` ``"1"`` to ``"4"`` or
  ``"more"``; ``bulge`` ``"none"``, ``"noticeable"``, ``"obvious"``, ``"dominant"`` or, without a
  size, ``"present"``.
- A clause that says it cannot be told states nothing. Where two statements on a topic disagree the
  text says `CONTRADICTION`.

The rules know English of the kind the models here are trained on; they read no irony and no
comparison with other galaxies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["ANSWERS", "CONTRADICTION", "TOPICS", "read", "read_answer"]

CONTRADICTION = "contradiction"

TOPICS: tuple[str, ...] = (
    "smooth",
    "edge_on",
    "bar",
    "spiral",
    "arms",
    "winding",
    "bulge",
    "rounded",
    "merging",
    "disturbed",
    "ring",
    "dust_lane",
)

ANSWERS: Mapping[str, tuple[str, ...]] = dict.fromkeys(TOPICS, ("yes", "no")) | {
    "smooth": ("smooth", "features"),
    "arms": ("1", "2", "3", "4", "more"),
    "winding": ("tight", "medium", "loose"),
    "bulge": ("none", "noticeable", "obvious", "dominant"),
    "rounded": ("round", "in_between", "cigar"),
}
"""Topic -> the answers that a question about it can have."""

_CLAUSES = re.compile(r"[.!?;:,]+(?:\s+|$)|\b(?:but|however|although|though|while)\b")
_UNTOLD = re.compile(
    r"hard to (?:tell|say|see)|can(?:not|'t| not) (?:be )?(?:tell|told|say|said|seen?|determined?)"
    r"|unclear|uncertain|not (?:sure|clear whether)"
)
_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|without|lacks?|lacking|rather than|instead of)\b|n't\b"
)
_END_OF_NEGATION = re.compile(
    r"\bwith\b|\band (?:has|is|shows|it|one|two|three|four|five|several|many)\b"
)
_DENIED_AFTER = re.compile(
    r"^[^.]{0,40}?\b(?:absent|missing|(?:is|are|was) (?:not|nowhere)|isn't|aren't)\b"
)

_YES_NO: Mapping[str, re.Pattern[str]] = {
    "bar": re.compile(r"\b(?:un|non-?)?barred\b|\bbars?\b"),
    "spiral": re.compile(r"\bspirals?\b|\barms?\b"),
    "edge_on": re.compile(r"\b(?:edge|face)[- ]on\b"),
    "merging": re.compile(r"\bmerg(?:ers?|ing|es?|ed)\b|\binteract(?:s|ing|ions?)\b"),
    "disturbed": re.compile(
        r"\bdisturbed\b|\birregular(?:ly)?\b|\bdistorted\b|\basymmetric(?:al)?\b"
    ),
    "ring": re.compile(r"\brings?\b"),
    "dust_lane": re.compile(r"\bdust(?:y)? lanes?\b"),
}
_OPPOSITES = re.compile(r"^(?:unbarred|non-?barred|face)")

_NUMBERS = {"a single": "1", "single": "1", "one": "1", "two": "2", "three": "3", "four": "4"}
_NUMBERS |= {"1": "1", "2": "2", "3": "3", "4": "4"}
_ARMS = re.compile(
    r"\b(?P<more>(?:more than|over) (?:four|4)|(?:five|5|six|6)(?: or more)?|many|multiple)"
    r"(?: [\w-]+){0,3}? arms?\b"
    r"|\b(?P<number>a single|single|one|two|three|four|[1-4])(?:-armed| (?:[\w-]+ ){0,3}?arms?)\b"
)
_WINDING = (
    ("tight", re.compile(r"\btight(?:ly)?\b(?=[\w -]*\b(?:wound|spiral|arms?)\b)|\bare tight\b")),
    ("medium", re.compile(r"\b(?:moderately|medium)[ -]wound\b|\bmedium spiral\b")),
    ("loose", re.compile(r"\bloose(?:ly)?\b(?=[\w -]*\b(?:wound|spiral|arms?)\b)|\bare loose\b")),
)
_BULGE = re.compile(r"(?P<before>(?:[\w-]+ ){0,3})\bbulges?\b|\bbulgeless\b")
_SIZES = (
    ("dominant", re.compile(r"\b(?:dominant|large|huge|big|very prominent)\b")),
    ("obvious", re.compile(r"\b(?:obvious|bright|prominent|clear)\b")),
    ("noticeable", re.compile(r"\b(?:small|noticeable|weak|faint|modest)\b")),
)
_ROUNDED = (
    ("in_between", re.compile(r"\bin[- ]between\b|\bslightly oval\b|\boval\b|\bmoderately elong")),
    ("cigar", re.compile(r"\bcigar\b|\bstrongly elongated\b|\bvery elongated\b")),
    ("round", re.compile(r"\bround\b|\bcircular\b|\bspherical\b")),
)
_FEATURES = re.compile(r"\bdis[ck]\b|\bfeatures\b|\bspiral galaxy\b|\bbarred spiral\b")


def read(text: str) -> dict[str, str]:
    """Return what a text says: a value for each topic of `TOPICS` it speaks of.

    Examples
    --------
    >>> read("This is a spiral galaxy without a bar. It has two loosely wound arms.")
    {'smooth': 'features', 'bar': 'no', 'spiral': 'yes', 'arms': '2', 'winding': 'loose'}
    """
    said: dict[str, str] = {}
    for clause in _CLAUSES.split(text.lower().replace("’", "'")):
        if _UNTOLD.search(clause):
            continue
        for topic, value in _statements(clause):
            if said.setdefault(topic, value) != value:
                said[topic] = _reconcile(topic, said[topic], value)
    return {topic: said[topic] for topic in TOPICS if topic in said}


def read_answer(text: str, topic: str) -> str | None:
    """Return the value an answer gives to the question's topic, or None where it gives none.

    "Yes" or "no" at the start decides a yes-or-no topic that the answer does not name again.

    Examples
    --------
    >>> read_answer("No, there is none.", "bar")
    'no'
    """
    said = read(text).get(topic)
    if said is None and topic in _YES_NO and not _UNTOLD.search(text.lower()):
        start = re.match(r"\s*(?:probably )?(yes|no)t?\b", text.lower())
        said = start[1] if start else None
    return None if said == CONTRADICTION else said


def _reconcile(topic: str, first: str, second: str) -> str:
    # "A small bulge ... the bulge is round": a mention without a size contradicts no size.
    if topic == "bulge" and "present" in (first, second) and "none" not in (first, second):
        return first if second == "present" else second
    return CONTRADICTION


def _denied(clause: str, start: int, end: int) -> bool:
    before = [m.end() for m in _NEGATION.finditer(clause, 0, start)]
    if before and not _END_OF_NEGATION.search(clause, before[-1], start):
        return True
    return _DENIED_AFTER.match(clause[end:]) is not None


def _statements(clause: str) -> Iterator[tuple[str, str]]:
    for topic, pattern in _YES_NO.items():
        for found in pattern.finditer(clause):
            no = _denied(clause, *found.span()) != bool(_OPPOSITES.match(found[0]))
            yield topic, "no" if no else "yes"
    for found in re.finditer(r"\bsmooth\b", clause):
        yield "smooth", "features" if _denied(clause, *found.span()) else "smooth"
    for found in _FEATURES.finditer(clause):
        if not _denied(clause, *found.span()):
            yield "smooth", "features"
    for found in _ARMS.finditer(clause):
        if not _denied(clause, *found.span()) or found["more"]:
            yield "arms", "more" if found["more"] else _NUMBERS[found["number"]]
    yield from _first_undenied("winding", _WINDING, clause)
    yield from _first_undenied("rounded", _ROUNDED, clause)
    for found in _BULGE.finditer(clause):
        if found[0] == "bulgeless" or _denied(clause, found.end() - 5, found.end()):
            yield "bulge", "none"
        else:
            size = (name for name, pattern in _SIZES if pattern.search(found["before"]))
            yield "bulge", next(size, "present")


def _first_undenied(
    topic: str, patterns: tuple[tuple[str, re.Pattern[str]], ...], clause: str
) -> Iterator[tuple[str, str]]:
    for value, pattern in patterns:
        found = pattern.search(clause)
        if found and not _denied(clause, *found.span()):
            yield topic, value
            return
