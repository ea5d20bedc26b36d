"""A text while it is being generated, for the thread that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from astrollava.engine.requests import FinishReason, Generation
from astrollava.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from astrollava.engine.model import Engine

__all__ = ["Completion"]


class Completion(Iterator[str]):
    """A text while it is being generated: an iterator over pieces of it.

    Returned by `Engine.complete`. Nothing is evaluated before `start`, or before the first piece or
    the text is asked for; from then on the text grows whether it is read or not, beside those of
    other requests. Dropping it ends the text.

    Pieces are whole characters, and never part of a stop string.

    Attributes
    ----------
    prompt_tokens : int
        Tokens of the prompt, image tokens included.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler, request: Generation) -> None:
        # Weights must outlive the stream of `Engine(...).complete(...)`.
        self._engine = engine
        self._scheduler = scheduler
        self._request = request
        self._pieces: list[str] = []
        self._started = False
        self._ended = False
        self.prompt_tokens = request.plan.tokens
        self._cancel = weakref.finalize(self, request.cancel)

    def start(self) -> Completion:
        """Begin to generate, without waiting for any of the text.

        Raises
        ------
        ClosedError
            The engine was closed.
        """
        if not self._started:
            self._scheduler.submit(self._request)
            self._started = True
        return self

    def wait(self) -> Completion:
        """Generate the whole text, which is then read without waiting.

        Cheaper than to be woken for every piece. Errors are raised to who reads.
        """
        try:
            self.start()
            self._request.wait_for_end()
        except BaseException:
            self.close()
            raise
        return self

    async def finished(self) -> Completion:
        """As `wait`, without holding up the event loop; when cancelled the text ends."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell() -> None:
            if not ended.done():
                ended.set_result(None)

        def from_worker() -> None:
            # Nobody is to be told where the loop is gone.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        self._request.when_done(from_worker)
        try:
            self.start()
            await ended
        except BaseException:
            self.close()
            raise
        return self

    def run(self) -> str:
        """Generate the whole text and return it.

        Raises
        ------
        GenerationError, ClosedError
            As for iteration.
        """
        for _ in self.wait():
            pass
        return self.text

    @property
    def text(self) -> str:
        """The text read so far."""
        return "".join(self._pieces)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text ended; None while pieces of it remain to be read.

        The model ended it or a stop string was met ("stop"); `max_tokens` was reached ("length");
        the context is full ("context"); it was cancelled, or failed ("cancelled").
        """
        if not self._ended:
            return None
        return self._request.reason or "cancelled"

    @property
    def generated_tokens(self) -> int:
        """Tokens generated so far, the one that ends the text not counted."""
        return len(self._request.tokens)

    @property
    def reused_tokens(self) -> int:
        """How many tokens of the prompt were in the cache already."""
        return self._request.reused_tokens

    @property
    def seconds(self) -> float:
        """Time from the first evaluation to the end of the text."""
        return self._request.seconds

    def __next__(self) -> str:
        if self._ended:
            raise StopIteration
        try:
            self.start()
            piece = self._request.pieces.get()
        except BaseException:
            # Ctrl-C, too: the engine stays usable, the text ends here.
            self.close()
            raise
        if piece is not None:
            self._pieces.append(piece)
            return piece
        self._ended = True
        if self._request.error is not None:
            raise self._request.error
        raise StopIteration

    def close(self) -> None:
        """End the text here; what has ended stays as it is."""
        self._ended = True
        self._cancel()
