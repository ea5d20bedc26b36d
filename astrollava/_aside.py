"""Standard output is astrollava's own: what plugins print goes to standard error.

``astrollava describe --json`` is read by programs, and a plugin's greeting is no JSON.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["printing_aside"]

_lock = threading.Lock()
#: Thread -> how many blocks it is in.
_inside: Counter[int] = Counter()


class _Divided:
    """Stands for standard output: what plugins write goes aside, what others write goes there.

    `contextlib.redirect_stdout` would take the output of all threads, and two threads that leave
    it crosswise would lose it for good.
    """

    def __init__(self, out: Any) -> None:
        self.out = out

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if _inside[threading.get_ident()] else self.out, name)


@contextmanager
def printing_aside() -> Iterator[None]:
    """Send to standard error what this thread prints inside the block.

    What is written by code in C, or by other threads that the block starts, is not caught.
    """
    me = threading.get_ident()
    with _lock:
        # Where there is no console there is none of the two, and nothing to divide.
        if not _inside and None not in (sys.stdout, sys.stderr):
            sys.stdout = _Divided(sys.stdout)
        _inside[me] += 1
    try:
        yield
    finally:
        with _lock:
            _inside[me] -= 1
            if not _inside[me]:
                del _inside[me]
            # A plugin may have put something else there, which is left to it.
            if not _inside and isinstance(sys.stdout, _Divided):
                sys.stdout = sys.stdout.out
