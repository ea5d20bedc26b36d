"""llama.cpp's three logs, routed to the ``astrollava`` logger and never to stderr."""

from __future__ import annotations

import ctypes
import logging
import re
import signal
import threading
from collections import deque
from types import FrameType
from typing import Any

__all__ = ["Captured", "attach", "buffer_sizes", "clear", "tail"]

_log = logging.getLogger("astrollava")
# Without a handler of its own, Python would print our warnings to stderr.
_log.addHandler(logging.NullHandler())


#: "llama_kv_cache:        CPU KV buffer size =    12.00 MiB"
_SIZE = re.compile(r"(\w+) buffer size = *([0-9.]+) MiB")


class _Router:
    """Receives the logs while some thread captures them, and remembers their end."""

    # ggml.h: none, debug, info, warn, error; 5 continues the line before. A sound load writes
    # hundreds of "info" lines and a few warnings about tokens: one level down is what they are.
    LEVELS = (logging.DEBUG, logging.DEBUG, logging.DEBUG, logging.INFO, logging.ERROR)
    CONTINUED = 5

    def __init__(self) -> None:
        self.recent: deque[tuple[int, str]] = deque(maxlen=200)
        self.sizes: deque[tuple[str, int]] = deque(maxlen=200)
        self._level = logging.DEBUG
        self._line = ""
        self._setters: tuple[Any, ...] = ()
        self._lock = threading.Lock()
        self._captures = 0

    def attach(self, llama: Any, mtmd: Any) -> None:
        """Take the logs over, from now to the end of the process."""
        # Both are kept as attributes: llama.cpp holds the bare pointers.
        self._receiver = llama.llama_log_callback(self._receive)
        # Any C function that ignores what it is given is a silent log; null would print to stderr.
        # It is safe where Python is not: in static destructors, when the interpreter is gone.
        self._silence = ctypes.cast(llama.llama_supports_mmap, llama.llama_log_callback)
        self._setters = (llama.llama_log_set, mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set)
        self._set(self._silence)

    def _set(self, callback: Any) -> None:
        for setter in self._setters:
            setter(callback, ctypes.c_void_p(0))

    def capture(self) -> None:
        """Receive logs from now on."""
        with self._lock:
            self._captures += 1
            if self._captures == 1:
                self._set(self._receiver)

    def release(self) -> None:
        """Receive no more, once every `capture` is released."""
        with self._lock:
            self._captures -= 1
            if self._captures == 0:
                self._set(self._silence)

    def _receive(self, level: int, text: bytes, _user: object) -> None:
        if level != self.CONTINUED:
            self._level = self.LEVELS[level] if 0 <= level < len(self.LEVELS) else logging.DEBUG
        self._line += text.decode("utf-8", "replace")
        if self._line.endswith("\n"):
            line, self._line = self._line.rstrip(), ""
            if line:
                self.recent.append((self._level, line))
                if size := _SIZE.search(line):
                    self.sizes.append((size[1], int(float(size[2]) * 2**20)))
                _log.log(self._level, "llama.cpp: %s", line)


_router = _Router()


class Captured:
    """Route the logs while in this block, and let Ctrl-C wait for its end.

    A KeyboardInterrupt raised in a callback that C calls cannot travel through the C frames: ctypes
    prints it to stderr and drops it. Outside such blocks nothing of Python is called from C.
    """

    def __enter__(self) -> None:
        self._previous: Any = None
        self._pending = False
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._previous = handler
                signal.signal(signal.SIGINT, self._defer)
        _router.capture()

    def _defer(self, _number: int, _frame: FrameType | None) -> None:
        self._pending = True

    def __exit__(self, *_: object) -> None:
        _router.release()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            if self._pending:
                signal.raise_signal(signal.SIGINT)


def attach(llama: Any, mtmd: Any) -> None:
    """Take over the logs of the two libraries."""
    _router.attach(llama, mtmd)


def clear() -> None:
    """Forget the remembered log lines, before a call whose failure is to be explained."""
    _router.recent.clear()
    _router.sizes.clear()


def tail(lines: int = 4) -> str:
    """Return the last lines of what was captured; only warnings and errors where there are some.

    Parameters
    ----------
    lines : int
        How many lines at most.
    """
    recent = list(_router.recent)
    grave = [line for level, line in recent if level >= logging.INFO]
    return " / ".join((grave or [line for _, line in recent])[-lines:])


def buffer_sizes() -> list[tuple[str, int]]:
    """Return the buffers named in what was captured: of what kind, and how many bytes."""
    return list(_router.sizes)
