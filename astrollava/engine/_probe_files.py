"""A pair of GGUF files of a few KB whose image rows tell what the class token's graph does.

The tower runs no layer, so that a row of its output is a patch's content plus a row of the position
table, each readable on axes of its own; the language model only gives mtmd a width to match.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["CLASS_AXIS", "CONTENT_AXIS", "LOUD", "PATCHES", "POSITION_AXIS", "picture", "write"]

#: Pixels along a side of the picture and of a patch.
_SIDE: Final = 8
_PATCH: Final = 4
#: How many patches that makes.
PATCHES: Final = (_SIDE // _PATCH) ** 2

#: Axes of a row: the patch's brightness, the class token, and one for each row of positions.
CONTENT_AXIS: Final = 0
CLASS_AXIS: Final = 1
POSITION_AXIS: Final = 2
_WIDTH: Final = 8

#: One on every axis: far out on GELU's straight half, where what comes in goes out.
LOUD: Final = 64.0

_ALIGNMENT: Final = 32
_Value = bool | int | float | str | Sequence[float] | Sequence[str]


def picture() -> npt.NDArray[np.uint8]:
    """Return the picture to encode: patch k, counted from 0, comes out as k + 1 times `LOUD`."""
    across = _SIDE // _PATCH
    levels = np.arange(1, PATCHES + 1, dtype=np.uint8).reshape(across, across)
    return np.ascontiguousarray(
        np.kron(levels, np.ones((_PATCH, _PATCH), np.uint8))[..., None].repeat(3, axis=2)
    )


def write(folder: Path) -> tuple[Path, Path]:
    """Write the pair into a folder and return the paths of the language model and the projector."""
    text, mmproj = folder / "probe-text.gguf", folder / "probe-mmproj.gguf"
    text.write_bytes(_text())
    mmproj.write_bytes(_mmproj())
    return text, mmproj


def _mmproj() -> bytes:
    keys: dict[str, _Value] = {
        "general.architecture": "clip",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp",
        "clip.use_gelu": True,
        "clip.vision.image_size": _SIDE,
        "clip.vision.patch_size": _PATCH,
        "clip.vision.embedding_length": _WIDTH,
        "clip.vision.feed_forward_length": _WIDTH,
        # One layer, of which LLaVA's last but one leaves none.
        "clip.vision.block_count": 1,
        "clip.vision.projection_dim": _WIDTH,
        "clip.vision.attention.head_count": 1,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": (0.0, 0.0, 0.0),
        "clip.vision.image_std": (1.0, 1.0, 1.0),
    }
    kernel = np.zeros((_WIDTH, 3, _PATCH, _PATCH), np.float32)
    # Sums up to 255 times the mean of the patch, whose pixels llama.cpp divides by 255.
    kernel[CONTENT_AXIS] = LOUD * 255.0 / (3 * _PATCH**2)
    positions = np.zeros((PATCHES + 1, _WIDTH), np.float32)
    for row in range(PATCHES + 1):
        positions[row, POSITION_AXIS + row] = LOUD
    token = np.zeros(_WIDTH, np.float32)
    token[CLASS_AXIS] = LOUD
    tensors = {
        "v.patch_embd.weight": kernel,
        "v.class_embd": token,
        "v.position_embd.weight": positions,
        "mm.0.weight": np.eye(_WIDTH, dtype=np.float32),
        "mm.0.bias": np.zeros(_WIDTH, np.float32),
        "mm.2.weight": np.eye(_WIDTH, dtype=np.float32),
        "mm.2.bias": np.zeros(_WIDTH, np.float32),
    }
    matrix, vector = np.zeros((_WIDTH, _WIDTH), np.float32), np.zeros(_WIDTH, np.float32)
    for part in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
        tensors[f"v.blk.0.{part}.weight"] = matrix
        tensors[f"v.blk.0.{part}.bias"] = vector
    for part in ("ln1", "ln2"):
        tensors[f"v.blk.0.{part}.weight"] = tensors[f"v.blk.0.{part}.bias"] = vector
    return _gguf(keys, tensors)


def _text() -> bytes:
    keys: dict[str, _Value] = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 8,
        "llama.embedding_length": _WIDTH,
        "llama.feed_forward_length": _WIDTH,
        "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": 1,
        "tokenizer.ggml.model": "no_vocab",
    }
    matrix, vector = np.zeros((_WIDTH, _WIDTH), np.float32), np.zeros(_WIDTH, np.float32)
    tensors = {
        "token_embd.weight": np.zeros((1, _WIDTH), np.float32),
        "output_norm.weight": vector,
        "blk.0.attn_norm.weight": vector,
        "blk.0.ffn_norm.weight": vector,
    }
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        tensors[f"blk.0.{part}.weight"] = matrix
    return _gguf(keys, tensors)


def _gguf(keys: Mapping[str, _Value], tensors: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """Write a GGUF file of version 3: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys))]
    for key, value in keys.items():
        head += [_string(key), _value(value)]
    data = []
    at = 0
    for name, values in tensors.items():
        head += [_string(name), struct.pack("<I", values.ndim)]
        head.append(struct.pack(f"<{values.ndim}Q", *reversed(values.shape)))
        head.append(struct.pack("<IQ", 0, at))
        raw = values.astype("<f4").tobytes()
        raw += bytes(-len(raw) % _ALIGNMENT)
        at += len(raw)
        data.append(raw)
    start = b"".join(head)
    return start + bytes(-len(start) % _ALIGNMENT) + b"".join(data)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: _Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)
