"""The few facts about an mmproj file that llama.cpp reads and does not tell."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from astrollava.engine import _logs as logs
from astrollava.engine.runtime import Bindings
from astrollava.errors import ModelLoadFailed

__all__ = ["Header"]

# Types of metadata values (gguf.h) and of tensors (ggml.h).
_UINT32, _STRING = 4, 8
_FLOAT32 = 0


class Header:
    """The header of a GGUF file, opened by ggml; a context manager."""

    def __init__(self, lib: Bindings, path: Path) -> None:
        self._gguf = lib.gguf
        self._path = path

    def __enter__(self) -> Header:
        gguf = self._gguf
        gguf.gguf_init_from_file.argtypes = [ctypes.c_char_p, _Params]
        gguf.gguf_init_from_file.restype = ctypes.c_void_p
        gguf.gguf_free.argtypes = [ctypes.c_void_p]
        gguf.gguf_find_key.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        gguf.gguf_find_key.restype = ctypes.c_int64
        gguf.gguf_find_tensor.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        gguf.gguf_find_tensor.restype = ctypes.c_int64
        for name, kind in (
            ("kv_type", ctypes.c_int),
            ("val_u32", ctypes.c_uint32),
            ("val_str", ctypes.c_char_p),
            ("tensor_type", ctypes.c_int),
            ("tensor_size", ctypes.c_size_t),
        ):
            getter = getattr(gguf, f"gguf_get_{name}")
            getter.argtypes, getter.restype = [ctypes.c_void_p, ctypes.c_int64], kind
        logs.clear()
        self._pointer = gguf.gguf_init_from_file(os.fsencode(self._path), _Params(True, None))
        if not self._pointer:
            raise ModelLoadFailed(
                f"llama.cpp cannot read the header of {self._path} ({logs.tail()})",
                expected="a GGUF file of a vision tower and projector (mmproj)",
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._gguf.gguf_free(self._pointer)

    def integer(self, key: str) -> int | None:
        """Return a uint32 value, None where there is none."""
        index = self._find(key, _UINT32)
        return None if index is None else int(self._gguf.gguf_get_val_u32(self._pointer, index))

    def text(self, key: str) -> str:
        """Return a string value, empty where there is none."""
        index = self._find(key, _STRING)
        if index is None:
            return ""
        return str(self._gguf.gguf_get_val_str(self._pointer, index).decode("utf-8", "replace"))

    def has_tensor(self, name: str) -> bool:
        """Say whether there is a tensor of that name."""
        return int(self._gguf.gguf_find_tensor(self._pointer, name.encode())) >= 0

    def vector_size(self, tensor: str) -> int | None:
        """Return how many float32 numbers a tensor has, None where it is absent or packed."""
        index = int(self._gguf.gguf_find_tensor(self._pointer, tensor.encode()))
        if index < 0 or self._gguf.gguf_get_tensor_type(self._pointer, index) != _FLOAT32:
            return None
        return int(self._gguf.gguf_get_tensor_size(self._pointer, index)) // 4

    def _find(self, key: str, kind: int) -> int | None:
        # The getters abort the process on another type.
        index = int(self._gguf.gguf_find_key(self._pointer, key.encode()))
        if index < 0 or self._gguf.gguf_get_kv_type(self._pointer, index) != kind:
            return None
        return index


class _Params(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))
