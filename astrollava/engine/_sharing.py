"""Who computes with how many threads, where tower and text together would want too many.

Threads of one evaluation wait for each other hundreds of times; two evaluations with all cores each
would slow each other down many times over. So they take turns, each with all cores, or, while there
is text to generate and an image to encode, each has cores of its own and neither waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

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
        self._encoding_beside = False
        self._turns = Turns() if tower and text and tower + text > cores else None
        #: Threads that encode beside text; 0 where the two have room side by side anyway, or none.
        self.beside = max(1, min(tower, cores // 2)) if self._turns and cores > 1 else 0
        left = max(1, min(text, cores - self.beside))
        self._generating = (
            _InTurn(self._turns, lambda: left if self._encoding_beside else text)
            if self._turns
            else nullcontext(text)
        )

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

    def generating(self) -> AbstractContextManager[int]:
        """Hold what text is evaluated with; gives the number of threads."""
        return self._generating


class _InTurn(AbstractContextManager[int]):
    """A turn for one evaluation of text: made once and entered for every token."""

    def __init__(self, turns: Turns, threads: Callable[[], int]) -> None:
        self._turns = turns
        self._threads = threads

    def __enter__(self) -> int:
        self._turns.__enter__()
        return self._threads()

    def __exit__(self, *failure: object) -> None:
        self._turns.__exit__(None, None, None)
