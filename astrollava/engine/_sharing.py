"""Who computes with how many threads, where tower and text together would want too many.

Threads of one evaluation wait for each other hundreds of times; two evaluations with all cores each
would slow each other down many times over. So they take turns, each with all cores, or, while there
is text to generate and an image to encode, each has cores of its own and neither waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from astrollava.engine._turns import Turns

__all__ = ["Sharing"]


class Sharing:
    """The cores of a process, shared by one thread that encodes and one that generates text.

    Parameters
    ----------
    cores : int
        How many there are.
    tower, text : int
        Threads that an image, and a text, is computed with when nothing else is.
    """

    def __init__(self, cores: int, *, tower: int, text: int) -> None:
        self._text = text
        self._encoding_beside = False
        self._turns = Turns() if tower and text and tower + text > cores else None
        #: Threads that encode beside text; 0 where the two have room side by side anyway, or none.
        self.beside = max(1, min(tower, cores // 2)) if self._turns and cores > 1 else 0
        self._left = max(1, min(text, cores - self.beside))

    @contextmanager
    def encoding(self, *, beside: bool) -> Iterator[None]:
        """Hold what an image is encoded with: all cores in turn, or `beside` threads."""
        if self._turns is None:
            yield
        elif not beside:
            with self._turns:
                yield
        else:
            self._encoding_beside = True
            try:
                yield
            finally:
                self._encoding_beside = False

    @contextmanager
    def generating(self) -> Iterator[int]:
        """Hold what text is evaluated with; gives the number of threads."""
        if self._turns is None:
            yield self._text
            return
        with self._turns:
            yield self._left if self._encoding_beside else self._text
