"""Weights that stay on disk until a few rows of them are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidCheckpoint

__all__ = ["ITEM_SIZES", "READABLE", "StoredTensor", "Tensor", "View", "as_float32", "numpy_type"]

#: Type -> bytes of a number. Those beyond the first three may lie in a checkpoint, as buffers.
ITEM_SIZES: Final = {
    "F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "U16": 2, "U32": 4, "U64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}  # fmt: skip

_NUMPY: Final = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}

#: Types whose numbers can be read.
READABLE: Final = tuple(_NUMPY)


def numpy_type(kind: str) -> np.dtype[Any]:
    """Return how numbers of a type lie in memory: bfloat16 as the upper halves of float32."""
    return np.dtype(_NUMPY[kind])


class Tensor(Protocol):
    """A named array of float numbers that can be read in parts.

    Attributes
    ----------
    name : str
        What the checkpoint calls it.
    shape : tuple of int
        Sizes in numpy's order, slowest-varying first.
    kind : str
        ``"F32"``, ``"F16"`` or ``"BF16"``; others cannot be read.
    grain : int
        `read` wants multiples of it, or the end.
    place : tuple of str and int
        File and offset of its first number: sorted by it, tensors are read from front to back.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def kind(self) -> str: ...
    @property
    def grain(self) -> int: ...
    @property
    def place(self) -> tuple[str, int]: ...

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows `start` to `stop` along the first axis, in the type `numpy_type` tells."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a file: row after row, without gaps.

    Attributes
    ----------
    name, shape, kind
        As in `Tensor`; `kind` is a key of `ITEM_SIZES`.
    path : Path
        The file.
    offset : int
        Bytes from the start of the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    path: Path
    offset: int
    grain: int = 1

    @property
    def place(self) -> tuple[str, int]:
        """File and offset."""
        return str(self.path), self.offset

    @property
    def nbytes(self) -> int:
        """Bytes it takes in its file."""
        return math.prod(self.shape) * ITEM_SIZES[self.kind]

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows from the file.

        Not mapped into memory: the rows of a 13 GB checkpoint would add up, and a file cut short
        meanwhile would end the process.
        """
        rows = self.shape[0] if self.shape else 1
        stop = rows if stop is None else min(stop, rows)
        row = math.prod(self.shape[1:])
        values = np.empty((stop - start) * row, numpy_type(self.kind))
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + start * row * values.itemsize)
                if values.size:
                    _fill(file, values.data.cast("B"))
        except (OSError, EOFError) as error:
            raise InvalidCheckpoint(
                f"{self.path.name}: the tensor {self.name!r} cannot be read: {error}",
                hint="Download the checkpoint again",
            ) from None
        return values.reshape(stop - start, *self.shape[1:]) if self.shape else values


@dataclass(frozen=True)
class View:
    """A tensor made of another, which tells all of it but the numbers.

    Attributes
    ----------
    base : Tensor
        The other one.
    """

    base: Tensor

    @property
    def name(self) -> str:
        """Name of the other one."""
        return self.base.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.base.shape

    @property
    def kind(self) -> str:
        """Its type."""
        return self.base.kind

    @property
    def grain(self) -> int:
        """Its grain."""
        return self.base.grain

    @property
    def place(self) -> tuple[str, int]:
        """Its place."""
        return self.base.place

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All that its numbers are made of."""
        return (self.base,)


def as_float32(values: NDArray[Any], kind: str) -> NDArray[np.float32]:
    """Return numbers of a type that `Tensor.read` gave as float32."""
    if kind == "BF16":
        wide = values.astype(np.uint32)
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    return values.astype(np.float32, copy=False)


def _fill(file: Any, buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done:])
        if not count:
            raise EOFError("the file ends before it")
        done += count
