"""The bare llama.cpp calls around a text model and its vocabulary, each wrapped once.

Pointers live here and nowhere else. Nothing here locks: callers hold the engine's lock.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from astrollava.engine import _logs as logs
from astrollava.engine import runtime
from astrollava.engine.runtime import Bindings
from astrollava.errors import ModelLoadFailed

__all__ = ["TextModel", "model_params"]

#: Set to "first" by astrollava's converter, where llama.cpp puts a space before no text or every.
_SPACE_PREFIX = "astrollava.tokenizer.space_prefix"


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
        self.vocab = llama.llama_model_get_vocab(self.pointer)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self.vocab))
        #: What a GPU may be given: the blocks, those that predict further tokens, and the output.
        self.layers = 1 + sum(
            int(count(self.pointer))
            for count in (llama.llama_model_n_layer, llama.llama_model_n_layer_nextn)
        )
        self.n_embd = int(llama.llama_model_n_embd_inp(self.pointer))
        self.n_ctx_train = int(llama.llama_model_n_ctx_train(self.pointer))
        #: Tokens that the layers with the narrowest view see; 0 where all see all.
        self.window = int(llama.llama_model_n_swa(self.pointer))
        #: Whether image tokens have a position in time, row and column each (M-RoPE). A batch of
        #: embeddings then needs four positions a token; for text llama.cpp repeats the one.
        self.places_on_grid = int(llama.llama_model_rope_type(self.pointer)) in (
            llama.LLAMA_ROPE_TYPE_MROPE,
            llama.LLAMA_ROPE_TYPE_IMROPE,
        )
        template = llama.llama_model_chat_template(self.pointer, None)
        self.chat_template = None if template is None else template.decode("utf-8", "replace")
        self.architecture = self.metadata("general.architecture")
        self.bos = int(llama.llama_vocab_bos(self.vocab))
        self.bos_text = self._token_text(self.bos)
        self.eos_text = self._token_text(int(llama.llama_vocab_eos(self.vocab)))
        self._space_at_start = self.metadata(_SPACE_PREFIX) == "first"
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self.vocab)) and self.bos >= 0
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
            kind = llama.llama_vocab_get_attr(self.vocab, tokens[0])
            if kind & (llama.LLAMA_TOKEN_ATTR_NORMAL | llama.LLAMA_TOKEN_ATTR_BYTE):
                return self._tokenize(f" {text}")
        return tokens

    def _tokenize(self, text: str) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            out = (self._lib.llama.llama_token * room)()
            n = self._lib.llama.llama_tokenize(self.vocab, data, len(data), out, room, False, True)
            if n >= 0:
                return list(out[:n])
            room = -n

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        text = self._lib.llama.llama_vocab_get_text(self.vocab, token)
        return str(text.decode("utf-8", "replace"))

    def piece(self, token: int) -> tuple[bytes, bool]:
        """Return the bytes `token` stands for (none for special ones) and whether it ends text."""
        known = self._pieces.get(token)
        if known is None:
            llama = self._lib.llama
            size = 64
            while True:
                buffer = ctypes.create_string_buffer(size)
                n = llama.llama_token_to_piece(self.vocab, token, buffer, size, 0, False)
                if n >= 0:
                    break
                size = -n
            known = (buffer.raw[:n], bool(llama.llama_vocab_is_eog(self.vocab, token)))
            self._pieces[token] = known
        return known

    def free(self) -> None:
        """Release the weights."""
        self._lib.llama.llama_model_free(self.pointer)
