"""SIGTERM and SIGHUP as orderly as Ctrl-C, for commands that write gigabytes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

__all__ = ["ending_in_order"]

_NAMES: Final = ("SIGTERM", "SIGHUP")


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Let both signals unwind the command, which removes what is unfinished.

    The process then ends with 128 and the signal's number: 143 and 129.
    """
    wanted = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    # One that is ignored was meant to be: by nohup.
    caught = [number for number in wanted if signal.getsignal(number) is signal.SIG_DFL]

    def leave(number: int, frame: FrameType | None) -> None:
        for again in caught:
            # A second one must not stop the removing.
            signal.signal(again, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in caught:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
