"""Tensors in the order llama.cpp wants their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.models.checkpoint import View

__all__ = ["Constant", "PairedHalves", "TurnedRows"]


@dataclass(frozen=True)
class PairedHalves(View):
    """Queries or keys, in heads of `length` rows.

    transformers keeps the halves of rotated pairs apart, llama.cpp's llama wants the two of a pair
    side by side.
    """

    length: int

    @property
    def grain(self) -> int:
        """Rows of a head."""
        return self.length

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows of whole heads."""
        rows = self.base.read(start, stop)
        halves = rows.reshape(-1, 2, self.length // 2, *rows.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


@dataclass(frozen=True)
class TurnedRows(View):
    """Rows 1 to the last, then row 0."""

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows of the turned table."""
        end = self.shape[0]
        stop = end if stop is None else min(stop, end)
        if stop < end:
            return self.base.read(start + 1, stop + 1)
        return np.concatenate([self.base.read(start + 1, end), self.base.read(0, 1)])


@dataclass(frozen=True)
class Constant:
    """Numbers that are computed, not read."""

    name: str
    values: NDArray[np.float32]
    kind: str = "F32"
    grain: int = 1
    place: tuple[str, int] = ("", 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the numbers."""
        return self.values.shape

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return some of the numbers."""
        return self.values[start:stop]
