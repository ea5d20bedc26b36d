"""A GGUF file, written from front to back in pieces.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeAlias

from numpy.typing import NDArray

from astrollava.models._formats import ARRAY, SCALARS, STRING, TENSOR_TYPES
from astrollava.models.checkpoint import Tensor

from ._storage import pack, row_bytes, stored_type

__all__ = ["Metadata", "Plan", "Planned", "Value", "plan"]

#: Written as bool, u32, f32, string, and arrays of strings, i32 and f32.
Value: TypeAlias = bool | int | float | str | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
Metadata: TypeAlias = Mapping[str, Value]

_ALIGNMENT: Final = 32
#: Bytes of a piece that is read, brought into its type and written at once.
_PIECE: Final = 32 << 20
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

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Read, convert and yield the numbers piece by piece."""
        shape, grain = self.source.shape, self.source.grain
        row = max(math.prod(shape[1:]) * 4, 1)
        step = max(_PIECE // row // grain, 1) * grain
        for start in range(0, shape[0], step):
            stop = min(start + step, shape[0])
            values = self.source.read(start, stop)
            yield pack(values, self.source.kind, self.kind, self.source.name)


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
        """Write the file and yield, after each piece, the bytes it had."""
        yield file.write(self.header(self.metadata))
        for tensor in self.tensors:
            left = tensor.size
            for piece in tensor.pieces():
                left -= piece.nbytes
                yield file.write(piece.data.cast("B"))
            assert left == 0, tensor.name
            file.write(bytes(_padded(tensor.size) - tensor.size))

    def rewrite_header(self, file: BinaryIO, changed: Metadata) -> None:
        """Write the header again, with values of the same length in place of some."""
        old, new = self.header(self.metadata), self.header({**self.metadata, **changed})
        assert len(old) == len(new)
        file.seek(0)
        file.write(new)


def plan(metadata: Metadata, tensors: Sequence[tuple[str, Tensor]], wanted: str) -> Plan:
    """Decide in which type each tensor is stored."""
    planned = []
    for name, source in tensors:
        kind = stored_type(name, source.shape, wanted)
        rows = math.prod(source.shape[:-1])
        planned.append(Planned(name, source, kind, rows * row_bytes(source.shape[-1], kind)))
    return Plan(metadata, tuple(planned))


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
