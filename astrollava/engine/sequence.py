"""The KV cache that knows what it holds, and a text being generated from it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from astrollava.engine._native import Context
from astrollava.engine._prompt import Block, ImageBlock, Plan, span_of
from astrollava.engine._text import TextAssembler
from astrollava.engine.sampling import Sampling, make_sampler

if TYPE_CHECKING:
    from astrollava.engine._core import Core
    from astrollava.engine.model import Engine

__all__ = ["Completion", "FinishReason", "KVCache", "Turn", "exclusively", "never"]

FinishReason: TypeAlias = Literal["stop", "length", "context", "cancelled"]
_T = TypeVar("_T")

#: Seconds without a step after which a text being generated gives way to another request. Giving
#: way costs an evaluation of all that text when it goes on, so a busy one is left to finish.
_GRACE = 0.05
#: Seconds between two looks at whether the cache is free.
_POLL = 0.002


def never() -> bool:
    """Answer for a request that cannot be cancelled."""
    return False


class Turn:
    """The right of one request to find the cache as it left it."""

    __slots__ = ("stamp", "thread")

    def __init__(self) -> None:
        self.thread = 0
        self.stamp = 0.0

    def touch(self) -> None:
        """Note that the request has just used the cache."""
        self.thread = threading.get_ident()
        self.stamp = time.monotonic()


class KVCache:
    """A context and the list of blocks evaluated into it.

    The list is extended after llama.cpp has returned, and the cache is cut to the list before it is
    used again: an exception at any point, Ctrl-C included, leaves the two consistent.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.turn: Turn | None = None
        self._blocks: list[Block] = []
        self._tokens = 0
        self._position = 0

    @property
    def tokens(self) -> int:
        """Number of tokens held."""
        return self._tokens

    @property
    def position(self) -> int:
        """Where the next token stands; less than `tokens` where images have places on a grid."""
        return self._position

    def claim(self) -> bool:
        """Take the cache from the request that holds it, unless that is busy with it."""
        holder = self.turn
        if holder is None:
            return True
        # A thread that asks for something else is not at the same time drawing its stream.
        if holder.thread != threading.get_ident() and time.monotonic() - holder.stamp < _GRACE:
            return False
        self.turn = None
        return True

    def prefill(self, blocks: Sequence[Block], cancelled: Callable[[], bool]) -> int | None:
        """Make the cache hold exactly `blocks`, with the logits of the last token at hand.

        Returns
        -------
        int or None
            How many tokens were there already; None when `cancelled` said so in between.
        """
        self.turn = None
        keep = 0
        # The last block is evaluated in any case: its logits are wanted.
        for held, wanted in zip(self._blocks, blocks[:-1], strict=False):
            if held != wanted:
                break
            keep += 1
        self.cut(keep)
        reused = self._tokens
        # Where this kind of cache cannot forget a part, `cut` has emptied it.
        for block in blocks[len(self._blocks) :]:
            if cancelled():
                return None
            self._evaluate(block)
        return reused

    def _evaluate(self, block: Block) -> None:
        if isinstance(block, ImageBlock):
            self.context.decode_embeddings(
                block.values, self._position, causal=block.causal, places=block.places
            )
        else:
            self.context.decode_tokens(block, self._position, all_logits=False)
        self._blocks.append(block)
        self._tokens += len(block)
        self._position += span_of(block)

    def extend(self, token: int) -> None:
        """Evaluate one generated token."""
        self.context.decode_one(token, self._position)
        self._blocks.append((token,))
        self._tokens += 1
        self._position += 1

    def cut(self, blocks: int) -> None:
        """Forget all but the first `blocks` blocks, and what an interrupted call left behind."""
        del self._blocks[blocks:]
        # Rows of an image on a grid share one time: what is behind them cannot be told from them.
        while self._blocks and not span_of(self._blocks[-1]):
            del self._blocks[-1]
        self._tokens = sum(map(len, self._blocks))
        self._position = sum(map(span_of, self._blocks))
        self.context.reset_attention()
        if not self._tokens:
            self.context.clear()
        elif not self.context.truncate(self._position):
            self._blocks.clear()
            self._tokens = self._position = 0
            self.context.clear()

    def rewind(self) -> None:
        """Forget what was evaluated behind the blocks listed."""
        self.cut(len(self._blocks))


def exclusively(core: Core, turn: Turn, action: Callable[[], _T]) -> _T:
    """Run `action` under the engine's lock, when no other request is busy with the cache."""
    while True:
        with core.lock:
            core.check_open()
            if core.cache.turn is turn or core.cache.claim():
                return action()
        time.sleep(_POLL)


class Completion(Iterator[str]):
    """A text while it is being generated: an iterator over pieces of it.

    Returned by `Engine.complete`.

    Pieces are whole characters, and never part of a stop string. The engine is held for one token
    at a time: other requests may come in between, from this thread or another, and the text goes on
    as if they had not.

    Attributes
    ----------
    finish_reason : {"stop", "length", "context", "cancelled"} or None
        None while the text goes on. The model ended it or a stop string was met; `max_tokens` was
        reached; the context is full; it was cancelled, interrupted, or the engine closed.
    prompt_tokens : int
        Tokens of the prompt, image tokens included.
    reused_tokens : int
        How many of them were in the cache already.
    seconds : float
        Time spent in the iterator.
    """

    def __init__(
        self,
        engine: Engine,
        core: Core,
        plan: Plan,
        sampling: Sampling,
        stop: Sequence[str],
        cancel: threading.Event | None,
    ) -> None:
        # Weights must outlive the stream of `Engine(...).complete(...)`.
        self._engine = engine
        self._core = core
        self._blocks = plan.blocks
        self._max_tokens = sampling.max_tokens
        self._n_ctx = core.context.n_ctx
        self._is_cancelled = cancel.is_set if cancel is not None else never
        self._assembler = TextAssembler(stop)
        self._turn = Turn()
        self._tokens: list[int] = []
        self._pieces: list[str] = []
        self._started = False
        self.finish_reason: FinishReason | None = None
        self.prompt_tokens = plan.tokens
        self.reused_tokens = 0
        self.seconds = 0.0
        self._sampler = make_sampler(core.lib, sampling, core.model.n_vocab)
        self._free = weakref.finalize(self, core.lib.llama.llama_sampler_free, self._sampler)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    @property
    def generated_tokens(self) -> int:
        """Tokens generated so far, the one that ends the text not counted."""
        return len(self._tokens)

    def __next__(self) -> str:
        start = time.perf_counter()
        try:
            while self.finish_reason is None:
                piece = exclusively(self._core, self._turn, self._step)
                if piece:
                    self._pieces.append(piece)
                    return piece
        except BaseException:
            self._end("cancelled")
            raise
        finally:
            self.seconds += time.perf_counter() - start
        raise StopIteration

    def close(self) -> None:
        """End the text here, from the thread that reads it; what has ended stays as it is."""
        # Without the lock: the garbage collector may come here in a thread that holds it.
        self._end("cancelled")

    def _step(self) -> str:
        """Evaluate the last token drawn, or the prompt, and draw the next; return text to show."""
        if self._is_cancelled():
            return self._end("cancelled")
        core = self._core
        tokens = self._tokens
        if len(tokens) >= self._max_tokens:
            return self._end("length")
        if self.prompt_tokens + len(tokens) > self._n_ctx:
            return self._end("context")
        if core.cache.turn is not self._turn and not self._restore():
            return self._end("cancelled")
        if tokens:
            core.cache.extend(tokens[-1])
        token = core.context.sample(self._sampler)
        data, ends = core.model.piece(token)
        if ends:
            return self._end("stop")
        tokens.append(token)
        piece = self._assembler.feed(data)
        if self._assembler.stopped:
            return piece + self._end("stop")
        self._turn.touch()
        return piece

    def _restore(self) -> bool:
        """Make the cache hold the prompt and what was generated, evaluated as the first time."""
        blocks = [*self._blocks, *((token,) for token in self._tokens[:-1])]
        reused = self._core.cache.prefill(blocks, self._is_cancelled)
        if reused is None:
            return False
        if not self._started:
            self._started = True
            self.reused_tokens = reused
        self._turn.touch()
        self._core.cache.turn = self._turn
        return True

    def _end(self, reason: FinishReason) -> str:
        if self.finish_reason is not None:
            return ""
        self.finish_reason = reason
        if self._core.cache.turn is self._turn:
            self._core.cache.turn = None
        self._free()
        return self._assembler.finish()
