"""Class names as people write them: which classes they mean, and what to say where that is unclear.

A model knows the classes of Galaxy10 by the words it was taught. So one name that is none of them
must not turn the others into strangers, and whatever was made of names is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from astrollava import vocabularies
from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10, Vocabulary, from_labels
from astrollava_training.data.facts import LABELS
from astrollava_training.evaluate.truth import truth_of_label

__all__ = ["OWN", "Classes", "check_stated", "class_place", "classes_of", "meanings_of", "truth_of"]

#: What is stated for labels of one's own, whatever they are called.
OWN: Final = "own"

#: Names told in a note before the rest is only counted.
_TOLD = 6


@dataclass(frozen=True)
class Classes:
    """What some class names mean.

    Attributes
    ----------
    vocabulary : Vocabulary
        The classes a model chooses between.
    places : mapping of str to int
        Name as written -> its place in the vocabulary; names that have none are left out.
    notes : tuple of str
        What whoever reads the scores must know about the names.
    """

    vocabulary: Vocabulary
    places: Mapping[str, int]
    notes: tuple[str, ...] = ()


def classes_of(names: Iterable[str] | Mapping[str, int], stated: str | None = None) -> Classes:
    """Return the classes that names mean.

    Parameters
    ----------
    names : iterable of str, or mapping of str to int
        One for each picture, or name -> number of its pictures.
    stated : str, optional
        The name of a vocabulary, such as ``"galaxy10"``: pictures of other names have no class. Or
        `OWN`: every name is a class as it is written. Without it, names that are all in Galaxy10
        DECaLS, as published or as this project writes them (``barred_spiral``), give `GALAXY10`;
        where more than half of them are, the others become classes beside its ten; else all are
        taken as they are written.

    Raises
    ------
    InvalidRequest
        There are fewer than two classes, or the vocabulary stated is unknown or has none of them.
    """
    counts = Counter(names)
    if stated == OWN:
        return _own(counts)
    if stated is not None:
        try:
            vocabulary = vocabularies.get(stated)
        except InvalidRequest as error:
            # No list of labels can be given here, and `OWN` can.
            kinds = error.expected.partition(", or")[0]
            raise InvalidRequest(error.problem, expected=f"{kinds}, or {OWN}") from None
        return _stated(counts, vocabulary)
    known = _known(counts, GALAXY10)
    strange = [name for name in sorted(counts) if name not in known]
    if known and not strange:
        return Classes(GALAXY10, known)
    if len(known) > len(strange):
        return _joined(counts, known, strange)
    note = ""
    if known:
        note = (
            f"{len(known)} of {len(counts)} classes are named as in galaxy10"
            f" ({_listed(sorted(known))}), the others are not: every name is taken as it is"
            " written. --vocabulary galaxy10 keeps to those of galaxy10, and leaves the other"
            " pictures without a class"
        )
    elif counts and all(name.strip().isdigit() for name in counts):
        note = (
            "the classes are named by numbers, which say nothing to a model."
            " --vocabulary galaxy10 takes them as the numbers of Galaxy10 DECaLS, from 0 to 9"
        )
    return _own(counts, note)


def check_stated(path: Path, vocabulary: Vocabulary, stated: str | None) -> Vocabulary:
    """Return the vocabulary of data that leave no choice of it.

    Raises
    ------
    InvalidRequest
        Another one is stated.
    """
    if stated not in (None, vocabulary.name):
        raise InvalidRequest(
            f"the classes of {path} are those of {vocabulary.name}, not of {stated!r}",
            hint="Leave out --vocabulary: it is for folders, Parquet files and tables of labels",
        )
    return vocabulary


def class_place(name: str, vocabulary: Vocabulary = GALAXY10) -> int | None:
    """Return the place of a class in a vocabulary by any of its names, None for no such name."""
    key = _words(name)
    for i, names in enumerate(_names(vocabulary)):
        if key in map(_words, names):
            return i
    return None


def truth_of(vocabulary: Vocabulary, label: int | None) -> Mapping[str, str]:
    """Return what a class says about a galaxy by itself; nothing for classes of one's own."""
    if label is None or vocabulary.labels[label] not in GALAXY10.labels:
        return {}
    return truth_of_label(LABELS[GALAXY10.labels.index(vocabulary.labels[label])])


def meanings_of(vocabulary: Vocabulary) -> tuple[Mapping[str, str], ...]:
    """Return `truth_of` of each class."""
    return tuple(truth_of(vocabulary, label) for label in range(len(vocabulary)))


def _own(counts: Mapping[str, int], note: str = "") -> Classes:
    names = sorted(counts)
    if len(names) < 2:
        raise InvalidRequest(f"the classes are {names}", expected="at least two classes")
    vocabulary = from_labels([_label(name) for name in names])
    return Classes(vocabulary, {name: i for i, name in enumerate(names)}, (note,) if note else ())


def _stated(counts: Mapping[str, int], vocabulary: Vocabulary) -> Classes:
    known = _known(counts, vocabulary)
    if not known and all(name.strip().isdigit() for name in counts):
        numbers = {name: int(name) for name in counts}
        known = {name: i for name, i in numbers.items() if i < len(vocabulary)}
    if not known:
        raise InvalidRequest(
            f"no class is named as in {vocabulary.name}: {_listed(sorted(counts))}",
            expected=", ".join(names[-1] for names in _names(vocabulary)),
            hint=f"Rename them, or take the names as they are with --vocabulary {OWN}",
        )
    strange = [name for name in sorted(counts) if name not in known]
    if not strange:
        return Classes(vocabulary, known)
    note = (
        f"{_strangers(strange, counts, vocabulary)} {_is(strange)} no class of {vocabulary.name}:"
        " these pictures count as without a class"
    )
    return Classes(vocabulary, known, (note,))


def _joined(counts: Mapping[str, int], known: Mapping[str, int], strange: list[str]) -> Classes:
    """Keep the classes of Galaxy10 in the words that models know, and put the others beside."""
    extra = {name: _label(name) for name in strange}
    plain = from_labels([*GALAXY10.labels, *extra.values()]).answers
    vocabulary = from_labels(
        {**plain, **GALAXY10.answers}, question=GALAXY10.question, name=f"{GALAXY10.name} and {OWN}"
    )
    vocabulary = replace(vocabulary, descriptions=GALAXY10.descriptions)
    places = {name: vocabulary.labels.index(label) for name, label in extra.items()}
    note = (
        f"{len(known)} of {len(counts)} classes are named as in galaxy10,"
        f" {_strangers(strange, counts, GALAXY10)} {_is(strange)} not, and became"
        f" {'a class' if len(strange) == 1 else 'classes'} beside its ten. Rename what is misspelt;"
        " or --vocabulary galaxy10 leaves such pictures without a class, and --vocabulary own takes"
        " every name as it is written"
    )
    return Classes(vocabulary, {**known, **places}, (note,))


def _known(counts: Iterable[str], vocabulary: Vocabulary) -> dict[str, int]:
    places = {name: class_place(name, vocabulary) for name in counts}
    return {name: place for name, place in places.items() if place is not None}


def _names(vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """Return the names each class may have, the one to tell people last."""
    if vocabulary is GALAXY10:
        return list(zip(GALAXY10.labels, LABELS, strict=True))
    return [(label,) for label in vocabulary.labels]


def _strangers(names: list[str], counts: Mapping[str, int], vocabulary: Vocabulary) -> str:
    """Return names that are none of a vocabulary's, with what they may have been meant for."""
    by_words = {_words(name): names[-1] for names in _names(vocabulary) for name in names}
    told = []
    for name in names[:_TOLD]:
        near = get_close_matches(_words(name), by_words, n=3, cutoff=0.6)
        like = " or ".join(dict.fromkeys(by_words[words] for words in near))
        pictures = f"{counts[name]} picture{'' if counts[name] == 1 else 's'}"
        told.append(f"{name!r} ({pictures}{f'; like {like}' if like else ''})")
    more = len(names) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _listed(names: list[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(map(repr, names[:_TOLD])) + (f" and {more} more" if more > 0 else "")


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _label(name: str) -> str:
    return name.replace("_", " ")


def _words(name: str) -> str:
    """Return what two ways to write a class have in common."""
    words = re.split(r"[\s_-]+", name.strip().lower())
    return " ".join(word for word in words if word not in ("galaxy", "galaxies"))
