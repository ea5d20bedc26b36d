"""Ask the same of many pictures, keeping every answer as soon as it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, Model, Query, Reply

__all__ = ["Change", "Heard", "ask", "ask_readable", "check_enough"]

#: Makes what is shown out of what an item loads.
Change = Callable[[Any], Any]


def ask(
    model: Model,
    items: Sequence[Item],
    journal: Journal,
    step: str,
    *,
    say: Sequence[str] = (),
    score: Sequence[Choice] | Callable[[Item], Sequence[Choice]] = (),
    change: Change | None = None,
    max_tokens: int = 200,
    unreadable: bool = False,
) -> list[Reply]:
    """Return a reply for each item, from the journal where it has one.

    Parameters
    ----------
    model : Model
    items : sequence of Item
    journal : Journal
        Keeps the answers.
    step : str
        Under what name it does, together with the item's id: what is asked must go with it.
    say, max_tokens
        As for `Query`.
    score : sequence of Choice or callable
        As for `Query`, or a function that gives the choices of an item.
    change : callable, optional
        Makes what is shown out of the item's source.
    unreadable : bool
        Whether pictures may be, and their replies say so.

    Raises
    ------
    InvalidRequest
        A picture cannot be read, and that is not allowed.
    """
    missing = [item for item in items if journal.get(step, item.id) is None]

    def queries() -> Iterator[Query]:
        for item in missing:
            source = item.load if change is None else partial(_changed, item, change)
            choices = score(item) if callable(score) else score
            yield Query(source, tuple(say), tuple(choices), max_tokens)

    asked = tqdm(model.answer(queries()), step, len(missing), unit="image", disable=None)
    for item, reply in zip(missing, asked, strict=True):
        if reply.error and not unreadable:
            raise InvalidRequest(f"{item.id}: {reply.error}", hint="Leave the picture out")
        journal.add(step, item.id, reply)
    return [journal.get(step, item.id) or Reply() for item in items]


@dataclass(frozen=True)
class Heard:
    """What a model said about the pictures that could be read.

    Attributes
    ----------
    items : tuple of Item
        Those pictures.
    replies : tuple of Reply
        One for each of them.
    unread : mapping
        Id of a picture that could not be read -> why.
    """

    items: tuple[Item, ...]
    replies: tuple[Reply, ...]
    unread: Mapping[str, str]


def ask_readable(
    model: Model,
    items: Sequence[Item],
    journal: Journal,
    step: str,
    *,
    say: Sequence[str] = (),
    score: Sequence[Choice] = (),
) -> Heard:
    """Ask as `ask` does, of the pictures that can be read.

    Parameters
    ----------
    model, items, journal, step, say, score
        As for `ask`. The journal keeps what could not be read, too: it is not tried again.

    Raises
    ------
    InvalidRequest
        As `check_enough`.
    """
    replies = ask(model, items, journal, step, say=say, score=score, unreadable=True)
    sound = [(item, reply) for item, reply in zip(items, replies, strict=True) if not reply.error]
    unread = {
        item.id: reply.error for item, reply in zip(items, replies, strict=True) if reply.error
    }
    check_enough(len(sound), unread)
    return Heard(tuple(item for item, _ in sound), tuple(reply for _, reply in sound), unread)


def check_enough(read: int, unread: Mapping[str, str]) -> None:
    """Refuse to score what is left of pictures where nearly none can be read.

    Raises
    ------
    InvalidRequest
        Fewer than two can be.
    """
    if read < 2:
        why = "".join(f": {name}: {reason}" for name, reason in list(unread.items())[:1])
        raise InvalidRequest(
            f"{read} of {read + len(unread)} pictures can be read{why}", expected="at least two"
        )


def _changed(item: Item, change: Change) -> Any:
    return change(item.load())
