"""Features a galaxy has or has not, as yes-or-no questions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from astrollava_training.evaluate.collect import QUESTIONS
from astrollava_training.evaluate.statements import CONTRADICTION, read

__all__ = ["FEATURES", "features", "yes_or_no"]

#: Feature -> the question for it. The names are topics of `statements`.
FEATURES: Mapping[str, str] = {
    **{
        topic: QUESTIONS[topic]
        for topic in ("bar", "spiral", "edge_on", "merging", "disturbed", "ring")
    },
    "bulge": "Is there a bulge?",
    "dust_lane": "Is there a dust lane?",
}

_START = re.compile(
    r"\W*(?:(?:probably|perhaps|maybe),? )?(yes|no|not(?! (?:sure|certain|clear|possible)))\b"
)


def features(truth: Mapping[str, str]) -> dict[str, bool]:
    """Return which features are there and which are not, as far as it is decided.

    Parameters
    ----------
    truth : mapping
        Topic -> value, of `truth.truth`: what more than half of the voters say.

    Examples
    --------
    >>> features({"bar": "no", "bulge": "obvious", "arms": "2"})
    {'bar': False, 'bulge': True}
    """
    return {name: truth[name] not in ("no", "none") for name in FEATURES if name in truth}


def yes_or_no(text: str, feature: str) -> bool | None:
    """Return what an answer says, None where it says neither.

    The word it begins with decides; where that is neither yes nor no, what it states.

    Examples
    --------
    >>> yes_or_no("No, it is seen face-on.", "edge_on")
    False
    >>> yes_or_no("It has a small bulge.", "bulge")
    True
    """
    start = _START.match(text.lower())
    if start:
        return start[1] == "yes"
    said = read(text).get(feature)
    return None if said in (None, CONTRADICTION) else said not in ("no", "none")
