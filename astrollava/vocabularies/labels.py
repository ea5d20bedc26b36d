"""Label sets to classify with: Galaxy10 DECaLS, or labels of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from astrollava import _plugged
from astrollava.errors import InvalidRequest

__all__ = [
    "GALAXY10",
    "GALAXY_PRESENCE",
    "VOCABULARIES",
    "Presence",
    "Vocabulary",
    "from_labels",
    "get",
]

_QUESTION = "What type of galaxy is this?"


class Presence(NamedTuple):
    """How a model is asked whether there is anything to label at all.

    Attributes
    ----------
    question : str
        What it is asked.
    yes, no : str
        The exact answers that are scored against each other.
    """

    question: str
    yes: str
    no: str


#: Asks whether there is a galaxy, in the words of the embedded model.
GALAXY_PRESENCE = Presence(
    "Is there a galaxy?", "Yes, a galaxy is visible.", "No galaxy is visible in this picture."
)


@dataclass(frozen=True)
class Vocabulary:
    """A set of labels and the words by which a model is asked for them.

    Each label is scored by the probability of its answer text after the question.

    Attributes
    ----------
    name : str
        Name of the set, recorded in results; ``"custom"`` for one made by `from_labels`.
    labels : tuple of str
        At least two different labels, in the order of the data set.
    question : str
        What the model is asked.
    answers : mapping
        Label -> the exact text scored after the question, all different.
    descriptions : mapping
        Label -> features that tell the class, in words; may be empty.
    presence : Presence, optional
        Asks whether the picture shows anything that the labels are for.

    Raises
    ------
    InvalidRequest
        If there are fewer than two labels, if labels or answers repeat or are blank, or if
        `answers` or `descriptions` do not go with `labels`.

    Examples
    --------
    >>> from astrollava.vocabularies import GALAXY10
    >>> GALAXY10.answers["Barred Spiral Galaxies"]
    'A barred spiral galaxy.'
    """

    name: str
    labels: tuple[str, ...]
    question: str
    answers: Mapping[str, str] = field(hash=False)
    descriptions: Mapping[str, str] = field(default_factory=dict, hash=False)
    presence: Presence | None = None

    def __post_init__(self) -> None:
        labels = tuple(self.labels)
        _check_texts(labels, "label")
        if set(self.answers) != set(labels):
            raise InvalidRequest(
                f"the answers of vocabulary {self.name!r} are for {sorted(self.answers)}",
                expected=f"one answer for each of the labels {sorted(labels)}",
                hint="Give every label exactly one answer text",
            )
        _check_texts(tuple(self.answers.values()), "answer")
        if strange := sorted(set(self.descriptions) - set(labels)):
            raise InvalidRequest(
                f"vocabulary {self.name!r} describes {strange}, which are not among its labels",
                expected=f"descriptions of {sorted(labels)}",
                hint="Remove them or add the labels",
            )
        question: object = self.question
        if not isinstance(question, str) or not question.strip():
            raise InvalidRequest(
                f"the question of vocabulary {self.name!r} is {self.question!r}",
                expected="a text with at least one visible character",
                hint=f"For example {_QUESTION!r}",
            )
        ordered = {label: self.answers[label] for label in labels}
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "answers", MappingProxyType(ordered))
        object.__setattr__(self, "descriptions", MappingProxyType(dict(self.descriptions)))

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[object, ...]:
        # Mapping proxies cannot be pickled, and a vocabulary travels to worker processes.
        answers, descriptions = dict(self.answers), dict(self.descriptions)
        parts = (self.name, self.labels, self.question, answers, descriptions, self.presence)
        return (type(self), parts)


def _check_texts(texts: Sequence[object], what: str) -> None:
    """Raise unless there are two or more texts, none blank and no two alike."""
    if len(texts) < 2:
        raise InvalidRequest(
            f"the vocabulary has {'one' if texts else 'no'} {what}",
            expected="two or more",
            hint="Add at least one other class, for example 'other'",
        )
    seen: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InvalidRequest(
                f"{text!r} is no {what}",
                expected="strings with at least one visible character",
                hint=f"Write each {what} as words",
            )
        key = " ".join(text.split()).casefold()
        if key in seen:
            raise InvalidRequest(
                f"the {what}s {seen[key]!r} and {text!r} are alike",
                expected=f"{what}s that differ in more than case and spaces",
                hint="Their probabilities would share one text: remove one of them",
            )
        seen[key] = text


def _galaxy10() -> Vocabulary:
    # Names and features of the Galaxy10 DECaLS evaluation released with arXiv:2504.08583;
    # the answers are how the embedded model words the same classes.
    rows = (
        (
            "Disturbed Galaxies",
            "A disturbed galaxy.",
            "irregular shape, asymmetric, disturbed structure, unusual patterns, deformed",
        ),
        (
            "Merging Galaxies",
            "A merging pair of galaxies.",
            "multiple cores, interaction, tidal tails, bridges, overlapping",
        ),
        (
            "Round Smooth Galaxies",
            "A round smooth galaxy.",
            "circular, elliptical, smooth, regular, uniform brightness",
        ),
        (
            "In-between Round Smooth Galaxies",
            "An in-between smooth galaxy.",
            "somewhat round, partially smooth, mild irregularity, intermediate shape",
        ),
        (
            "Cigar Shaped Smooth Galaxies",
            "A cigar-shaped smooth galaxy.",
            "elongated, cigar-shaped, smooth, uniform, linear structure",
        ),
        (
            "Barred Spiral Galaxies",
            "A barred spiral galaxy.",
            "bar structure, spiral arms, central bar",
        ),
        (
            "Unbarred Tight Spiral Galaxies",
            "An unbarred tight spiral galaxy.",
            "tight spiral arms, no bar, well-defined arms, compact structure",
        ),
        (
            "Unbarred Loose Spiral Galaxies",
            "An unbarred loose spiral galaxy.",
            "loose spiral arms, no bar, open structure, widely spaced arms",
        ),
        (
            "Edge-on Galaxies without Bulge",
            "An edge-on galaxy without a bulge.",
            "edge-on, thin disk, no central bulge, linear structure",
        ),
        (
            "Edge-on Galaxies with Bulge",
            "An edge-on galaxy with a bulge.",
            "edge-on, central bulge, thick center, disk structure",
        ),
    )
    return Vocabulary(
        "galaxy10",
        tuple(label for label, _, _ in rows),
        _QUESTION,
        {label: answer for label, answer, _ in rows},
        {label: features for label, _, features in rows},
        GALAXY_PRESENCE,
    )


#: The ten classes of Galaxy10 DECaLS (Leung & Bovy; Walmsley et al. 2022), in its order.
GALAXY10 = _galaxy10()

#: Every vocabulary that `get` knows without plugins.
VOCABULARIES = (GALAXY10,)


def from_labels(
    labels: Sequence[str] | Mapping[str, str], *, question: str = _QUESTION, name: str = "custom"
) -> Vocabulary:
    """Make a vocabulary out of labels of one's own.

    Parameters
    ----------
    labels : sequence of str, or mapping
        Two or more labels; as a mapping, label -> answer text. Without answer texts a label is
        scored as a short sentence: its own words with a capital and a full stop.
    question : str
        What the model is asked.
    name : str
        Name under which results record the set.

    Returns
    -------
    Vocabulary

    Raises
    ------
    InvalidRequest
        If `labels` is a single string, has fewer than two labels, or has blank or like ones.

    Examples
    --------
    >>> from astrollava.vocabularies import from_labels
    >>> from_labels(["a star", "a galaxy"], question="What is this?").answers["a star"]
    'A star.'
    """
    if isinstance(labels, str) or not isinstance(labels, Sequence | Mapping):
        raise InvalidRequest(
            f"the labels are the {type(labels).__name__} {labels!r}",
            expected="a list of two or more strings, or a mapping label -> answer text",
            hint=f"For a set by its name use one of {', '.join(v.name for v in VOCABULARIES)}",
        )
    if isinstance(labels, Mapping):
        return Vocabulary(name, tuple(labels), question, dict(labels))
    _check_texts(labels, "label")
    return Vocabulary(name, tuple(labels), question, {label: _sentence(label) for label in labels})


def _sentence(label: str) -> str:
    words = " ".join(label.split())
    return words[0].upper() + words[1:] + ("" if words[-1] in ".!?" else ".")


def get(
    vocabulary: str | Vocabulary | Sequence[str] | Mapping[str, str],
    *,
    question: str | None = None,
) -> Vocabulary:
    """Return a vocabulary by its name, or made of the labels given.

    Parameters
    ----------
    vocabulary : str, Vocabulary, sequence of str, or mapping
        A name in `VOCABULARIES` or of a plugin's, a vocabulary (returned as it is), or what
        `from_labels` takes.
    question : str, optional
        Asked in the place of the vocabulary's own.

    Returns
    -------
    Vocabulary

    Raises
    ------
    InvalidRequest
        If there is no set of that name (the nearest is named), or as in `from_labels`.

    Examples
    --------
    >>> from astrollava import vocabularies
    >>> len(vocabularies.get("galaxy10"))
    10
    """
    if question is not None:
        own = get(vocabulary)
        return from_labels(own.answers, question=question, name=own.name)
    if isinstance(vocabulary, Vocabulary):
        return vocabulary
    if not isinstance(vocabulary, str):
        return from_labels(vocabulary)
    known = {v.name: v for v in VOCABULARIES}
    if vocabulary in known:
        return known[vocabulary]
    known |= {name: offer.value for name, offer in _plugged.offered("vocabularies").items()}
    if vocabulary in known:
        return known[vocabulary]
    near = difflib.get_close_matches(vocabulary.lower(), known, n=1)
    raise InvalidRequest(
        f"there is no vocabulary named {vocabulary!r}",
        expected=f"one of {', '.join(known)}, or a list of labels",
        hint=f"Did you mean {near[0]!r}?" if near else "Pass your own labels as a list",
    )
