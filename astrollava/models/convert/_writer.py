"""A GGUF file, written from front to back in pieces.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import os
import struct
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeAlias

from numpy.typing import NDArray

from astrollava.models._formats import ARRAY, SCALARS, STRING, TENSOR_TYPES
from astrollava.models.checkpoint import Tensor

from ._storage import Unfit, pack, row_bytes, stored_type
from ._unfit import refused

__all__ = ["Metadata", "Plan", "Planned", "Value", "plan"]

#: Written as bool, u32, f32, string, and arrays of strings, i32 and f32.
Value: TypeAlias = bool | int | float | str | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
Metadata: TypeAlias = Mapping[str, Value]

#: A piece of a tensor, with whether it is the tensor's last.
_Ready: TypeAlias = "tuple[Planned, bool, NDArray[Any]]"

_ALIGNMENT: Final = 32
#: Bytes, as f32, of a piece that is read, brought into its type and written at once: what a
#: processor's cache holds.
_PIECE: Final = 8 << 20
_TYPES: Final = {kind.name: number for number, kind in TENSOR_TYPES.items()}
_NUMBERS: Final = {name: number for number, (name, _) in SCALARS.items()}


@dataclass(frozen=True)
class Planned:
    """A tensor of the file to be.

    Attributes
    ----------
    name : str
        llama.cpp's name.
    source : Tensor
        Where its numbers come from.
    kind : str
        The type they are stored in.
    size : int
        Bytes they take.
    """

    name: str
    source: Tensor
    kind: str
    size: int

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield the rows of each piece, as start and stop."""
        shape, grain = self.source.shape, self.source.grain
        row = max(math.prod(shape[1:]) * 4, 1)
        step = max(_PIECE // row // grain, 1) * grain
        for start in range(0, shape[0], step):
            yield start, min(start + step, shape[0])

    def piece(self, start: int, stop: int) -> NDArray[Any]:
        """Read some rows and bring them into the type they are stored in."""
        values = self.source.read(start, stop)
        return pack(values, self.source.kind, self.kind)


@dataclass(frozen=True)
class Plan:
    """A file to be: its metadata and, in order, its tensors.

    Attributes
    ----------
    metadata : mapping
        Key -> value.
    tensors : tuple of Planned
        The tensors.
    """

    metadata: Metadata
    tensors: tuple[Planned, ...]

    @property
    def size(self) -> int:
        """Bytes the file will have."""
        return len(self.header(self.metadata)) + sum(_padded(t.size) for t in self.tensors)

    def header(self, metadata: Metadata) -> bytes:
        """Return all that stands before the first tensor."""
        head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(metadata)))
        for key, value in metadata.items():
            head += _text(key) + _encoded(key, value)
        offset = 0
        for tensor in self.tensors:
            sizes = tensor.source.shape[::-1]
            head += _text(tensor.name)
            head += struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
            head += struct.pack("<IQ", _TYPES[tensor.kind], offset)
            offset += _padded(tensor.size)
        return bytes(head) + bytes(-len(head) % _ALIGNMENT)

    def write(self, file: BinaryIO) -> Iterator[int]:
        """Write the file and yield, after each piece, the bytes it had.

        A few pieces are prepared ahead, by as many threads as help: numpy works beside Python.
        """
        yield file.write(self.header(self.metadata))
        workers = min(os.cpu_count() or 1, 4)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="astrollava-convert")
        try:
            left = sum(tensor.size for tensor in self.tensors)
            for tensor, last, piece in _ahead(pool, self.tensors, 2 * workers):
                left -= piece.nbytes
                yield file.write(piece.data.cast("B"))
                if last:
                    file.write(bytes(_padded(tensor.size) - tensor.size))
            assert left == 0
        finally:
            pool.shutdown(cancel_futures=True)

    def rewrite_header(self, file: BinaryIO, changed: Metadata) -> None:
        """Write the header again, with values of the same length in place of some."""
        old, new = self.header(self.metadata), self.header({**self.metadata, **changed})
        assert len(old) == len(new)
        file.seek(0)
        file.write(new)


def plan(metadata: Metadata, tensors: Sequence[tuple[str, Tensor]], wanted: str) -> Plan:
    """Decide in which type each tensor is stored, and put them in the order they are read."""
    planned = []
    for name, source in sorted(tensors, key=lambda tensor: tensor[1].place):
        kind = stored_type(name, source.shape, wanted)
        rows = math.prod(source.shape[:-1])
        planned.append(Planned(name, source, kind, rows * row_bytes(source.shape[-1], kind)))
    return Plan(metadata, tuple(planned))


def _ahead(pool: ThreadPoolExecutor, tensors: Sequence[Planned], count: int) -> Iterator[_Ready]:
    """Prepare `count` pieces ahead, and yield them in order."""
    waiting: deque[tuple[Planned, bool, Future[NDArray[Any]]]] = deque()
    for tensor in tensors:
        for start, stop in tensor.spans():
            last = stop == tensor.source.shape[0]
            waiting.append((tensor, last, pool.submit(tensor.piece, start, stop)))
            if len(waiting) > count:
                yield _first(waiting)
    while waiting:
        yield _first(waiting)


def _first(waiting: deque[tuple[Planned, bool, Future[NDArray[Any]]]]) -> _Ready:
    tensor, last, piece = waiting.popleft()
    try:
        return tensor, last, piece.result()
    except Unfit:
        raise refused(tensor.source, tensor.kind) from None


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _encoded(key: str, value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", _NUMBERS["bool"], value)
        case int():
            return struct.pack("<II", _NUMBERS["u32"], value)
        case float():
            return struct.pack("<If", _NUMBERS["f32"], value)
        case str():
            return struct.pack("<I", STRING) + _text(value)
    head = struct.pack("<I", ARRAY)
    first = value[0]  # An array without elements has no type.
    if isinstance(first, str):
        texts = b"".join(_text(str(v)) for v in value)
        return head + struct.pack("<IQ", STRING, len(value)) + texts
    kind = "f32" if isinstance(first, float) else "i32"
    numbers = array("f" if kind == "f32" else "i", value)
    return head + struct.pack("<IQ", _NUMBERS[kind], len(value)) + numbers.tobytes()
