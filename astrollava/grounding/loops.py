"""Finds where a text goes in circles."""

from __future__ import annotations

import re

from astrollava.results import Flag

__all__ = ["find_loops"]

_REASON = "The text goes in circles, as a model's does that has nothing to say."
_GAP, _WORD = r"[\s,.;:!?]", r"[^\s,.;:!?]"
#: One to twelve words, three times or more one after the other. Words and gaps have no character
#: in common, so that there is one way to read a text.
_LOOP = re.compile(
    rf"(?<!{_WORD})((?=[^\W\d_]){_WORD}+(?:{_GAP}+{_WORD}+){{0,11}}?)"
    rf"(?:{_GAP}+\1(?!{_WORD})){{2,}}",
    re.IGNORECASE,
)


def find_loops(text: str) -> tuple[Flag, ...]:
    """Find the same words three times or more in a row.

    Parameters
    ----------
    text : str
        What a model said.

    Returns
    -------
    tuple of Flag
        Of the kind ``"repetition"``, in the order of the text, without overlap.

    Examples
    --------
    >>> from astrollava.grounding import find_loops
    >>> [flag.text for flag in find_loops("It is, it is, it is round.")]
    ['It is, it is, it is']
    >>> find_loops("It has two arms and two bars.")
    ()
    """
    return tuple(
        Flag("repetition", match.start(), match.end(), match[0], _REASON)
        for match in _LOOP.finditer(text)
    )
