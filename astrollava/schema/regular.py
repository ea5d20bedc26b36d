"""The regular expressions that can be held to, in a reading of their own.

Python's are not those of JSON schema (ECMA 262), and may take forever on a text made for it; here
matching is a walk over sets of positions. What is read means the same in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from astrollava.schema.characters import Ranges, complement, merged

__all__ = [
    "Alternatives",
    "Characters",
    "Pattern",
    "PatternError",
    "Repeat",
    "Sequence",
    "longest",
    "matches",
    "parse",
    "spread",
]

_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = merged([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
_LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CLASSES = {"d": _DIGITS, "D": complement(_DIGITS), "w": _WORD, "W": complement(_WORD)}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SYNTAX = frozenset("^$\\.*+?()[]{}|/-")
#: Brackets within brackets, and the largest number of a repetition.
_DEEPEST = 20
_MOST = 1000


class PatternError(ValueError):
    """A pattern that cannot be read here; the words say why."""


@dataclass(frozen=True)
class Characters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Sequence:
    """One after the other; nothing at all where it is empty."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True)
class Alternatives:
    """One of them."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True)
class Repeat:
    """The same again, so many times."""

    part: Pattern
    least: int
    most: int | None


Pattern: TypeAlias = Characters | Sequence | Alternatives | Repeat


def parse(pattern: str) -> Pattern:
    r"""Read a pattern that describes a text from its first to its last character.

    Raises
    ------
    PatternError
        It does not start with ``^`` and end with ``$``, or has a construct other than characters,
        classes (``[a-z]``, ``\d``, ``\w``, ``.``), groups, ``|``, ``?``, ``*``, ``+``, ``{m,n}``.
    """
    if len(pattern) > 1000:
        raise PatternError("it is longer than 1000 characters")
    ends = len(pattern) - len(pattern[:-1].rstrip("\\")) - 1 if pattern.endswith("$") else 1
    if not pattern.startswith("^") or ends % 2:
        raise PatternError("it does not describe the whole text: start it with ^ and end with $")
    reader = _Reader(pattern[1:-1])
    found = reader.sequence(0)
    # "^a|b$" is "starts with a, or ends with b".
    if reader.rest().startswith("|"):
        raise PatternError("an alternative stands outside brackets: write ^(a|b)$")
    if reader.rest():
        raise PatternError(f"there is an unmatched {reader.rest()[0]!r}")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rest(self) -> str:
        return self._text[self._at :]

    def _take(self, wanted: str = "") -> str:
        """Return the next character, if it is one of those wanted, or any."""
        here = self._text[self._at : self._at + 1]
        if not here or (wanted and here not in wanted):
            return ""
        self._at += 1
        return here

    def alternatives(self, depth: int) -> Pattern:
        if depth > _DEEPEST:
            raise PatternError(f"it has more than {_DEEPEST} brackets within brackets")
        found = [self.sequence(depth)]
        while self._take("|"):
            found.append(self.sequence(depth))
        return found[0] if len(found) == 1 else Alternatives(tuple(found))

    def sequence(self, depth: int) -> Pattern:
        parts: list[Pattern] = []
        while self.rest() and self.rest()[0] not in "|)":
            parts.append(self._repeated(self._one(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _one(self, depth: int) -> Pattern:
        here = self._take()
        if here == "(":
            if self._take("?") and not self._take(":"):
                raise PatternError("the only special group is (?:…)")
            found = self.alternatives(depth + 1)
            if not self._take(")"):
                raise PatternError("a bracket is not closed")
            return found
        if here == "[":
            return self._class()
        if here == ".":
            return Characters(complement(_LINE_ENDS))
        if here == "\\":
            return Characters(self._escape())
        if here in "^$*+?{}]":
            raise PatternError(f"there is a {here!r} that means nothing where it stands")
        return Characters(_single(here))

    def _class(self) -> Pattern:
        negated = bool(self._take("^"))
        found: list[tuple[int, int]] = []
        while not self._take("]"):
            first = self._class_part()
            if self.rest()[:1] == "-" and self.rest()[1:2] != "]":
                self._take()
                last = self._class_part()
                if len(first) != 1 or len(last) != 1 or first[0][0] > last[0][1]:
                    raise PatternError("a range in brackets has no order")
                found.append((first[0][0], last[0][1]))
            else:
                found += first
        ranges = merged(found)
        return Characters(complement(ranges) if negated else ranges)

    def _class_part(self) -> Ranges:
        here = self._take()
        if not here:
            raise PatternError("a bracket is not closed")
        return self._escape() if here == "\\" else _single(here)

    def _escape(self) -> Ranges:
        here = self._take()
        if here in _CLASSES:
            return _CLASSES[here]
        if here in _CONTROLS:
            return _single(_CONTROLS[here])
        if here and here in _SYNTAX:
            return _single(here)
        raise PatternError(f"\\{here} is not supported")

    def _repeated(self, part: Pattern) -> Pattern:
        sign = self._take("*+?{")
        if not sign:
            return part
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}[sign]
        if sign == "{":
            least, most = self._counts()
        if self._take("?+*{"):
            raise PatternError("a repetition is repeated, or lazy")
        return Repeat(part, least, most)

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, after = self.rest().partition("}")
        first, comma, last = inside.partition(",")
        digits = (first + last).isascii() and first.isdigit() and (last.isdigit() or not last)
        if not closed or not digits:
            raise PatternError("there is a { that counts nothing")
        self._at = len(self._text) - len(after)
        least = int(first[:9])
        most = least if not comma else int(last[:9]) if last else None
        if max(least, most or 0) > _MOST or (most is not None and most < least):
            raise PatternError(f"{{{inside[:40]}}} repeats backwards, or more than {_MOST} times")
        return least, most


def _single(character: str) -> Ranges:
    if 0xD800 <= ord(character) <= 0xDFFF:
        raise PatternError("it has half a surrogate pair")
    return ((ord(character), ord(character)),)


def longest(pattern: Pattern, unbounded: int) -> int:
    """Return the length of the longest text, if what has no end is repeated `unbounded` times.

    Repeating nothing counts, too: it takes the time of something.
    """
    if isinstance(pattern, Characters):
        return 1
    if isinstance(pattern, Repeat):
        times = pattern.least + unbounded if pattern.most is None else pattern.most
        return times * max(1, longest(pattern.part, unbounded))
    lengths = [longest(part, unbounded) for part in pattern.parts]
    return sum(lengths) if isinstance(pattern, Sequence) else max(lengths, default=0)


def spread(pattern: Pattern, unbounded: int) -> tuple[bool, int, int]:
    """Return how much a pattern leaves open while it is followed.

    Returns
    -------
    nothing : bool
        Whether it describes the empty text, too.
    first : int
        In how many ways it may begin.
    widest : int
        In how many ways, at most, it may go on from anywhere in it.
    """
    if isinstance(pattern, Characters):
        return False, 1, 1
    if isinstance(pattern, Repeat):
        nothing, first, widest = spread(pattern.part, unbounded)
        most = pattern.least + unbounded if pattern.most is None else pattern.most
        first *= most if nothing else min(most, 1)
        return nothing or pattern.least == 0, first, widest + first
    parts = [spread(part, unbounded) for part in pattern.parts]
    if isinstance(pattern, Alternatives):
        first = sum(each[1] for each in parts)
        return any(each[0] for each in parts), first, max(first, *(each[2] for each in parts))
    widest = follows = 0
    for nothing, first, within in reversed(parts):
        widest = max(widest, within + follows, first + follows)
        follows = first + (follows if nothing else 0)
    return all(each[0] for each in parts), follows, widest


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the pattern describes the whole text."""
    return len(text) in _ends(pattern, text, frozenset({0}))


def _ends(pattern: Pattern, text: str, starts: frozenset[int]) -> frozenset[int]:
    """Return where the pattern may end, if it starts at one of `starts`."""
    if isinstance(pattern, Characters):
        return frozenset(
            at + 1
            for at in starts
            if at < len(text) and any(a <= ord(text[at]) <= b for a, b in pattern.ranges)
        )
    if isinstance(pattern, Sequence):
        for part in pattern.parts:
            starts = _ends(part, text, starts)
        return starts
    if isinstance(pattern, Alternatives):
        return frozenset().union(*(_ends(part, text, starts) for part in pattern.parts))
    here = starts
    for _ in range(pattern.least):
        before, here = here, _ends(pattern.part, text, here)
        # What may match nothing only adds ends, what may not moves on: soon it is the same again.
        if here == before:
            break
    found = here
    left = len(text) + 1 if pattern.most is None else pattern.most - pattern.least
    for _ in range(left):
        here = _ends(pattern.part, text, here) - found
        if not here:
            break
        found |= here
    return found
