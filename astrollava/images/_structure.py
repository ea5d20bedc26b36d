"""A first look at a FITS file, before astropy believes what its headers say.

astropy makes a list of NAXIS numbers for every header it meets, so that one damaged card can cost
minutes and all memory. Only the sizes are read here; everything else is left to astropy.
"""

from __future__ import annotations

import math
import re
from typing import BinaryIO

from astrollava.errors import CorruptImage

__all__ = ["check_structure"]

_BLOCK = 2880
_CARD = 80
# No real header comes near 50,000 cards; without a bound, a file that lost its END card would be
# read whole as one header.
_MAX_HEADER = 4 * 1024 * 1024
_MAX_HDUS = 10_000
# The FITS standard (4.0, sections 4.4.1.1 and 7.3.1) allows 999 axes and 999 columns.
_MOST = 999
_COUNTS = (b"NAXIS   ", b"TFIELDS ", b"ZNAXIS  ")
_SIZES = re.compile(rb"(BITPIX|GCOUNT|PCOUNT|NAXIS\d*) *= *([+-]?\d+) *(?:/|$)")


def check_structure(file: BinaryIO, what: str) -> None:
    """Walk over the headers of a FITS file and refuse what would overwhelm its reader.

    Parameters
    ----------
    file : binary file
        Open at its start, seekable; back at its start afterwards.
    what : str
        The file in words, for errors.

    Raises
    ------
    CorruptImage
        If the first header does not end, or any header has an impossible number of axes or columns.
    """
    for number in range(_MAX_HDUS):
        cards = _read_header(file)
        if cards is None:
            if number == 0:
                raise CorruptImage(
                    f"{what} has no complete FITS header",
                    expected=f"an END card in the first {_MAX_HEADER:,} bytes",
                    hint="Fetch or copy the file again",
                )
            break
        for card in cards:
            if card[:8] in _COUNTS and _number(card) > _MOST:
                raise CorruptImage(
                    f"{what}: HDU {number} has {card[:8].decode().strip()} = {_number(card):,}",
                    expected=f"at most {_MOST}",
                    hint="Fetch or copy the file again",
                )
        size = _data_bytes(cards)
        if size is None:
            break
        file.seek(-(-size // _BLOCK) * _BLOCK, 1)
    file.seek(0)


def _read_header(file: BinaryIO) -> list[bytes] | None:
    cards: list[bytes] = []
    while len(cards) * _CARD < _MAX_HEADER:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            return None
        for start in range(0, _BLOCK, _CARD):
            card = block[start : start + _CARD]
            if card[:8].rstrip() == b"END":
                return cards
            cards.append(card)
    return None


def _number(card: bytes) -> int:
    found = re.match(rb"= *([+-]?\d+)", card[8:])
    return int(found[1]) if found else 0


def _data_bytes(cards: list[bytes]) -> int | None:
    """Return the size of the data that follow, or None where the header does not say."""
    values: dict[bytes, int] = {}
    for card in cards:
        found = _SIZES.match(card)
        if found:
            values.setdefault(found[1], int(found[2]))
    if b"BITPIX" not in values or b"NAXIS" not in values:
        return None
    sides = [values.get(b"NAXIS%d" % (axis + 1), -1) for axis in range(values[b"NAXIS"])]
    if any(side < 0 for side in sides):
        return None
    if len(sides) > 1 and sides[0] == 0:
        sides = sides[1:]  # random groups (section 6) write their first axis as zero
    elements = math.prod(sides) if sides else 0
    groups, extra = values.get(b"GCOUNT", 1), values.get(b"PCOUNT", 0)
    size = abs(values[b"BITPIX"]) // 8 * groups * (elements + extra)
    return size if 0 <= size < 2**62 else None
