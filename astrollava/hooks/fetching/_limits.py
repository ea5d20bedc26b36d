"""How often and how much at a time a host is asked."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["at_most", "courtesy", "retry_after", "take_turn"]

#: Requests a second where a fetcher says nothing else.
_RATE: Final = 10.0

_rate: ContextVar[float] = ContextVar("astrollava_rate", default=_RATE)
_lock = threading.Lock()
#: Host -> when it may be asked again.
_next: dict[str, float] = {}
#: Name -> how many are at it, and what is told when one is done.
_busy: dict[str, int] = {}
_done = threading.Condition()


@contextmanager
def courtesy(rate: float) -> Iterator[None]:
    """Ask each host at most `rate` times a second within."""
    token = _rate.set(rate)
    try:
        yield
    finally:
        _rate.reset(token)


def take_turn(host: str) -> None:
    """Wait until the host may be asked."""
    pause = 1.0 / _rate.get()
    with _lock:
        now = time.monotonic()
        mine = max(now, _next.get(host, 0.0))
        _next[host] = mine + pause
    if mine > now:
        time.sleep(mine - now)


@contextmanager
def at_most(count: int, name: str) -> Iterator[None]:
    """Let no more than `count` threads in at a time under this name."""
    with _done:
        _done.wait_for(lambda: _busy.get(name, 0) < count)
        _busy[name] = _busy.get(name, 0) + 1
    try:
        yield
    finally:
        with _done:
            _busy[name] -= 1
            _done.notify_all()


def retry_after(said: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or None.

    Examples
    --------
    >>> retry_after("120"), retry_after("soon")
    (120.0, None)
    """
    if said is None:
        return None
    said = said.strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())
