"""What an engine's sequences hold, for tests: looked at, or forgotten, while it is at rest."""

from __future__ import annotations

import time

from astrollava.engine import Engine
from astrollava.engine.slots import Slot

__all__ = ["at_rest", "forget", "held"]


def at_rest(engine: Engine, seconds: float = 30) -> Engine:
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
