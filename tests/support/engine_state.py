"""What an engine's sequences hold, for tests: looked at, or forgotten, while it is at rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from astrollava.engine import Engine, Sampling
from astrollava.engine.slots import Slot
from tiny_pair import byte_token

__all__ = ["ENDLESS", "WITHOUT_END", "at_once", "at_rest", "forget", "held"]

#: Sizes of a pair that says one word again and again: random weights end when they please.
ENDLESS: Final[dict[str, Any]] = {
    "says": [byte_token(byte) for byte in b"spiral "],
    "merges": 1,
    "endless": True,
    "context": 4096,
}
#: What keeps it at work for many seconds on any machine.
WITHOUT_END: Final = Sampling(max_tokens=4000)


@contextmanager
def at_once(engine: Engine) -> Iterator[None]:
    """Let the engine find all that is begun in this block when it next looks for work.

    Else the first may be over before a busy machine comes to begin the last.
    """
    with engine._core.scheduler._changed:
        yield


def at_rest(engine: Engine, seconds: float = 60) -> Engine:
    """Wait until nothing is at work; a result is there a moment before its sequence is free."""
    scheduler, end = engine._core.scheduler, time.monotonic() + seconds
    while scheduler._jobs or scheduler._waiting:
        assert time.monotonic() < end, "the engine does not come to rest"
        time.sleep(0.001)
    return engine


def forget(engine: Engine) -> Engine:
    """Empty all sequences, as of an engine just loaded."""
    scheduler = at_rest(engine)._core.scheduler
    for slot in filter(None, (*scheduler.slots, scheduler._branching)):
        slot.clear()
    return engine


def held(engine: Engine) -> Slot:
    """Return the sequence that holds most."""
    return max(at_rest(engine)._core.scheduler.slots, key=lambda slot: slot.tokens)
