"""One llama.cpp context: a KV cache of several sequences, and the batches that feed it.

Nothing here locks: one thread at a time may use a context.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from astrollava.engine import _logs as logs
from astrollava.engine._native import TextModel
from astrollava.engine._positions import Piece, Places, embedding_batch
from astrollava.engine._state import room_for, with_streams
from astrollava.engine.runtime import Bindings
from astrollava.errors import GenerationError, ModelLoadFailed

__all__ = ["MAX_OUTPUTS", "Context", "Footprint", "Logits", "MakeContext"]

Logits: TypeAlias = npt.NDArray[np.float32]

#: Rows of logits asked for in one decode at most; bounds the compute buffer of large vocabularies,
#: has room for the tree of a dozen labels, and from 64 on flash attention adds in another order.
MAX_OUTPUTS = 48
#: Tokens from which on llama.cpp's flash attention on a CPU cuts a lone token's work among threads,
#: and adds in another order than beside others: one thread does what several do for many.
_LONE_LIMIT = 256
_NEVER = 2**31
#: Kinds of llama.cpp's buffers that grow with the number of sequences.
_CACHES = frozenset({"KV", "RS"})
#: Bytes of graphs and lists that llama.cpp does not tell of.
_UNTOLD = 4 * 2**20


@dataclass(frozen=True)
class Footprint:
    """Bytes of memory a context takes.

    Attributes
    ----------
    cache : int
        What the tokens of its sequences are kept in.
    rest : int
        All else; the same for any number of sequences.
    """

    cache: int
    rest: int


class MakeContext(Protocol):
    """What makes a context."""

    def __call__(self, sequences: int, tokens: int | None, *, shared: bool = False) -> Context:
        """Make one of so many sequences.

        Parameters
        ----------
        sequences : int
            How many.
        tokens : int or None
            What each may hold; None for as many as the engine was asked for.
        shared : bool
            Whether all share one cache of so many tokens.
        """
        ...


class Context:
    """A KV cache of `sequences` sequences that know nothing of each other.

    Parameters
    ----------
    lib : Bindings
        llama.cpp.
    model : TextModel
        The weights.
    n_ctx : int
        Tokens each sequence may hold.
    n_batch : int
        Rows evaluated at once at most.
    threads : int
        Threads that evaluate.
    sequences : int
        How many, at most `MAX_OUTPUTS`.
    flash_attention : bool
        Whether llama.cpp may use it.
    on_gpu : bool
        Whether evaluations are not the CPU's, not even of a layer.
    shared : bool
        Whether all sequences share one cache of `n_ctx` tokens, in which a token may be of several.
    """

    def __init__(
        self,
        lib: Bindings,
        model: TextModel,
        *,
        n_ctx: int,
        n_batch: int,
        threads: int,
        sequences: int = 1,
        flash_attention: bool = False,
        on_gpu: bool = False,
        shared: bool = False,
    ) -> None:
        llama = lib.llama
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx if shared else n_ctx * sequences
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = sequences
        params.n_outputs_max = params.n_outputs_max_per_seq = min(MAX_OUTPUTS, n_batch)
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = shared
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_AUTO
            if flash_attention
            else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        logs.clear()
        self._pointer = llama.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise ModelLoadFailed(
                f"llama.cpp cannot make a context of {n_ctx} tokens for {sequences} sequences"
                f" ({logs.tail()})",
                hint="Ask for a smaller n_ctx or fewer sequences (parallel), or free memory",
            )
        told = logs.buffer_sizes()
        cache = sum(size for kind, size in told if kind in _CACHES)
        # Rows of logits are made room for when they are first asked for.
        rows = MAX_OUTPUTS * model.n_vocab * ctypes.sizeof(ctypes.c_float)
        rest = sum(size for kind, size in told if kind not in _CACHES) + rows + _UNTOLD
        #: As llama.cpp tells it, where its logs are captured.
        self.footprint = Footprint(cache, rest)
        self._lib = lib
        self.threads = threads
        self.flash_attention = flash_attention
        self.on_gpu = on_gpu
        # Where rows of an image share a position, that does not tell how long the cache is.
        cut = 0 if model.places_on_grid else _LONE_LIMIT
        self._lone_limit = cut if flash_attention and not on_gpu else _NEVER
        self._threads = self._using = threads
        self.sequences = sequences
        self._streams = 1 if shared else sequences
        self._memory = llama.llama_get_memory(self._pointer)
        self.n_vocab = model.n_vocab
        #: Whether the last tokens of a sequence can be forgotten.
        self.forgets = not (
            llama.llama_model_is_recurrent(model.pointer)
            or llama.llama_model_is_hybrid(model.pointer)
        )
        self._window = model.window
        #: Else llama.cpp keeps layers of several kinds in a cache each, and writes all of them.
        self._one_cache = self.forgets and not model.window
        # llama.cpp pads what it is asked for: the limit asked for holds, so results do not depend
        # on the padding.
        self.n_ctx = min(n_ctx, int(llama.llama_n_ctx_seq(self._pointer)))
        self.n_batch = int(llama.llama_n_batch(self._pointer))
        self._decode = llama.llama_decode
        self._sample = llama.llama_sampler_sample
        self._make_batch(self.n_batch)
        self._rows: Logits = np.empty((0, self.n_vocab), np.float32)
        self._rows_at = 0
        self._kept = 0
        self._best: list[int] | None = None

    def _make_batch(self, n: int) -> None:
        llama = self._lib.llama
        self._tokens = np.zeros(n, np.int32)
        self._positions = np.zeros(n, np.int32)
        self._sequence_ids = np.zeros(n, np.int32)
        self._counts = np.ones(n, np.int32)
        # Each row points at its sequence's number.
        first = self._sequence_ids.ctypes.data
        self._pointers = first + np.arange(n, dtype=np.uintp) * self._sequence_ids.itemsize
        self._wanted = np.zeros(n, np.int8)
        int32, byte = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        self._batch = llama.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(int32),
            pos=self._positions.ctypes.data_as(int32),
            n_seq_id=self._counts.ctypes.data_as(int32),
            seq_id=self._pointers.ctypes.data_as(ctypes.POINTER(int32)),
            logits=self._wanted.ctypes.data_as(byte),
        )
        self._embedded = llama.llama_batch.from_buffer_copy(self._batch)
        self._embedded.token = None

    def decode_rows(
        self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int]
    ) -> None:
        """Evaluate one token of each of several sequences and keep the logits of all."""
        n = len(tokens)
        if n == 1:
            # A text by itself, thousands of times: several times as fast as what follows.
            self._tokens[0], self._positions[0] = tokens[0], positions[0]
            self._sequence_ids[0] = sequences[0]
            self._wanted[0] = 1
            self._run(self._batch, 1, 1, positions[0])
            return
        self._tokens[:n] = tokens
        self._positions[:n] = positions
        self._sequence_ids[:n] = sequences
        self._wanted[:n] = 1
        # llama.cpp evaluates those together whose numbers follow each other: others are alone.
        there = set(sequences)
        lone = [p for p, s in zip(positions, sequences, strict=True) if not {s - 1, s + 1} & there]
        self._run(self._batch, n, n, max(lone, default=-1))

    def decode_branches(
        self,
        tokens: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        owners: npt.NDArray[np.int32],
        sequences: npt.NDArray[np.int32],
    ) -> None:
        """Evaluate tokens that each belong to several sequences of a shared cache; keep all logits.

        A token sees those before it in any of its sequences: they must be the same in all.

        Parameters
        ----------
        tokens, positions, owners : ndarray of int32, shape (n,)
            What is where, and to how many sequences it belongs.
        sequences : ndarray of int32, shape (sum of `owners`,)
            Those of the first token, of the next, and so on.
        """
        n = len(tokens)
        starts = np.cumsum(owners) - owners
        self._tokens[:n] = tokens
        self._positions[:n] = positions
        self._wanted[:n] = 1
        whose, pointers = self._counts[:n].copy(), self._pointers[:n].copy()
        self._counts[:n] = owners
        self._pointers[:n] = sequences.ctypes.data + starts * sequences.itemsize
        try:
            # The cache of all branches may be a long one where each of them is short.
            self._run(self._batch, n, n, self.n_ctx if n == 1 else -1)
        finally:
            self._counts[:n], self._pointers[:n] = whose, pointers

    def decode_tokens(
        self, tokens: Sequence[int], position: int, sequence: int, *, all_logits: bool = False
    ) -> None:
        """Evaluate at most `n_batch` tokens of a sequence; keep the last one's logits, or all."""
        n = len(tokens)
        self._tokens[:n] = tokens
        self._positions[:n] = np.arange(position, position + n)
        self._sequence_ids[:n] = sequence
        self._wanted[:n] = all_logits
        self._wanted[n - 1] = 1
        self._run(self._batch, n, n if all_logits else 1, position if n == 1 else -1)

    def decode_embeddings(
        self,
        values: npt.NDArray[np.float32],
        position: int,
        sequence: int,
        *,
        causal: bool,
        places: Places | None = None,
    ) -> None:
        """Evaluate at most `n_batch` rows of `values`, shape ``(n, n_embd)``, as image tokens."""
        given = embedding_batch([Piece(values, position, places, sequence)])
        n = len(values)
        self._embedded.embd = given.values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._embedded.pos = given.positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        self._sequence_ids[:n] = given.sequences
        self._wanted[:n] = 0
        self._wanted[n - 1] = 1
        if not causal:
            self._lib.llama.llama_set_causal_attn(self._pointer, False)
        try:
            self._run(self._embedded, n, 1, position if n == 1 else -1)
        finally:
            if not causal:
                self._lib.llama.llama_set_causal_attn(self._pointer, True)

    def use(self, threads: int) -> None:
        """Evaluate with so many threads from now on, 0 for its own; results do not depend on it."""
        self._threads = threads or self.threads

    def _run(self, batch: Any, n: int, kept: int, lone: int) -> None:
        """Evaluate `n` tokens, of which `kept` rows of logits are wanted.

        `lone` is the last position of a token that is evaluated by itself, or -1.
        """
        threads = 1 if lone >= self._lone_limit else self._threads
        if threads != self._using:
            self._lib.llama.llama_set_n_threads(self._pointer, threads, threads)
            self._using = threads
        batch.n_tokens = n
        self._best = None
        self._kept = kept
        if status := self._decode(self._pointer, batch):
            raise GenerationError(
                f"llama.cpp could not evaluate {n} tokens (status {status})",
                hint="Close the engine and load the model again; if it happens anew, the model file"
                " is of a kind this version of llama.cpp does not support",
            )

    def sample(self, sampler: Any, row: int) -> int:
        """Draw a token from the logits of `row` of the last batch (-1: the last kept)."""
        return int(self._sample(sampler, self._pointer, row))

    def best(self, row: int) -> int:
        """Return the most probable token after `row` of those kept; the first of equals."""
        if self._kept == 1:
            return int(self.logits()[0].argmax())
        if self._best is None:
            self._best = self.logits().argmax(axis=1).tolist()
        return self._best[row]

    def logits(self) -> Logits:
        """Return the rows of logits kept by the last decode, shape ``(rows, n_vocab)``.

        They are llama.cpp's own memory: good until the next decode.
        """
        # This puts the rows in the order of the batch, side by side.
        pointer = self._lib.llama.llama_get_logits(self._pointer)
        if not pointer:
            raise GenerationError("llama.cpp kept no logits", hint="Load the model again")
        address = ctypes.addressof(pointer.contents)
        if address != self._rows_at or self._kept > len(self._rows):
            memory = (ctypes.c_float * (self._kept * self.n_vocab)).from_address(address)
            self._rows = np.ctypeslib.as_array(memory).reshape(self._kept, self.n_vocab)
            self._rows_at = address
        return self._rows[: self._kept]

    def truncate(self, sequence: int, position: int) -> bool:
        """Forget a sequence from `position` on; False where this kind of cache cannot."""
        return bool(self._lib.llama.llama_memory_seq_rm(self._memory, sequence, position, -1))

    def keep_only(self, sequence: int) -> None:
        """Forget all other sequences of a shared cache."""
        self._lib.llama.llama_memory_seq_keep(self._memory, sequence)

    def share(self, sequence: int, other: int) -> None:
        """Let another sequence of a shared cache hold all that one holds."""
        self._lib.llama.llama_memory_seq_cp(self._memory, sequence, other, -1, -1)

    def take(self, sequence: int, source: Context, theirs: int) -> bool:
        """Make a sequence hold what one of `source` holds, this context or another of the model.

        False where llama.cpp cannot copy all of it: the sequence is then in no sound state.
        """
        llama = self._lib.llama
        if source._window and llama.llama_memory_seq_pos_max(source._memory, theirs) >= (
            source._window
        ):
            # Tokens that the last one does not see are left out; behind a shorter beginning they
            # would be seen.
            return False
        restream = self._streams != source._streams
        if restream and not self._one_cache:
            return False
        byte = ctypes.POINTER(ctypes.c_uint8)
        size = int(llama.llama_state_seq_get_size(source._pointer, theirs))
        room = room_for(size, self._streams)
        given = room.ctypes.data_as(byte)
        if llama.llama_state_seq_get_data(source._pointer, given, size, theirs) != size:
            return False
        state = room[:size]
        if restream:
            own = theirs if source._streams > 1 else 0
            state = with_streams(
                room, size, stream=own, streams=source._streams, wanted=self._streams
            )
        given = state.ctypes.data_as(byte)
        return bool(llama.llama_state_seq_set_data(self._pointer, given, len(state), sequence))

    def free(self) -> None:
        """Release the cache and the compute buffers."""
        self._lib.llama.llama_free(self._pointer)
