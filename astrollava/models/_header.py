"""What the head of a GGUF file says, read without trusting a single number in it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The rules are those of
llama.cpp's own reader, and stricter where that asserts, aborts or allocates on a file's word.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from astrollava.errors import InvalidModelFile

from ._bytes import DAMAGED, Cursor, open_model
from ._formats import ARRAY, SCALARS, STRING, TENSOR_TYPES, TensorType

__all__ = ["GGUFHeader", "LazyArray", "Limits", "TensorInfo", "Value", "read_header"]

_LONG_TEXT: Final = 1 << 20
#: Versions of GGUF there have been, and those that are read here.
_KNOWN_VERSIONS: Final = (1, 2, 3)
_READ_VERSIONS: Final = (2, 3)

_OTHER_FORMATS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"lmgg", "a GGML file of the time before GGUF"),
    (b"fmgg", "a GGML file of the time before GGUF"),
    (b"tjgg", "a GGML file of the time before GGUF"),
    (b"SIMPLE  =", "a FITS file"),
)


@dataclass(frozen=True)
class Limits:
    """Bounds on what a header may claim; each is several times what real models need.

    Attributes
    ----------
    header : int
        Bytes before the tensor data.
    keys, tensors : int
        Number of metadata keys and of tensors.
    string : int
        Bytes of one string.
    array : int
        Elements of one array.
    strings : int
        Strings in all arrays together, which bounds the time it takes to pass over them.
    """

    header: int = 256 << 20
    keys: int = 4096
    tensors: int = 16384
    string: int = 64 << 20
    array: int = 16 << 20
    strings: int = 4 << 20


@dataclass(frozen=True)
class LazyArray:
    """A long array that stays in the file.

    Attributes
    ----------
    kind : str
        Type of the elements: ``"str"``, ``"i32"``, ``"f32"``, ...
    length : int
        Number of elements.
    offset : int
        Bytes from the start of the file to the first element.
    """

    kind: str
    length: int
    offset: int


Value = int | float | bool | str | tuple[int | float | bool | str, ...] | LazyArray


@dataclass(frozen=True)
class TensorInfo:
    """One tensor.

    Attributes
    ----------
    name : str
        Its name.
    type : str
        Its ggml type, for example ``"Q8_0"``.
    shape : tuple of int
        Its sizes, fastest-varying first (the reverse of numpy's order), at most four.
    offset : int
        Bytes from the start of the data section.
    size : int
        Bytes it takes.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class GGUFHeader:
    """The head of a GGUF file.

    Attributes
    ----------
    path : Path
        The file.
    version : int
        2 or 3.
    metadata : mapping
        Key -> value. Arrays of up to 1024 numbers or 64 strings are tuples; longer ones, and texts
        of more than 1 MiB, are a `LazyArray`.
    tensors : tuple of TensorInfo
        All tensors, in the order of the file.
    data_offset : int
        Bytes from the start of the file to the tensor data.
    size : int
        Bytes of the file.
    types : mapping
        Key -> type, for example ``"u32"``, ``"str"`` or ``"[i32]"``.
    spans : mapping
        Key -> the bytes of the file that hold the key and its value, as (start, end).
    end : int
        Bytes of the header, before it is filled up to `data_offset`.
    """

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    size: int
    types: Mapping[str, str] = field(repr=False)
    spans: Mapping[str, tuple[int, int]] = field(repr=False)
    end: int

    def strings(self, key: str) -> Iterator[bytes]:
        """Read the strings of an array one by one, undecoded."""
        value = self.metadata[key]
        if not isinstance(value, LazyArray):
            assert isinstance(value, tuple)
            yield from (str(v).encode("utf-8", "surrogateescape") for v in value)
            return
        file, size = open_model(self.path)
        with file:
            cursor = Cursor(file, self.path, size, size)
            cursor.seek(value.offset)
            yield from cursor.strings(value.length, size, key)

    def numbers(self, key: str) -> array[int] | array[float] | tuple[int | float, ...]:
        """Read the numbers of an array."""
        value = self.metadata[key]
        if not isinstance(value, LazyArray):
            assert isinstance(value, tuple)
            return tuple(v for v in value if not isinstance(v, str))
        form = next(f for name, f in SCALARS.values() if name == value.kind)
        file, size = open_model(self.path)
        with file:
            cursor = Cursor(file, self.path, size, size)
            cursor.seek(value.offset)
            raw = cursor.take(value.length * struct.calcsize("<" + form))
        numbers: array[int] | array[float] = array("b" if form == "?" else form)
        numbers.frombytes(raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers


def read_header(path: str | Path, *, limits: Limits | None = None) -> GGUFHeader:
    """Read and check the head of a GGUF file.

    Parameters
    ----------
    path : path-like
        The file.
    limits : Limits, optional
        Bounds on what the header may claim.

    Returns
    -------
    GGUFHeader
        Its metadata and tensors. Only the header is read, never tensor data.

    Raises
    ------
    ModelNotFound
        There is no such file.
    InvalidModelFile
        The file is no GGUF file of version 2 or 3, is damaged or exceeds a limit.
    """
    path = Path(path)
    file, size = open_model(path)
    with file:
        return _Reader(file, path, size, limits or Limits()).read()


class _Reader:
    def __init__(self, file: BinaryIO, path: Path, size: int, limits: Limits) -> None:
        self._path = path
        self._size = size
        self._limits = limits
        self._cursor = Cursor(file, path, size, min(size, limits.header))
        self._strings_left = limits.strings

    def read(self) -> GGUFHeader:
        version = self._version()
        cursor = self._cursor
        tensors, keys = cursor.u64(), cursor.u64()
        self._bound("tensors", tensors, self._limits.tensors)
        self._bound("metadata keys", keys, self._limits.keys)
        metadata: dict[str, Value] = {}
        types: dict[str, str] = {}
        spans: dict[str, tuple[int, int]] = {}
        for _ in range(keys):
            start = cursor.position
            key = self._name("a metadata key", 65535)
            if key in metadata:
                raise cursor.fail(f"has the metadata key {key!r} twice")
            types[key], metadata[key] = self._value(key)
            spans[key] = start, cursor.position
        alignment = self._alignment(metadata, types)
        infos = self._tensors(tensors, alignment)
        end = cursor.position
        data = -(-end // alignment) * alignment
        self._fits(infos, data)
        return GGUFHeader(
            self._path,
            version,
            MappingProxyType(metadata),
            infos,
            data,
            self._size,
            MappingProxyType(types),
            MappingProxyType(spans),
            end,
        )

    def _version(self) -> int:
        cursor = self._cursor
        if self._size < 24:
            raise cursor.fail(f"has {self._size} bytes", expected="a GGUF file")
        head = cursor.take(24)
        if head[:4] != b"GGUF":
            what = next((w for start, w in _OTHER_FORMATS if head.startswith(start)), "")
            if not what and head[8:9] == b"{":
                what = "a safetensors file"
            raise cursor.fail(
                f"is {what or f'no GGUF file (it starts with {head[:4]!r})'}",
                expected="a GGUF file",
                hint="Give the model as converted for llama.cpp, in GGUF format",
            )
        cursor.seek(8)
        version = struct.unpack("<I", head[4:8])[0]
        if struct.unpack(">I", head[4:8])[0] in _KNOWN_VERSIONS:
            raise cursor.fail(
                "has its numbers in big-endian order", expected="a little-endian GGUF file", hint=""
            )
        if version not in _READ_VERSIONS:
            known = "" if version in _KNOWN_VERSIONS else ", which is unknown"
            raise cursor.fail(
                f"is GGUF version {version}{known}",
                expected="version 2 or 3",
                hint="Convert the model with a current llama.cpp" if version == 1 else DAMAGED,
            )
        return int(version)

    def _bound(self, what: str, count: int, most: int) -> None:
        # Each key and each tensor takes at least 12 bytes: a count cannot exceed the file either.
        if count > most:
            raise self._cursor.fail(f"claims {count} {what}", expected=f"at most {most}")
        if 12 * count > self._cursor.remaining:
            raise self._cursor.fail(
                f"claims {count} {what} in {self._size} bytes",
                hint=f"It is cut short. {DAMAGED}",
            )

    def _name(self, what: str, longest: int) -> str:
        raw = self._cursor.string(longest, what)
        # llama.cpp ends a name at its first NUL: two names that look different would be one.
        if not raw or b"\0" in raw:
            raise self._cursor.fail(f"{what} is empty or holds a NUL byte")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self._cursor.fail(f"{what} is no UTF-8 text") from None

    def _value(self, key: str) -> tuple[str, Value]:
        cursor = self._cursor
        kind = cursor.u32()
        if kind == STRING:
            return "str", self._text(key)
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            raise cursor.fail(f"the value of {key!r} has the unknown type {kind}")
        name, form = SCALARS[kind]
        return name, self._unpack(form, 1)[0]

    def _text(self, key: str) -> Value:
        cursor = self._cursor
        count = cursor.u64()
        if count > self._limits.string:
            raise cursor.fail(
                f"the value of {key!r} has {count} bytes", expected=f"at most {self._limits.string}"
            )
        if count > _LONG_TEXT:
            start = cursor.position
            cursor.skip(count)
            return LazyArray("u8", count, start)
        raw = cursor.take(count)
        # llama.cpp ends it there, and would read another value than the one checked here.
        if b"\0" in raw:
            raise cursor.fail(f"the value of {key!r} holds a NUL byte")
        return raw.decode("utf-8", "replace")

    def _array(self, key: str) -> tuple[str, Value]:
        cursor = self._cursor
        kind, count = cursor.u32(), cursor.u64()
        self._bound_array(key, count, kind)
        start = cursor.position
        if kind == STRING:
            self._strings_left -= count
            if self._strings_left < 0:
                raise cursor.fail(f"has more than {self._limits.strings} strings in its arrays")
            if count > 64:
                cursor.skip_strings(count, self._limits.string, key)
                return "[str]", LazyArray("str", count, start)
            raws = cursor.strings(count, 1 << 16, key)
            return "[str]", tuple(raw.decode("utf-8", "surrogateescape") for raw in raws)
        name, form = SCALARS[kind]
        if count > 1024:
            cursor.skip(count * struct.calcsize("<" + form))
            return f"[{name}]", LazyArray(name, count, start)
        return f"[{name}]", self._unpack(form, count)

    def _bound_array(self, key: str, count: int, kind: int) -> None:
        if kind == ARRAY:
            raise self._cursor.fail(f"the value of {key!r} is an array of arrays")
        if kind != STRING and kind not in SCALARS:
            raise self._cursor.fail(f"the array {key!r} has elements of the unknown type {kind}")
        if count > self._limits.array:
            raise self._cursor.fail(
                f"the array {key!r} claims {count} elements",
                expected=f"at most {self._limits.array}",
            )

    def _unpack(self, form: str, count: int) -> tuple[int | float | bool, ...]:
        layout = struct.Struct(f"<{count}{form}")
        return layout.unpack(self._cursor.take(layout.size))

    def _alignment(self, metadata: Mapping[str, Value], types: Mapping[str, str]) -> int:
        value = metadata.get("general.alignment", 32)
        # llama.cpp maps the data into memory and asserts that it starts at a multiple of 32.
        good = isinstance(value, int) and 32 <= value <= 65536 and value & (value - 1) == 0
        if not good or types.get("general.alignment", "u32") != "u32":
            raise self._cursor.fail(
                f"has the alignment {value!r}", expected="a power of two of 32 or more"
            )
        assert isinstance(value, int)
        return value

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        infos: dict[str, TensorInfo] = {}
        end = 0
        for _ in range(count):
            info = self._tensor()
            if info.name in infos:
                raise self._cursor.fail(f"has the tensor {info.name!r} twice")
            # One after the other without gap or overlap: what llama.cpp asks for, too.
            if info.offset != end:
                raise self._cursor.fail(
                    f"the tensor {info.name!r} starts at byte {info.offset} of the data",
                    expected=f"{end}, where the one before it ends",
                )
            end = -(-(info.offset + info.size) // alignment) * alignment
            infos[info.name] = info
        return tuple(infos.values())

    def _tensor(self) -> TensorInfo:
        cursor = self._cursor
        name = self._name("a tensor name", 63)
        dimensions = cursor.u32()
        if dimensions > 4:
            raise cursor.fail(f"the tensor {name!r} has {dimensions} axes", expected="at most 4")
        shape = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions))
        number, offset = cursor.u32(), cursor.u64()
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise cursor.fail(f"the tensor {name!r} has the unknown type {number}")
        return TensorInfo(name, kind.name, shape, offset, self._bytes(name, shape, kind))

    def _bytes(self, name: str, shape: tuple[int, ...], kind: TensorType) -> int:
        elements = math.prod(shape)
        row = shape[0] if shape else 1
        if elements == 0 or row % kind.block:
            raise self._cursor.fail(
                f"the tensor {name!r} has the shape {shape}",
                expected=f"no empty axis and rows of a multiple of {kind.block} ({kind.name})",
            )
        size = elements // kind.block * kind.size
        if size > self._size:
            raise self._cursor.fail(
                f"the tensor {name!r} takes {size} bytes, the file has {self._size}"
            )
        return size

    def _fits(self, infos: tuple[TensorInfo, ...], data: int) -> None:
        if infos and data + infos[-1].offset + infos[-1].size > self._size:
            raise InvalidModelFile(
                f"{self._path}: has {self._size} bytes, its tensors need "
                f"{data + infos[-1].offset + infos[-1].size}",
                hint="It is cut short. " + DAMAGED,
            )
