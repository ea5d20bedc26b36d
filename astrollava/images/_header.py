"""What a header says about an image, with nothing in it trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

__all__ = ["band_names", "keywords", "text"]

_MAX_TEXT = 80
_MAX_NAME = 16
# Lines of credit are long; an address that is cut is of no use.
_MAX_ORIGIN = 1000
# A header names filters, not the channels of a spectral cube.
_MOST_BANDS = 99

#: Our name -> the keywords that carry it, first found wins.
_KEYWORDS = {
    "object": ("OBJECT", "TARGNAME", "TARGET"),
    "telescope": ("TELESCOP",),
    "instrument": ("INSTRUME",),
    "survey": ("SURVEY",),
    "filter": ("FILTER", "BAND", "FILTER1"),
    "date": ("DATE-OBS",),
    "exposure": ("EXPTIME",),
}

#: The same of where an image is from, as `astrollava.hooks.fetching.saving` writes it.
_ORIGIN = {
    "url": ("SRCURL",),
    "credit": ("CREDIT",),
    "licence": ("LICENCE", "LICENSE"),
}

_NO_FILTER = re.compile(r"(clear\w*|none|open|empty|n/?a|null|0|unknown)?", re.IGNORECASE)


def text(value: Any, limit: int = _MAX_TEXT) -> str:
    """Return printable text of at most `limit` characters on one line."""
    words = "".join(c if c.isprintable() else " " for c in str(value or "")[: 4 * limit]).split()
    joined = " ".join(words)
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def keywords(header: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the few facts worth keeping, as short text or finite numbers."""
    found: dict[str, Any] = {}
    for name, keys in _KEYWORDS.items():
        for key in keys:
            value = _get(header, key)
            if isinstance(value, str) and text(value):
                found[name] = text(value)
                break
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
                if math.isfinite(number):
                    found[name] = number
                    break
    for name, keys in _ORIGIN.items():
        for value in map(partial(_get, header), keys):
            if isinstance(value, str) and text(value):
                found[name] = text(value, _MAX_ORIGIN)
                break
    return found


def band_names(header: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Name the `count` planes of an image from its header.

    ``BAND0``, ``BAND1`` ... (also counted from 1, also ``FILTER``), a ``BANDS`` string with one
    letter or one comma-separated name a plane, ``CTYPE3 = 'RGB'``; for a single plane ``FILTER``
    and its many spellings.

    Returns
    -------
    tuple of str or None
        None where the header does not say.
    """
    if count == 1:
        for key in ("FILTER", "BAND", "FILTER1", "FILTER2", "FILTNAM1", "FILTERS"):
            name = _name(_get(header, key))
            if name:
                return (name,)
        return None
    if count > _MOST_BANDS:
        return None
    for stem in ("BAND", "FILTER"):
        for first in (0, 1):
            names = [_name(_get(header, f"{stem}{first + n}")) for n in range(count)]
            if all(names):
                return tuple(names)
    for key in ("BANDS", "FILTERS", "FILTER"):
        value = text(_get(header, key))
        pieces = re.split(r"[,;\s]+", value) if re.search(r"[,;\s]", value) else list(value)
        if len(pieces) == count:
            return tuple(text(piece, _MAX_NAME) for piece in pieces)
    if count == 3 and text(_get(header, "CTYPE3")).upper().startswith("RGB"):
        return ("R", "G", "B")
    return None


def _name(value: Any) -> str:
    """Return the filter of a value such as ``'g DECam SDSS c0001 4720.0 1520.0'``, or nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    first = text(value).split(" ")[0]
    return "" if _NO_FILTER.fullmatch(first) else text(first, _MAX_NAME)


def _get(header: Mapping[str, Any], key: str) -> Any:
    try:
        value = header.get(key)
    except Exception:  # a card that cannot be parsed costs its own value only
        return None
    return value if isinstance(value, str | int | float) else None
