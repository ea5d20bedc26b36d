"""What can be asked of the context, as work that the scheduler may interrupt after any step."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from astrollava.engine._context import Context
from astrollava.engine._prompt import Plan
from astrollava.engine._text import TextAssembler
from astrollava.engine.slots import Slot

if TYPE_CHECKING:
    from astrollava.engine._native import TextModel
    from astrollava.engine.choosing import Chooser

__all__ = ["FinishReason", "Generation", "NextLogits", "Request", "Work"]

FinishReason: TypeAlias = Literal["stop", "length", "context", "cancelled"]

#: Work in progress. It yields None to let others go on, or a token that may be evaluated together
#: with those of others, and is then sent the row of its logits.
Work: TypeAlias = Generator["int | None", int, None]

Result = TypeVar("Result")


class Request(ABC, Generic[Result]):
    """One request, handed from the thread that makes it to the one that works on it.

    Parameters
    ----------
    plan : Plan
        The prompt.
    client : object, optional
        Requests of different clients take turns.

    Attributes
    ----------
    prompted : bool
        Whether the prompt has been evaluated.
    reused_tokens : int
        How many tokens of the prompt were in the cache already.
    seconds : float
        From the first evaluation to the end.
    """

    def __init__(self, plan: Plan, client: object = None) -> None:
        self.plan = plan
        self.client = client
        self.prompted = False
        self.reused_tokens = 0
        self.seconds = 0.0
        self._begun = 0.0
        self._dropped = False
        self._done = threading.Event()
        self._telling = threading.Lock()
        self._tell: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self._result: Result | None = None

    def cancel(self) -> None:
        """Give the request up; from any thread, at any time."""
        self._dropped = True

    @property
    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self._dropped

    def steps(self, slot: Slot) -> Work:
        """Evaluate the prompt, then do what is to be done behind it."""
        self._begun = time.perf_counter()
        missing = slot.keep(self.plan.blocks)
        self.reused_tokens = slot.tokens
        for block in missing[:-1]:
            slot.evaluate(block)
            yield None
        slot.evaluate(missing[-1])
        self.prompted = True
        yield from self.work(slot)

    @abstractmethod
    def work(self, slot: Slot) -> Work:
        """Do what is asked, the prompt's logits at hand, and call `succeed`.

        Nothing may be evaluated between being sent a row and yielding again: others wait for theirs
        of the same evaluation.
        """

    def succeed(self, result: Result) -> None:
        """Hand over the result."""
        if not self._done.is_set():
            self._result = result
            self._end()

    def fail(self, error: BaseException) -> None:
        """Hand over an error."""
        if not self._done.is_set():
            self._error = error
            self._end()

    def drop(self) -> None:
        """End what was cancelled."""
        self.fail(RuntimeError("the request was cancelled"))

    def _end(self) -> None:
        if self._begun:
            self.seconds = time.perf_counter() - self._begun
        with self._telling:
            self._done.set()
            told, self._tell = self._tell, []
        for call in told:
            call()

    def when_done(self, call: Callable[[], None]) -> None:
        """Call this at the end, in the thread that works; at once where it is done."""
        with self._telling:
            if not self._done.is_set():
                self._tell.append(call)
                return
        call()

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done.is_set()

    @property
    def error(self) -> BaseException | None:
        """The error it ended with."""
        return self._error

    def wait_for_end(self) -> None:
        """Wait for a result or an error."""
        self._done.wait()

    def wait(self) -> Result:
        """Wait for the result and return it, or raise the error."""
        try:
            self.wait_for_end()
        except BaseException:
            self.cancel()
            raise
        if self._error is not None:
            raise self._error
        # Set before the event was.
        return self._result  # type: ignore[return-value]


class NextLogits(Request[npt.NDArray[np.float32]]):
    """The logits of the token that follows the prompt, shape ``(vocabulary,)``."""

    def work(self, slot: Slot) -> Work:
        """Copy them."""
        self.succeed(slot.context.logits()[-1].copy())
        yield from ()


class Generation(Request[FinishReason]):
    """A text that follows the prompt.

    Parameters
    ----------
    plan, client
        As for `Request`.
    model : TextModel
        Knows what a token stands for.
    n_ctx, max_tokens : int
        Tokens of prompt and text together, and of text, at most.
    chooser : callable or None
        Makes what draws the tokens; without it the most probable one is taken.
    stop : sequence of str
        The text ends before any of these.
    cancel : threading.Event, optional
        Looked at before each token: set, it ends the text.

    Attributes
    ----------
    tokens : list of int
        Those generated, the one that ends the text not counted.
    pieces : queue.SimpleQueue
        Whole characters of the text as they are there; None at the end.
    """

    def __init__(
        self,
        plan: Plan,
        model: TextModel,
        *,
        n_ctx: int,
        max_tokens: int,
        chooser: Callable[[], Chooser] | None,
        stop: Sequence[str],
        cancel: threading.Event | None = None,
        client: object = None,
    ) -> None:
        super().__init__(plan, client)
        self.tokens: list[int] = []
        self.pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._model = model
        self._n_ctx = n_ctx
        self._max_tokens = max_tokens
        self._make_chooser = chooser
        self._chooser: Chooser | None = None
        self._assembler = TextAssembler(stop)
        self._cancel = cancel

    @property
    def cancelled(self) -> bool:
        """Whether it was given up, by whoever reads it or by its event."""
        return self._dropped or (self._cancel is not None and self._cancel.is_set())

    def work(self, slot: Slot) -> Work:
        """Draw token after token."""
        if self._make_chooser is not None:
            self._chooser = self._make_chooser()
        row = -1
        while (reason := self._draw(slot.context, row)) is None:
            row = yield self.tokens[-1]
        self._finish(reason)

    def _draw(self, context: Context, row: int) -> FinishReason | None:
        """Draw a token and say whether the text ends with it."""
        chooser = self._chooser
        token = context.best(row) if chooser is None else chooser.choose(context, row)
        data, ends = self._model.piece(token)
        if ends:
            return "stop"
        self.tokens.append(token)
        if piece := self._assembler.feed(data):
            self.pieces.put(piece)
        if self._assembler.stopped:
            return "stop"
        if len(self.tokens) >= self._max_tokens:
            return "length"
        return "context" if self.plan.tokens + len(self.tokens) > self._n_ctx else None

    @property
    def reason(self) -> FinishReason | None:
        """Why it ended; None while it goes on, and after an error."""
        return self._result

    def drop(self) -> None:
        """End the text where it is."""
        self._finish("cancelled")

    def _finish(self, reason: FinishReason) -> None:
        if piece := self._assembler.finish():
            self.pieces.put(piece)
        self.succeed(reason)

    def _end(self) -> None:
        if self._chooser is not None:
            self._chooser.free()
            self._chooser = None
        # Before whoever waits for the end looks for the pieces.
        self.pieces.put(None)
        super()._end()
