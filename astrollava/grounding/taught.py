"""Tells questions a small model was taught to answer from those it was not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from astrollava.results import Flag

__all__ = ["find_untaught", "untaught_words"]

_WORDS = re.compile(r"[^\W\d_]+")
#: Words that say nothing of what is asked about.
_EMPTY = frozenset(
    _WORDS.findall("""
    a about all also am an and any are as at be been being both but by can could did do does
    each either else ever few for from get give given had has have here how i if image in is it
    its itself just let like look looks me more most much my no nor not now of off on one only
    or other our out over own photo picture please quite rather say see seem seems seen shall
    she should show shown shows so some still such tell than that the their them then there
    these they this those to too us very visible was we were what when where whether which while
    who whom whose why will with within without would yes you your
    """)
)


def untaught_words(question: str, taught: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a question that stand in none of those a model was taught to answer.

    Parameters
    ----------
    question : str
        What is asked.
    taught : sequence of str
        All questions the model learned an answer to.

    Returns
    -------
    tuple of str
        In the order of the question, each once; without words such as "is" and "any", that say
        nothing of what is asked about.

    Examples
    --------
    >>> from astrollava.grounding import untaught_words
    >>> untaught_words("Does it have any tidal tails?", ["Does it have a bar?", "Is it round?"])
    ('tidal', 'tails')
    """
    known = _stems(tuple(taught))
    words = dict.fromkeys(_WORDS.findall(question))
    return tuple(w for w in words if w.lower() not in _EMPTY and _stem(w) not in known)


def find_untaught(text: str, question: str, taught: Sequence[str]) -> tuple[Flag, ...]:
    """Flag an answer to a question that a model was not taught to answer.

    Parameters
    ----------
    text : str
        The answer.
    question, taught
        As for `untaught_words`; without ``taught`` nothing is flagged, since nothing is known.

    Returns
    -------
    tuple of Flag
        One of the kind ``"untaught"`` of the whole text, or none.
    """
    words = untaught_words(question, taught) if taught and text else ()
    if not words:
        return ()
    named = ", ".join(f"“{word}”" for word in words[:4])
    reason = f"The model was never taught to answer about {named}."
    return (Flag("untaught", 0, len(text), text, reason),)


def _stem(word: str) -> str:
    """Return a word without what makes it many."""
    return re.sub("(?<=..)(ies|y|es|s)$", "", word.lower())


@lru_cache(maxsize=8)
def _stems(questions: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_stem(word) for question in questions for word in _WORDS.findall(question))
