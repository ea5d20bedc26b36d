"""Ctrl-C at any moment: never lost, never a traceback, and the cursor comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from astrollava.cli._terminal import is_interactive

__all__ = ["INTERRUPTED", "keep_interrupts", "stop_at_once"]

#: The exit code of a shell's command that Ctrl-C stopped.
INTERRUPTED = 130
_SHOW_CURSOR = b"\x1b[?25h"
# Long enough for the code that swallowed the interrupt to return.
_LATER_SECONDS = 0.02


@contextlib.contextmanager
def keep_interrupts() -> Iterator[None]:
    """Deliver a Ctrl-C again that Python could not raise where it came.

    In a callback of ctypes, a destructor or a weak reference, `KeyboardInterrupt` is printed as
    "ignored" and dropped: the command would go on.
    """
    usual = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            usual(unraisable)
            return
        again = threading.Timer(_LATER_SECONDS, signal.raise_signal, [signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def stop_at_once() -> NoReturn:
    """Leave after a Ctrl-C, without the clean-up in which another one could print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if is_interactive():
        # Rich hides the cursor while a card is drawn, and may have been cut off before it
        # could show it again.
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    os._exit(INTERRUPTED)
