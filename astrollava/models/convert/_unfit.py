"""Weights that cannot be stored: which, how many of them, and what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np

from astrollava.errors import InvalidCheckpoint
from astrollava.models.checkpoint import Tensor, View, as_float32

__all__ = ["refused"]

#: Type -> the largest number it holds: half precision ends at 65504, blocks have a scale in it.
_MOST: Final = {
    "F32": np.inf, "F16": 65504.0, "BF16": 3.3895e38, "Q8_0": 127 * 65504.0, "Q4_0": 8 * 65504.0,
}  # fmt: skip

_PIECE: Final = 8 << 20


@dataclass
class _Count:
    numbers: int = 0
    nan: int = 0
    infinite: int = 0
    large: int = 0
    largest: float = 0.0
    #: Where the first of them is, counted row after row.
    first: int = -1

    @property
    def any(self) -> bool:
        return self.first >= 0


def refused(tensor: Tensor, wanted: str) -> InvalidCheckpoint:
    """Make the error for a tensor whose numbers cannot be stored as `wanted`.

    Parameters
    ----------
    tensor : Tensor
        The tensor; all of it is read.
    wanted : str
        The type it was to be stored in.

    Returns
    -------
    InvalidCheckpoint
        It names the tensor as the checkpoint does: a factor of an adapter where that is at fault.
    """
    for part in _parts(tensor):
        count = _count(part, np.inf)
        if count.any:
            return _not_finite(part, count)
    most = _MOST[wanted]
    count = _count(tensor, most)
    where = f"the tensor {tensor.name!r:.200} ({_file(tensor)})"
    if isinstance(tensor, View) and count.nan + count.infinite:
        return InvalidCheckpoint(
            f"{where} and its adapter are sound, and their sum has {_some(count)}",
            hint="The adapter belongs to another base model, or its training diverged",
        )
    return InvalidCheckpoint(
        f"{where} has {_number(count.large)} of {_number(count.numbers)} numbers beyond the "
        f"{most:.6g} that {wanted.lower()} can hold, up to {count.largest:.6g}, the first at "
        f"{_place(tensor, count)}",
        hint="Convert to bf16 or f32 (--quantize, and --mmproj-quantize for tower and projector)",
    )


def _not_finite(tensor: Tensor, count: _Count) -> InvalidCheckpoint:
    overflowed = tensor.kind == "F16" and not count.nan
    return InvalidCheckpoint(
        f"the tensor {tensor.name!r:.200} ({_file(tensor)}) has {_some(count)}, the first at "
        f"{_place(tensor, count)}",
        hint="It was saved in half precision, which ends at 65504: save it in bfloat16 or float32 "
        "where it was trained, and convert that"
        if overflowed
        else "Compare the file with its published hash, and download it again if that differs;"
        " where it does not, the training diverged: convert a checkpoint from before",
    )


def _parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return what lies in files of all that a tensor is made of."""
    if not isinstance(tensor, View):
        return (tensor,)
    return tuple(stored for part in tensor.parts for stored in _parts(part))


def _count(tensor: Tensor, most: float) -> _Count:
    """Count what is not finite, or finite and larger than `most`."""
    found = _Count(numbers=math.prod(tensor.shape))
    rows = tensor.shape[0] if tensor.shape else 1
    row = max(found.numbers // max(rows, 1), 1)
    step = max(_PIECE // (4 * row) // tensor.grain, 1) * tensor.grain
    for start in range(0, rows, step):
        values = as_float32(tensor.read(start, min(start + step, rows)), tensor.kind).reshape(-1)
        size = np.abs(values)
        nan, infinite = np.isnan(values), np.isinf(values)
        large = (size > most) & ~infinite
        wrong = nan | infinite | large
        if not wrong.any():
            continue
        if not found.any:
            found.first = start * row + int(wrong.argmax())
        found.nan += int(nan.sum())
        found.infinite += int(infinite.sum())
        found.large += int(large.sum())
        found.largest = max(found.largest, float(size[large].max(initial=0)))
    return found


def _some(count: _Count) -> str:
    """Say how many are not finite."""
    kinds = ((count.nan, "NaN"), (count.infinite, "infinite"))
    words = ", ".join(f"{_number(some)} {kind}" for some, kind in kinds if some)
    wrong = count.nan + count.infinite
    return f"{_number(wrong)} of {_number(count.numbers)} numbers not finite ({words})"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _place(tensor: Tensor, count: _Count) -> str:
    index = np.unravel_index(count.first, tensor.shape or (1,))
    return f"[{', '.join(str(int(at)) for at in index)}]"


def _file(tensor: Tensor) -> str:
    return PurePath(tensor.place[0]).name
