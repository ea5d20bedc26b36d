"""Sets of characters: which a string may hold, and how a grammar writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["ANY", "WRITABLE", "Ranges", "complement", "merged", "quoted", "within", "written"]

#: Code points from the first to the last of each pair, in order, none twice.
Ranges: TypeAlias = tuple[tuple[int, int], ...]

#: What a string in JSON can mean at all: the halves of surrogate pairs are no characters.
ANY: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
#: What a model may write: no control characters but tab and line feed, no non-characters, and not
#: U+FFFD, which stands for bytes that are no text.
WRITABLE: Ranges = (
    (0x09, 0x0A), (0x20, 0x7E), (0xA0, 0xD7FF), (0xE000, 0xFDCF), (0xFDF0, 0xFFFC),
    (0x10000, 0x10FFFD),
)  # fmt: skip

_ESCAPED = frozenset({*range(0x20), ord('"'), ord("\\")})


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Put ranges in order, joined where they touch."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return tuple(out)


def complement(ranges: Ranges) -> Ranges:
    """Return all characters that are not in `ranges`."""
    out = []
    for first, last in ANY:
        at = first
        for low, high in ranges:
            if high < at or low > last:
                continue
            if low > at:
                out.append((at, low - 1))
            at = high + 1
        if at <= last:
            out.append((at, last))
    return tuple(out)


def within(one: Ranges, other: Ranges) -> Ranges:
    """Return the characters that are in both."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return merged((first, last) for first, last in pairs if first <= last)


def written(ranges: Ranges) -> str:
    """Write, in GBNF, one character of a JSON string that means one of `ranges`.

    Returns
    -------
    str
        A term that may be repeated; empty if there is no such character that may be written.
    """
    usable = within(ranges, WRITABLE)
    escaped = [c for c in sorted(_ESCAPED) if any(a <= c <= b for a, b in usable)]
    plain = within(usable, complement(merged((c, c) for c in _ESCAPED)))
    terms = [f"[{''.join(_range(first, last) for first, last in plain)}]"] if plain else []
    terms += [quoted(json.dumps(chr(c))[1:-1]) for c in escaped]
    return terms[0] if len(terms) == 1 else f"({' | '.join(terms)})" if terms else ""


def _range(first: int, last: int) -> str:
    return _code(first) if first == last else f"{_code(first)}-{_code(last)}"


def _code(point: int) -> str:
    """Write a character so that nothing about it can mean anything else in GBNF."""
    character = chr(point)
    if point < 0x7F and character.isalnum():
        return character
    return f"\\x{point:02X}" if point < 0x100 else f"\\U{point:08X}"


def quoted(text: str) -> str:
    r"""Write, in GBNF, exactly this text.

    Examples
    --------
    >>> print(quoted('a "b"'))
    "a\x20\x22b\x22"
    """
    return f'"{"".join(_code(ord(character)) for character in text)}"'
