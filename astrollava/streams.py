"""Text as it is made, and the finished result after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from astrollava.errors import ClosedError
from astrollava.results import Answer, Description

if TYPE_CHECKING:
    from astrollava.engine import Completion

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
        self, completion: Completion, conclude: Callable[[], Result], thumbnail: bytes
    ) -> None:
        self._completion = completion
        self._conclude: Callable[[], Result] = conclude
        #: The picture the model sees, as PNG bytes: there before the first word.
        self.thumbnail = thumbnail
        self._result: Result | None = None
        self._then: list[Callable[[Result], None]] = []
        self._text = ""
        self._closed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for piece in self._completion:
            # Templates end where the answer begins, often without the space before it.
            shown = piece if self._text else piece.lstrip()
            if shown:
                self._text += shown
                return shown
        if not self._closed and self._result is None:
            self._result = self._conclude()
            for call in self._then:
                call(self._result)
        raise StopIteration

    def then(self, call: Callable[[Result], None]) -> None:
        """Ask to be told the result as soon as the text is read to its end.

        Parameters
        ----------
        call : callable
            Called with the result, in the thread that reads.
        """
        self._then.append(call)

    def start(self) -> Self:
        """Begin to generate, without waiting for any of the text."""
        self._completion.start()
        return self

    async def finished(self) -> Self:
        """Wait for the end of the text without holding up the event loop."""
        await self._completion.finished()
        return self

    @property
    def result(self) -> Result:
        """The finished result; what has not been read of the stream is read first."""
        if not self._closed:
            self._completion.wait()
        for _ in self:
            pass
        if self._result is None:
            raise ClosedError(
                "the stream was left before its end, so it has no result",
                hint="Read it to the end, or call without stream=True",
            )
        return self._result

    def close(self) -> None:
        """End the generation, from the thread that reads the stream.

        What was read to its end keeps its `result`; doing it twice is fine.
        """
        self._completion.close()
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
        state = "finished" if self._result is not None else "closed" if self._closed else "open"
        text = self._text if len(self._text) <= _SHOWN else f"{self._text[: _SHOWN - 1]}…"
        return f"<TextStream {state} after {text!r}>"
