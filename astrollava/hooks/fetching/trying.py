"""Once more, and later each time: what is done about a service that is busy."""

from __future__ import annotations

import contextvars
import logging
import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from astrollava.errors import CorruptImage, FetchTimeout, ServiceError, UnreadableAnswer

__all__ = ["TRIES", "trying"]

T = TypeVar("T")

_log = logging.getLogger("astrollava.hooks")

#: How often a service is asked at most.
TRIES: Final = 4
#: Seconds before the second try; twice as long before each further one.
_PAUSE: Final = 0.5
_LONGEST: Final = 30.0
#: Too many requests, and what gateways say of a service that will be back.
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Seconds that a plugin may overrun its time before it is left behind.
_GRACE: Final = 2.0


def trying(
    call: Callable[[float], T], *, name: str, timeout: float, tries: int = TRIES
) -> tuple[T, int]:
    """Call until it works, as long as what goes wrong may pass and there is time.

    Parameters
    ----------
    call : callable
        Given the seconds that are left. It runs in a thread of its own and is left behind where it
        does not keep to them.
    name : str
        What the service is called in messages.
    timeout : float
        Seconds for all of it, waiting between the tries included.
    tries : int
        Calls at most.

    Returns
    -------
    result : object
        What it gave.
    tried : int
        How many calls that took.

    Raises
    ------
    FetchError, PluginError
        What the last call raised.
    """
    end = time.monotonic() + timeout
    for tried in range(1, tries + 1):
        left = end - time.monotonic()
        try:
            return _held(call, left, name), tried
        except (ServiceError, FetchTimeout) as error:
            pause = _pause(error, tried)
            if tried == tries or not _may_pass(error) or time.monotonic() + pause >= end:
                raise
            _log.info("%s: %s Trying again in %.1f s", name, error, pause)
        time.sleep(pause)
    raise AssertionError("unreachable")


def _may_pass(error: ServiceError | FetchTimeout) -> bool:
    if isinstance(error, FetchTimeout | UnreadableAnswer) or error.status in _PASSING:
        return True
    cause = error.__cause__
    if isinstance(cause, CorruptImage):
        return True  # half a file is what is left of a connection that broke off behind the service
    # Not a machine that is offline, or somebody else than it says.
    lasting = isinstance(cause, socket.gaierror | ssl.SSLCertVerificationError)
    return isinstance(cause, OSError) and not lasting and error.status is None


def _pause(error: ServiceError | FetchTimeout, tried: int) -> float:
    own = min(_LONGEST, _PAUSE * 2.0 ** (tried - 1))
    # Many who were turned away at once must not come back at once.
    own *= random.uniform(0.75, 1.25)  # noqa: S311 - nothing is kept secret with it
    asked = error.retry_after if isinstance(error, ServiceError) else None
    return max(own, asked or 0.0)


def _held(call: Callable[[float], T], seconds: float, name: str) -> T:
    """Call in a thread that can be left behind: a plugin may hang where nothing can wake it."""
    answers: queue.Queue[tuple[bool, Any]] = queue.Queue()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            answers.put((True, context.run(call, seconds)))
        except BaseException as error:
            answers.put((False, error))

    threading.Thread(target=run, name=f"astrollava-{name}", daemon=True).start()
    try:
        worked, answer = answers.get(timeout=max(0.0, seconds) + _GRACE)
    except queue.Empty:
        raise FetchTimeout(
            f"{name} did not keep to the {seconds:.3g} s allowed, and was left behind",
            hint="Try again later, or allow more time",
        ) from None
    if worked:
        return answer  # type: ignore[no-any-return]
    raise answer
