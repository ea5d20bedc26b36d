"""Text as it is made, and the finished result after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from astrollava.errors import ClosedError
from astrollava.results import Answer, Description

__all__ = ["TextStream"]

Result = TypeVar("Result", Description, Answer)


class TextStream(Generic[Result]):
    """Text as it is made: iterate over the pieces, then ask for the `result`.

    Returned by `Describer.describe` and others with ``stream=True``. Leaving it before the end is
    fine and frees the model for others at once.
    """

    def __init__(self, pieces: Iterator[str], result: list[Result], thumbnail: bytes) -> None:
        self._pieces = pieces
        #: The picture the model sees, as PNG bytes: there before the first word.
        self.thumbnail = thumbnail
        self._result: list[Result] = result

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def result(self) -> Result:
        """The finished result; what has not been read of the stream is read first."""
        for _ in self._pieces:
            pass
        if not self._result:
            raise ClosedError(
                "the stream was left before its end, so it has no result",
                hint="Read it to the end, or call without stream=True",
            )
        return self._result[0]
