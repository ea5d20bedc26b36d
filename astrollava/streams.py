"""Text as it is made, and the finished result after it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from astrollava.errors import ClosedError
from astrollava.results import Answer, Description

__all__ = ["TextStream"]

Result = TypeVar("Result", Description, Answer)

#: Characters of the text that the repr shows.
_SHOWN = 60


class TextStream(Generic[Result]):
    """Text as it is made: iterate over the pieces, then ask for the `result`.

    Returned by `Describer.describe` and others with ``stream=True``. Leaving it before the end is
    fine; `close`, or the end of a ``with`` block, ends the generation and frees the model for
    others at once.

    Examples
    --------
    >>> from astrollava import Describer
    >>> from astrollava.images import example
    >>> with Describer() as describer, describer.describe(example(), stream=True) as stream:
    ...     first = next(stream)
    >>> stream
    <TextStream closed after 'This'>
    """

    def __init__(
        self, pieces: Generator[str, None, None], result: list[Result], thumbnail: bytes
    ) -> None:
        self._pieces = pieces
        #: The picture the model sees, as PNG bytes: there before the first word.
        self.thumbnail = thumbnail
        self._result: list[Result] = result
        self._text = ""
        self._closed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = next(self._pieces)
        self._text += piece
        return piece

    @property
    def result(self) -> Result:
        """The finished result; what has not been read of the stream is read first."""
        for _ in self:
            pass
        if not self._result:
            raise ClosedError(
                "the stream was left before its end, so it has no result",
                hint="Read it to the end, or call without stream=True",
            )
        return self._result[0]

    def close(self) -> None:
        """End the generation, from the thread that reads the stream.

        What was read to its end keeps its `result`; doing it twice is fine.
        """
        self._pieces.close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "finished" if self._result else "closed" if self._closed else "open"
        text = self._text if len(self._text) <= _SHOWN else f"{self._text[: _SHOWN - 1]}…"
        return f"<TextStream {state} after {text!r}>"
