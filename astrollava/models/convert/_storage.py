"""Numbers brought into the type they are stored in.

The block formats are ggml's reference (``quantize_row_q8_0_ref``, ``quantize_row_q4_0_ref``), bit
for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.models._formats import FILE_TYPES, TENSOR_TYPES
from astrollava.models.checkpoint import as_float32

__all__ = [
    "QUANTIZATIONS",
    "Unfit",
    "check_quantization",
    "file_type",
    "mmproj_default",
    "pack",
    "row_bytes",
    "stored_type",
]

#: Types that are written without llama.cpp's help.
QUANTIZATIONS: Final = ("f32", "f16", "bf16", "q8_0", "q4_0")

_WHOLE: Final = ("f32", "f16", "bf16")

_TYPES: Final = {kind.name: kind for kind in TENSOR_TYPES.values()}

# The tower's convolution reads f16 or f32 kernels only; positions are added, not multiplied.
_NEVER_QUANTIZED: Final = frozenset({
    "v.patch_embd.weight", "v.position_embd.weight", "rope_freqs.weight",
})  # fmt: skip

_BLOCK: Final = 32


class Unfit(ValueError):
    """Numbers that are not finite, or larger than their type holds."""


def check_quantization(name: str) -> str:
    """Return the name in upper case, or raise `InvalidRequest` for one not in `QUANTIZATIONS`."""
    if name.lower() not in QUANTIZATIONS:
        raise InvalidRequest(
            f"the storage type {name!r:.40} is not written directly",
            expected=f"one of {', '.join(QUANTIZATIONS)}",
            hint="Convert to f16 and quantize that",
        )
    return name.upper()


def mmproj_default(quantize: str) -> str:
    """Return how tower and projector are stored where nobody says.

    Parameters
    ----------
    quantize : str
        Storage type of the language model.

    Returns
    -------
    str
        The same where that is not quantized, else ``"q8_0"``: tower and projector are small, and
        all that a model knows of a picture passes through them.
    """
    return quantize if quantize.lower() in _WHOLE else "q8_0"


def file_type(kind: str) -> int:
    """Return llama.cpp's number for a file whose matrices have this type."""
    return next(number for number, name in FILE_TYPES.items() if name == kind)


def stored_type(name: str, shape: Sequence[int], wanted: str) -> str:
    """Return the type a tensor is stored in: `wanted` where llama.cpp can read it so."""
    if len(shape) <= 1 or name in _NEVER_QUANTIZED:
        return "F32"
    return wanted if shape[-1] % _TYPES[wanted].block == 0 else "F16"


def row_bytes(length: int, kind: str) -> int:
    """Return the bytes of `length` numbers in a row."""
    return length // _TYPES[kind].block * _TYPES[kind].size


def pack(values: NDArray[Any], given: str, wanted: str) -> NDArray[Any]:
    """Bring numbers into the type they are stored in.

    Parameters
    ----------
    values : ndarray
        As `Tensor.read` gives them: whole rows of the last axis.
    given : {"F32", "F16", "BF16"}
        Their type.
    wanted : str
        A type of `QUANTIZATIONS`, in upper case.

    Returns
    -------
    ndarray
        Its bytes are what is written.

    Raises
    ------
    Unfit
        A number is not finite, or too large for half precision.
    """
    if given == wanted:
        packed = values
    elif wanted == "F32":
        packed = as_float32(values, given)
    elif wanted == "F16":
        packed = _from_bf16(values) if given == "BF16" else _half(values)
    elif wanted == "BF16":
        packed = _bfloat(as_float32(values, given))
    else:
        blocks = as_float32(values, given).reshape(-1, _BLOCK)
        # A block that is not finite would become one of numbers that look sound.
        _check(blocks, "F32")
        return _q8_0(blocks) if wanted == "Q8_0" else _q4_0(blocks)
    _check(packed, wanted)
    return packed


def _check(values: NDArray[Any], kind: str) -> None:
    """Raise where a number has all bits of its exponent set: infinite, or no number."""
    bits = values.view(np.uint32 if kind == "F32" else np.uint16)
    exponent = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}[kind]
    magnitude = np.bitwise_and(bits, bits.dtype.type(2 * 2 ** (8 * bits.itemsize - 2) - 1))
    if bits.size and int(magnitude.max()) >= exponent:
        raise Unfit


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    # What overflows is found by the check that follows.
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


@cache
def _halves() -> NDArray[np.uint16]:
    """Half precision of each of the 65536 bfloat16 numbers."""
    every = np.arange(1 << 16, dtype=np.uint16)
    with np.errstate(over="ignore"):
        return as_float32(every, "BF16").astype(np.float16).view(np.uint16)


def _from_bf16(values: NDArray[np.uint16]) -> NDArray[np.float16]:
    """Move the exponent, five times as fast as by way of float32."""
    given = values.reshape(-1)
    magnitude = given & np.uint16(0x7FFF)
    # Three bits more of fraction, and an exponent counted from 15 in place of 127; the difference
    # of 112 is 0x1C000 there, of which 16 bits hold the rest.
    halves = (magnitude << np.uint16(3)) - np.uint16(0xC000)
    halves |= given & np.uint16(0x8000)
    # Exponents half precision has not wrap around, and are looked up: few weights are below 6e-5.
    magnitude -= np.uint16(113 << 7)
    others = np.flatnonzero(magnitude >= np.uint16(30 << 7))
    halves[others] = _halves()[given[others]]
    return halves.view(np.float16).reshape(values.shape)


def _bfloat(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to the nearest, ties to even, as ``ggml_compute_fp32_to_bf16`` does."""
    bits = values.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    # Not a number stays one: adding could carry over into zero.
    rounded = np.where((bits & np.uint32(0x7FFFFFFF)) > 0x7F800000, bits, rounded)
    return (rounded >> np.uint32(16)).astype(np.uint16)


def _scales(most: NDArray[np.float32], steps: int) -> tuple[NDArray[np.float16], Any]:
    """Return a block's scale as it is stored, and what its numbers are multiplied by."""
    scale = most / np.float32(steps)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    # Of zeros, and of numbers so small that the scale is stored as zero.
    inverse[~np.isfinite(inverse)] = 0
    stored = _half(scale)
    _check(stored, "F16")
    return stored, inverse


def _q8_0(blocks: NDArray[np.float32]) -> NDArray[np.uint8]:
    scale, inverse = _scales(np.abs(blocks).max(axis=1, keepdims=True), 127)
    numbers = blocks * inverse
    # Halves away from zero, as C's roundf; numpy's rint goes to the even number.
    numbers += np.copysign(np.float32(0.5), numbers)
    packed = np.empty((len(blocks), 2 + _BLOCK), np.uint8)
    packed[:, :2] = scale.view(np.uint8)
    packed[:, 2:] = numbers.astype(np.int8).view(np.uint8)
    return packed


def _q4_0(blocks: NDArray[np.float32]) -> NDArray[np.uint8]:
    at = np.abs(blocks).argmax(axis=1)[:, None]
    scale, inverse = _scales(np.take_along_axis(blocks, at, axis=1), -8)
    numbers = (blocks * inverse + np.float32(8.5)).astype(np.uint8)
    np.minimum(numbers, 15, out=numbers)
    packed = np.empty((len(blocks), 2 + _BLOCK // 2), np.uint8)
    packed[:, :2] = scale.view(np.uint8)
    packed[:, 2:] = numbers[:, : _BLOCK // 2] | numbers[:, _BLOCK // 2 :] << np.uint8(4)
    return packed
