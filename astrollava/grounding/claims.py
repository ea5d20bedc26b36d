"""Finds claims that the picture alone cannot support."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from astrollava.grounding import _names as names
from astrollava.grounding._kinds import KINDS, SHOWN_BY_WCS
from astrollava.grounding._rules import (
    COMPARISON,
    DEGREES_BEFORE,
    EXTENT_AFTER,
    LENGTH_BEFORE,
    NUMBER,
    REFUSAL,
    Rule,
    rules,
)
from astrollava.results import Flag

__all__ = ["KINDS", "find_claims"]

#: Characters of context read before and after a match.
_CONTEXT = 60

_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n|,?\s(?:but|however)\s", re.IGNORECASE)
_EDGES = " \t\n\r\f\v\u00a0.,;:!?/-–—+~$\\"

#: Start, end and kind of a claim.
_Span = tuple[int, int, str]


def find_claims(
    text: str, *, has_wcs: bool = False, supplied_names: Iterable[str] = ()
) -> tuple[Flag, ...]:
    """Find what a text claims but a picture cannot show.

    Quantities count when they carry a value ("at 30 Mpc", "z = 0.05"), not when they are only
    spoken of ("its distance cannot be told"). Names count unless they were supplied or serve as
    a comparison. Position angles and numbers of arms are seen in any picture and never count.

    Parameters
    ----------
    text : str
        What a model said.
    has_wcs : bool
        Whether the picture came with a world coordinate system: then angular sizes and places
        on the sky are left alone.
    supplied_names : iterable of str
        Names that came with the picture (object, telescope, instrument): they and their other
        names, such as M31 and NGC 224, are left alone.

    Returns
    -------
    tuple of Flag
        In the order of the text, without overlap; ``text[flag.start:flag.end] == flag.text``.

    Notes
    -----
    The time taken grows in proportion to the length of the text, whatever it holds.

    Examples
    --------
    >>> from astrollava.grounding import find_claims
    >>> [(f.kind, f.text) for f in find_claims("NGC 1300, a barred spiral 19 Mpc away.")]
    [('identity', 'NGC 1300'), ('distance', '19 Mpc away')]
    >>> find_claims("A barred spiral with two arms, tilted by 45 degrees.")
    ()
    """
    given = (supplied_names,) if isinstance(supplied_names, str) else supplied_names
    known = {key for name in given for key in _same(name)}
    spans = [
        (start, end, kind)
        for start, end, kind in _spans(text)
        if not (has_wcs and kind in SHOWN_BY_WCS) and _key(text[start:end]) not in known
    ]
    return tuple(Flag(kind, start, end, text[start:end], KINDS[kind]) for start, end, kind in spans)


@lru_cache(maxsize=256)
def _spans(text: str) -> tuple[_Span, ...]:
    """Return all claims of a text. A small model says the same of many a picture."""
    return tuple(_without_overlap(_merged(_matches(text))))


def _matches(text: str) -> Iterator[_Span]:
    refusals = _refusals(text)
    starts = [start for start, _ in refusals]
    for rule, start, end in _found(text):
        kind = _kind(rule, text, start, end)
        if kind is None:
            continue
        before = bisect_right(starts, start) - 1
        refused = before >= 0 and start < refusals[before][1]
        if refused and (kind == "identity" or not any(map(str.isdigit, text[start:end]))):
            continue
        while start < end and text[start] in _EDGES and not _starts_number(text, start):
            start += 1
        while end > start and text[end - 1] in _EDGES:
            end -= 1
        if start < end:
            yield start, end, kind


def _found(text: str) -> Iterator[tuple[Rule, int, int]]:
    """Apply every rule; those about units only where a number ends."""
    numbers = [match.span() for match in NUMBER.finditer(text)]
    for rule in rules():
        if rule.after_number:
            for start, end in numbers:
                if unit := rule.pattern.match(text, end):
                    yield rule, start, unit.end()
        else:
            for match in rule.pattern.finditer(text):
                yield rule, *match.span()


def _starts_number(text: str, at: int) -> bool:
    """Whether the sign or point at that place belongs to a number."""
    return text[at] in "~+-" and text[at + 1 : at + 2].isdigit()


def _kind(rule: Rule, text: str, start: int, end: int) -> str | None:
    """Return the kind of a match in its context, or None where it claims nothing."""
    before = text[max(0, start - _CONTEXT) : start]
    if rule.kind == "identity" and COMPARISON.search(before):
        return None
    if rule.needs_extent:
        extent = EXTENT_AFTER.match(text, end) or DEGREES_BEFORE.search(before)
        return rule.kind if extent else None
    if rule.kind == "distance" and (EXTENT_AFTER.match(text, end) or LENGTH_BEFORE.search(before)):
        return "size"
    return rule.kind


def _refusals(text: str) -> list[tuple[int, int]]:
    """Return where the text declines to tell: from those words to the end of the sentence."""
    ends = [match.start() for match in _SENTENCE_END.finditer(text)]
    ends.append(len(text))
    return [
        (match.start(), ends[min(bisect_right(ends, match.end()), len(ends) - 1)])
        for match in REFUSAL.finditer(text)
    ]


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Join spans of one kind that overlap: "30 light-years" and "light-years away"."""
    merged: list[_Span] = []
    for start, end, kind in sorted(spans, key=lambda span: (span[2], span[0])):
        if merged and merged[-1][2] == kind and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), kind)
        else:
            merged.append((start, end, kind))
    return merged


def _without_overlap(spans: list[_Span]) -> list[_Span]:
    """Keep the longest of spans that overlap, in the order of the text."""
    order = {kind: rank for rank, kind in enumerate(KINDS)}
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1], order[s[2]])):
        while kept and span[0] < kept[-1][1]:
            if span[1] - span[0] <= kept[-1][1] - kept[-1][0]:
                break
            kept.pop()
        else:
            kept.append(span)
    return kept


def _key(name: str) -> str:
    """Reduce a name to what all its spellings share: "Messier 51" and "the M51 galaxy"."""
    words = re.sub(r"[^\w+*-]+", " ", name.casefold()).split()
    dropped = {"the", "galaxy", "galaxies", "nebula", "cluster", "telescope", "survey", "surveys"}
    kept = [word for word in words if word not in dropped] or words
    joined = re.sub(r"^messier(?=\d)", "m", "".join(kept).replace("-", ""))
    return re.sub(r"(?<=[a-z])0+(?=\d)", "", joined)


@cache
def _other_names() -> dict[str, frozenset[str]]:
    groups: dict[str, frozenset[str]] = {}
    for table in (names.PROPER_NAMES, names.NAMED_BY_NOUN, names.TELESCOPES):
        for line in names.lines(table):
            keys = frozenset(_key(name.split(" | ")[0]) for name in line)
            for key in keys:
                groups[key] = groups.get(key, frozenset()) | keys
    return groups


def _same(name: str) -> Iterable[str]:
    key = _key(name)
    return _other_names().get(key, frozenset({key}))
