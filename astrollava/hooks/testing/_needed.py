"""What the author of a plugin must say in a suite, told in words where it is not said."""

from __future__ import annotations

from typing import Any

__all__ = ["needed"]


class _Needed:
    """Stands where a value of the subclass belongs."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __get__(self, suite: object | None, kind: type) -> Any:
        # pytest looks at every name of a class for tests; only a test that needs it is told.
        if suite is None:
            return self
        raise NotImplementedError(f"{kind.__name__} lacks it: {self._words}")


def needed(words: str) -> Any:
    """Return what stands in for a class attribute that every subclass has to set.

    Parameters
    ----------
    words : str
        What to say, and how: ``"say where ...: inside = (ra, dec)"``.
    """
    return _Needed(words)
