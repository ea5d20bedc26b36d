"""Silence for libraries that warn about every oddity of a header, and a word that is heard."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet", "warn"]

# `warnings.catch_warnings` changes the whole process; two threads must not restore it crosswise.
_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings inside the block."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def warn(warning: Warning) -> None:
    """Give a warning that no other thread's silence swallows."""
    with _LOCK:
        warnings.warn(warning, stacklevel=2)
