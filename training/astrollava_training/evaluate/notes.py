"""What has to be said before any score: which pictures, how many, and what was made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from astrollava_training.evaluate.items import Dataset, Item

__all__ = ["FEW", "FEWEST_TO_FIT", "notes_of", "notes_of_unread", "why_unfitted"]

#: Fewer pictures than these are told to be few: half the interval of a share is 0.18 and more.
FEW: Final = 30

#: Pictures of the validation split that a temperature is fitted on at least.
FEWEST_TO_FIT: Final = 20

#: Pictures that could not be read, named at most, and characters of each and of why.
_NAMED, _LONGEST = 5, 200


def notes_of(
    data: Dataset, split: str, items: Sequence[Item], unread: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return what readers of the scores must know.

    Parameters
    ----------
    data : Dataset
        What was opened.
    split : str
        What of it is scored.
    items : sequence of Item
        The pictures scored.
    unread : mapping, optional
        Id of a picture that could not be read -> why. None where that is not known yet, and the
        pictures may turn out to be fewer.
    """
    found = [*data.notes, *notes_of_unread(unread or {})]
    if not data.divided and split == "all":
        scored, they = (
            (f"{len(items)} of {len(data.items)} pictures are", "they")
            if len(items) < len(data.items)
            else ("every picture is", "it")
        )
        if_read = f", if {they} can be read" if unread is None else ""
        found.append(f"the data name no splits: {scored} scored{if_read}")
    elif not data.divided:
        found.append(
            f"the data name no splits: {split!r} are the {len(data.split(split))} of"
            f" {len(data.items)} pictures that a hash of their names chooses; --split all scores"
            " every picture"
        )
    labelled = sum(item.label is not None for item in items)
    if labelled < FEW:
        if_read = ", if all can be read" if unread is None else ""
        found.append(
            f"only {labelled} pictures with a class are scored{if_read}: a share of so few says"
            " little, whatever it is"
        )
    return tuple(found)


def notes_of_unread(unread: Mapping[str, str]) -> tuple[str, ...]:
    """Return which pictures could not be read, and why; nothing where all could.

    Parameters
    ----------
    unread : mapping
        Id of each -> why.
    """
    if not unread:
        return ()
    named = "; ".join(
        f"{_one_line(name)!r} ({_one_line(why)})" for name, why in list(unread.items())[:_NAMED]
    )
    count, more = len(unread), len(unread) - _NAMED
    return (
        f"{count} picture{'s' if count > 1 else ''} could not be read and"
        f" count{'' if count > 1 else 's'} nowhere: {named}"
        + (f"; and {more} more, which the JSON report names under 'unread'" if more > 0 else ""),
    )


def _one_line(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…"


def why_unfitted(data: Dataset, split: str) -> str:
    """Return why no temperature can be fitted for a split, nothing where one can.

    A temperature is fitted on ``val``, and never on pictures that are scored.
    """
    if split == "all":
        return (
            "every picture is scored, and it is fitted on others only. With --split test it is"
            " fitted on those of 'val'"
        )
    if split == "val":
        return "it is fitted on 'val', whose pictures are those scored here"
    count = sum(item.label is not None for item in data.split("val"))
    if count < FEWEST_TO_FIT:
        return f"'val' has {count} pictures with a class, and it takes {FEWEST_TO_FIT}"
    return ""
