"""llama.cpp's three logs, routed to the ``astrollava`` logger and never to stderr."""

from __future__ import annotations

import atexit
import ctypes
import logging
from collections import deque
from typing import Any

__all__ = ["attach", "clear", "raise_interrupt", "tail"]

_log = logging.getLogger("astrollava")
# Without a handler of its own, Python would print our warnings to stderr.
_log.addHandler(logging.NullHandler())


class _Router:
    """Receives the log and remembers its end."""

    # ggml.h: none, debug, info, warn, error; 5 continues the line before. A sound load writes
    # hundreds of "info" lines and a few warnings about tokens: one level down is what they are.
    LEVELS = (logging.DEBUG, logging.DEBUG, logging.DEBUG, logging.INFO, logging.ERROR)
    CONTINUED = 5

    def __init__(self) -> None:
        self.recent: deque[tuple[int, str]] = deque(maxlen=200)
        self._level = logging.DEBUG
        self._line = ""
        self._callback: Any = None
        self._interrupted = False

    def attach(self, llama: Any, mtmd: Any) -> None:
        # Kept as an attribute: llama.cpp holds the bare pointer.
        self._callback = llama.llama_log_callback(self._receive)
        setters = (llama.llama_log_set, mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set)
        for setter in setters:
            setter(self._callback, ctypes.c_void_p(0))
        # Static destructors may log when Python is gone: by then nothing of Python may be called.
        # Any C function that ignores what it is given will do; null would print to stderr.
        silent = ctypes.cast(llama.llama_supports_mmap, llama.llama_log_callback)
        atexit.register(lambda: [setter(silent, ctypes.c_void_p(0)) for setter in setters])

    def _receive(self, level: int, text: bytes, _user: object) -> None:
        try:
            if level != self.CONTINUED:
                self._level = self.LEVELS[level] if 0 <= level < len(self.LEVELS) else logging.DEBUG
            self._line += text.decode("utf-8", "replace")
            if self._line.endswith("\n"):
                line, self._line = self._line.rstrip(), ""
                if line:
                    self.recent.append((self._level, line))
                    _log.log(self._level, "llama.cpp: %s", line)
        except KeyboardInterrupt:
            # An exception cannot cross llama.cpp's frames: ctypes would print and drop it.
            self._interrupted = True

    def raise_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt


_router = _Router()


def attach(llama: Any, mtmd: Any) -> None:
    """Take over the logs of the two libraries."""
    _router.attach(llama, mtmd)


def clear() -> None:
    """Forget the remembered log lines, before a call whose failure is to be explained."""
    _router.recent.clear()


def raise_interrupt() -> None:
    """Raise a Ctrl-C that arrived while llama.cpp was writing to its log."""
    _router.raise_interrupt()


def tail(lines: int = 4) -> str:
    """Return the last lines of llama.cpp's log, errors and warnings first in line.

    Parameters
    ----------
    lines : int
        How many lines at most.
    """
    recent = list(_router.recent)
    grave = [line for level, line in recent if level >= logging.INFO]
    return " / ".join((grave or [line for _, line in recent])[-lines:])
