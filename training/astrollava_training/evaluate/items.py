"""What a model is evaluated on: pictures, each with what is known about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import Vocabulary

__all__ = ["AS_IT_IS", "SPLITS", "Dataset", "Item", "View", "split_of"]

SPLITS = ("train", "val", "test")

#: Name of the view that every item has: the picture as it comes.
AS_IT_IS = "default"

#: Hundredths of the objects that go to validation and to test where the data name no split.
_VALIDATION, _TEST = 10, 10


@dataclass(frozen=True)
class View:
    """One of several ways to show the same object.

    Attributes
    ----------
    name : str
        For tables: ``"asinh"``, ``"jpeg"``.
    options : mapping
        Of reading and rendering.
    change : callable, optional
        Makes what is shown out of the item's source, such as an outreach JPEG.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Any], Any] | None = None

    def shown(self, item: Item) -> Any:
        """Return what is read for this view of an item."""
        source = item.load()
        return source if self.change is None else self.change(source)


@dataclass(frozen=True, eq=False)
class Item:
    """One picture.

    Attributes
    ----------
    id : str
        Its name in the data set, the same in every run.
    load : callable
        Returns what `astrollava.images.read` takes: nothing is read before it is needed.
    label : int or None
        Place of its class in the vocabulary; None where undecided.
    split : str
        One of `SPLITS`.
    truth : mapping of str to str
        Topic of `statements.TOPICS` -> value, as far as it is decided.
    group : str
        The object it shows: pictures of one object are no independent evidence.
    about : mapping
        What else the data say of it: redshift, position, votes.
    """

    id: str
    load: Callable[[], Any]
    label: int | None
    split: str
    truth: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Any:
        """What `astrollava.images.read` takes, fetched now."""
        return self.load()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures with a vocabulary.

    Attributes
    ----------
    name : str
        For reports.
    vocabulary : Vocabulary
        What the labels are places in.
    items : tuple of Item
        All splits together.
    facts : mapping
        Where it comes from: file, SHA-256, credit.
    counts : ndarray of float, shape (labels,), optional
        Published number of pictures in each class, for where no training split tells it.
    meanings : tuple of mapping
        Of each class of the vocabulary, what it says about a picture by itself, as `Item.truth`.
    views : tuple of View
        Further ways to show each object; the first table is about the picture as it comes.
    divided : bool
        Whether the data name splits; else those of the items are `split_of` their names.
    large : bool
        Whether a split is scored rather than every picture, even so.
    notes : tuple of str
        What readers of a report must know about the classes.
    """

    name: str
    vocabulary: Vocabulary
    items: tuple[Item, ...]
    facts: Mapping[str, Any]
    counts: NDArray[np.float64] | None = None
    meanings: tuple[Mapping[str, str], ...] = ()
    views: tuple[View, ...] = ()
    divided: bool = True
    large: bool = False
    notes: tuple[str, ...] = ()

    def usual_split(self, named: str) -> str:
        """Return the split that is scored where none is asked for.

        Data that name no splits, such as plain folders, are meant as a whole: ``"all"``.
        """
        return named if self.divided or self.large else "all"

    def split(self, name: str) -> tuple[Item, ...]:
        """Return the items of a split, or of ``"all"``."""
        return tuple(item for item in self.items if name in (item.split, "all"))

    def prior(self, scored: str = "test") -> NDArray[np.float64]:
        """Return class shares in the training split, else the published ones, else equal ones.

        One is added to each count: a class that training lacks is rare, not impossible.

        Parameters
        ----------
        scored : str
            The split that is scored, or ``"all"``: shares of pictures that are scored themselves
            would tell what they show.
        """
        labels = Counter(item.label for item in self._training(scored))
        counted = np.array([labels[i] for i in range(len(self.vocabulary))], np.float64)
        if not counted.any() and self.counts is not None:
            counted = self.counts
        share: NDArray[np.float64] = (counted + 1.0) / (counted + 1.0).sum()
        return share

    def prior_truths(self, scored: str = "test") -> tuple[Mapping[str, str], ...]:
        """Return what is decided about pictures like those scored, without a look at them.

        Of each picture of the training split; where there is none but what is scored, what each
        class says by itself, as often as it is published to come, or once.
        """
        known = tuple(item.truth for item in self._training(scored))
        if any(known):
            return known
        counts = (
            np.ones(len(self.meanings), int) if self.counts is None else self.counts.astype(int)
        )
        pairs = zip(self.meanings, counts, strict=True)
        return tuple(meaning for meaning, count in pairs for _ in range(count))

    def prior_source(self, scored: str = "test") -> str:
        """Return in words what `prior` and `prior_truths` are of."""
        if any(item.label is not None or item.truth for item in self._training(scored)):
            return "the training split"
        if self.counts is not None:
            return f"the published counts of {self.vocabulary.name}"
        return "equal shares of all classes, the first of them"

    def _training(self, scored: str) -> tuple[Item, ...]:
        return () if scored in ("train", "all") else self.split("train")

    def chosen(self, split: str, limit: int | None = None) -> tuple[Item, ...]:
        """Return the items of a split that are evaluated.

        Parameters
        ----------
        split : str
            One of `SPLITS`, or ``"all"``.
        limit : int, optional
            So many at most, of each class its share of the split: files are often sorted by class.
            A larger limit takes the same pictures and more.

        Raises
        ------
        InvalidRequest
            There are fewer than two.
        """
        if limit is not None and limit < 2:
            raise InvalidRequest(
                f"a limit of {limit} pictures", expected="2 at least, or none for all of them"
            )
        items = self.split(split)
        if limit is not None and limit < len(items):
            first = sorted(_order(items))[:limit]
            items = tuple(items[place] for place in sorted(place for *_, place in first))
        if len(items) < 2:
            there = Counter(item.split for item in self.items)
            raise InvalidRequest(
                f"split {split!r} of {self.name} has {len(items)} picture"
                + ("" if len(items) == 1 else "s"),
                expected="at least two",
                hint=("Its splits are" if self.divided else "It names none; by their names it has")
                + f" {', '.join(f'{name} {count}' for name, count in sorted(there.items()))}:"
                " take one of them, or 'all'",
            )
        return items

    def with_views(self, views: Sequence[View]) -> Dataset:
        """Return the same pictures, each also shown in other ways."""
        return replace(self, views=tuple(views))


def _order(items: Sequence[Item]) -> Iterator[tuple[float, int, int]]:
    """Yield when each item is taken, then what decides ties, then its place.

    However many come first, each class has about its share of them. Hashes of names decide the
    rest, without a seed: runs of other seeds are compared, too.
    """
    classes: dict[int | None, list[tuple[int, int]]] = {}
    for place, item in enumerate(items):
        classes.setdefault(item.label, []).append((_hashed(f"picture {item.id}"), place))
    for label, members in classes.items():
        # Each class begins elsewhere: small ones would never come before the large are half done.
        begin = _hashed(f"class {label}") / 2**64
        for rank, (tie, place) in enumerate(sorted(members)):
            yield (rank + begin) / len(members), tie, place


def split_of(name: str) -> str:
    """Return the split of an object by the hash of its name, the same for ever.

    One in ten is for validation and one in ten for the test.

    Examples
    --------
    >>> split_of("galaxy10-decals/00000")
    'train'
    """
    place = _hashed(name) % 100
    if place < _TEST:
        return "test"
    return "val" if place < _TEST + _VALIDATION else "train"


def _hashed(name: str) -> int:
    """Return a number below 2**64 that a name has for ever."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
