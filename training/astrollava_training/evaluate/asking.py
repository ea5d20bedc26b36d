"""Ask the same of many pictures, keeping every answer as soon as it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tqdm import tqdm

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, Model, Query, Reply

__all__ = ["Change", "ask"]

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

    Raises
    ------
    InvalidRequest
        A picture cannot be read.
    """
    missing = [item for item in items if journal.get(step, item.id) is None]

    def queries() -> Iterator[Query]:
        for item in missing:
            source = item.load if change is None else partial(_changed, item, change)
            choices = score(item) if callable(score) else score
            yield Query(source, tuple(say), tuple(choices), max_tokens)

    asked = tqdm(model.answer(queries()), step, len(missing), unit="image", disable=None)
    for item, reply in zip(missing, asked, strict=True):
        if reply.error:
            raise InvalidRequest(f"{item.id}: {reply.error}", hint="Leave the picture out")
        journal.add(step, item.id, reply)
    return [journal.get(step, item.id) or Reply() for item in items]


def _changed(item: Item, change: Change) -> Any:
    return change(item.load())
