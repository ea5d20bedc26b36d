"""The bare llama.cpp calls, each wrapped once: a text model, its vocabulary and one context.

Pointers live here and nowhere else. Nothing here locks: callers hold the engine's lock.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from astrollava.engine import _logs as logs
from astrollava.engine import runtime
from astrollava.engine._positions import Piece, Places, embedding_batch
from astrollava.engine.runtime import Bindings
from astrollava.errors import GenerationError, ModelLoadFailed

__all__ = ["MAX_OUTPUTS", "Context", "TextModel", "model_params"]

#: Set to "first" by astrollava's converter, where llama.cpp puts a space before no text or every.
_SPACE_PREFIX = "astrollava.tokenizer.space_prefix"

#: Rows of logits asked for in one decode at most; bounds the compute buffer of large vocabularies.
MAX_OUTPUTS = 32


def model_params(lib: Bindings, *, n_gpu_layers: int, features: str) -> tuple[Any, Any]:
    """Return llama.cpp's model parameters, and a buffer to keep alive until the load is done."""
    params = lib.llama.llama_model_default_params()
    params.n_gpu_layers = n_gpu_layers
    params.use_extra_bufts = not runtime.has_amx(features)
    no_devices = (ctypes.c_void_p * 1)(None)
    if n_gpu_layers == 0:
        # A GPU build would otherwise open the device, and move large batches to it all the same.
        params.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    return params, no_devices


class TextModel:
    """A language model and its vocabulary."""

    def __init__(self, lib: Bindings, path: Path, *, n_gpu_layers: int) -> None:
        self._lib = lib
        params, keep = model_params(lib, n_gpu_layers=n_gpu_layers, features=runtime.system_info())
        logs.clear()
        self.pointer = lib.llama.llama_model_load_from_file(os.fsencode(path), params)
        del keep
        if not self.pointer:
            raise ModelLoadFailed(
                f"llama.cpp cannot load {path} as a language model ({logs.tail()})",
                expected="a GGUF file of a text model that llama.cpp supports",
                hint="Check that the file is complete and not the projector (mmproj) of a pair",
            )
        llama = lib.llama
        self._vocab = llama.llama_model_get_vocab(self.pointer)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocab))
        self.n_embd = int(llama.llama_model_n_embd_inp(self.pointer))
        self.n_ctx_train = int(llama.llama_model_n_ctx_train(self.pointer))
        #: Whether image tokens have a position in time, row and column each (M-RoPE). A batch of
        #: embeddings then needs four positions a token; for text llama.cpp repeats the one.
        self.places_on_grid = int(llama.llama_model_rope_type(self.pointer)) in (
            llama.LLAMA_ROPE_TYPE_MROPE,
            llama.LLAMA_ROPE_TYPE_IMROPE,
        )
        template = llama.llama_model_chat_template(self.pointer, None)
        self.chat_template = None if template is None else template.decode("utf-8", "replace")
        self.architecture = self.metadata("general.architecture")
        self.bos = int(llama.llama_vocab_bos(self._vocab))
        self.bos_text = self._token_text(self.bos)
        self.eos_text = self._token_text(int(llama.llama_vocab_eos(self._vocab)))
        self._space_at_start = self.metadata(_SPACE_PREFIX) == "first"
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self._vocab)) and self.bos >= 0
        self._pieces: dict[int, tuple[bytes, bool]] = {}

    def metadata(self, key: str) -> str:
        """Return a metadata value as text, empty where there is none; at most 255 bytes."""
        buffer = ctypes.create_string_buffer(256)
        self._lib.llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def tokenize(self, text: str, *, start: bool = False) -> list[int]:
        """Return the tokens of `text`; special tokens written out in it are recognised.

        Some tokenizers treat the text with which a prompt starts in another way: `start` says that
        this is it.
        """
        tokens = self._tokenize(text)
        if start and self._space_at_start and tokens and not text.startswith(" "):
            llama = self._lib.llama
            kind = llama.llama_vocab_get_attr(self._vocab, tokens[0])
            if kind & (llama.LLAMA_TOKEN_ATTR_NORMAL | llama.LLAMA_TOKEN_ATTR_BYTE):
                return self._tokenize(f" {text}")
        return tokens

    def _tokenize(self, text: str) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            out = (self._lib.llama.llama_token * room)()
            n = self._lib.llama.llama_tokenize(self._vocab, data, len(data), out, room, False, True)
            if n >= 0:
                return list(out[:n])
            room = -n

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        text = self._lib.llama.llama_vocab_get_text(self._vocab, token)
        return str(text.decode("utf-8", "replace"))

    def piece(self, token: int) -> tuple[bytes, bool]:
        """Return the bytes `token` stands for (none for special ones) and whether it ends text."""
        known = self._pieces.get(token)
        if known is None:
            llama = self._lib.llama
            size = 64
            while True:
                buffer = ctypes.create_string_buffer(size)
                n = llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
                if n >= 0:
                    break
                size = -n
            known = (buffer.raw[:n], bool(llama.llama_vocab_is_eog(self._vocab, token)))
            self._pieces[token] = known
        return known

    def free(self) -> None:
        """Release the weights."""
        self._lib.llama.llama_model_free(self.pointer)


class Context:
    """One KV cache of one sequence, and the batch that feeds it."""

    def __init__(
        self, lib: Bindings, model: TextModel, *, n_ctx: int, n_batch: int, threads: int
    ) -> None:
        llama = lib.llama
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = 1
        params.n_outputs_max = params.n_outputs_max_per_seq = min(MAX_OUTPUTS, n_batch)
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = False
        logs.clear()
        self._pointer = llama.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise ModelLoadFailed(
                f"llama.cpp cannot make a context of {n_ctx} tokens ({logs.tail()})",
                hint="Ask for a smaller n_ctx, or free memory",
            )
        self._lib = lib
        self.threads = threads
        self._memory = llama.llama_get_memory(self._pointer)
        self._n_vocab = model.n_vocab
        # llama.cpp pads what it is asked for: the limit asked for holds, so results do not depend
        # on the padding.
        self.n_ctx = min(n_ctx, int(llama.llama_n_ctx_seq(self._pointer)))
        self.n_batch = int(llama.llama_n_batch(self._pointer))
        self._decode = llama.llama_decode
        self._sample = llama.llama_sampler_sample
        self._make_batch(n_batch)

    def _make_batch(self, n: int) -> None:
        llama = self._lib.llama
        self._tokens = (llama.llama_token * n)()
        self._positions = (llama.llama_pos * n)()
        self._counts = (ctypes.c_int32 * n)(*[1] * n)
        self._sequence = (llama.llama_seq_id * 1)(0)
        pointer = ctypes.POINTER(llama.llama_seq_id)
        first = ctypes.cast(self._sequence, pointer)
        self._sequences = (pointer * n)(*[first] * n)
        self._wanted = (ctypes.c_int8 * n)()
        self._batch = llama.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._tokens, ctypes.POINTER(llama.llama_token)),
            pos=ctypes.cast(self._positions, ctypes.POINTER(llama.llama_pos)),
            n_seq_id=ctypes.cast(self._counts, ctypes.POINTER(ctypes.c_int32)),
            seq_id=ctypes.cast(self._sequences, ctypes.POINTER(pointer)),
            logits=ctypes.cast(self._wanted, ctypes.POINTER(ctypes.c_int8)),
        )
        self._embedded = llama.llama_batch.from_buffer_copy(self._batch)
        self._embedded.token = None

    def decode_one(self, token: int, position: int) -> None:
        """Evaluate one token and keep its logits: the inner loop of generation."""
        self._tokens[0] = token
        self._positions[0] = position
        self._wanted[0] = 1
        self._batch.n_tokens = 1
        if status := self._decode(self._pointer, self._batch):
            raise _failure(status, 1, position)

    def decode_tokens(self, tokens: Sequence[int], position: int, *, all_logits: bool) -> None:
        """Evaluate at most `n_batch` tokens; keep the last one's logits, or all."""
        n = len(tokens)
        self._tokens[:n] = tokens
        self._positions[:n] = range(position, position + n)
        self._run(self._batch, n, position, all_logits=all_logits)

    def decode_embeddings(
        self,
        values: npt.NDArray[np.float32],
        position: int,
        *,
        causal: bool,
        places: Places | None = None,
    ) -> int:
        """Evaluate at most `n_batch` rows of `values`, shape ``(n, n_embd)``, as image tokens.

        Returns
        -------
        int
            The next position.
        """
        given = embedding_batch([Piece(values, position, places)])
        self._embedded.embd = given.values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._embedded.pos = given.positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        if not causal:
            self._lib.llama.llama_set_causal_attn(self._pointer, False)
        try:
            self._run(self._embedded, len(values), position, all_logits=False)
        finally:
            self.reset_attention()
        return given.ends[0]

    def reset_attention(self) -> None:
        """Return to causal attention, which an interrupted image may have left off."""
        self._lib.llama.llama_set_causal_attn(self._pointer, True)

    def _run(self, batch: Any, n: int, position: int, *, all_logits: bool) -> None:
        self._wanted[:n] = [1] * n if all_logits else [*[0] * (n - 1), 1]
        batch.n_tokens = n
        if status := self._decode(self._pointer, batch):
            raise _failure(status, n, position)

    def sample(self, sampler: Any) -> int:
        """Draw the next token from the logits last kept."""
        return int(self._sample(sampler, self._pointer, -1))

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Copy the logits of `row` of the last batch (-1: the last kept), shape ``(n_vocab,)``."""
        pointer = self._lib.llama.llama_get_logits_ith(self._pointer, row)
        return np.ctypeslib.as_array(pointer, (self._n_vocab,)).copy()

    def truncate(self, position: int) -> bool:
        """Forget everything from `position` on; False where this kind of cache cannot."""
        return bool(self._lib.llama.llama_memory_seq_rm(self._memory, 0, position, -1))

    def clear(self) -> None:
        """Forget everything."""
        self._lib.llama.llama_memory_clear(self._memory, False)

    def free(self) -> None:
        """Release the cache and the compute buffers."""
        self._lib.llama.llama_free(self._pointer)


def _failure(status: int, n: int, position: int) -> GenerationError:
    return GenerationError(
        f"llama.cpp could not evaluate {n} tokens at position {position} (status {status})",
        hint="Close the engine and load the model again; if it happens anew, the model file is of a"
        " kind this version of llama.cpp does not support",
    )
