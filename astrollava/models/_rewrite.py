"""A copy of a GGUF file with other metadata and other bytes in some tensors, streamed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO, Final

from astrollava.errors import InvalidModelFile

from ._bytes import DAMAGED, open_model
from ._formats import ARRAY, SCALARS, STRING
from ._header import GGUFHeader

__all__ = ["rewrite"]

_CHUNK: Final = 1 << 20
_NUMBERS: Final = {name: (number, form) for number, (name, form) in SCALARS.items()}

#: What a key is to be: its type (``"str"``, ``"u32"``, ``"[i32]"``, ...) and its value.
Item = tuple[str, object]


def rewrite(
    header: GGUFHeader,
    out: BinaryIO,
    *,
    keys: Mapping[str, Item],
    tensors: Mapping[str, bytes],
) -> None:
    """Write the file of `header` to `out`, changed.

    Parameters
    ----------
    header : GGUFHeader
        As it was read from the file; its path is read again.
    out : file
        Written from where it stands.
    keys : mapping
        Metadata keys that are added, or replaced where they are there: name -> (type, value).
    tensors : mapping
        Name -> all its bytes, as many as it has.

    Raises
    ------
    ModelNotFound, InvalidModelFile
        The file is no longer there or no longer what it was.
    """
    wanted = {t.name: t for t in header.tensors if t.name in tensors}
    assert set(wanted) == set(tensors)
    assert all(len(tensors[name]) == t.size for name, t in wanted.items())
    alignment = header.metadata.get("general.alignment", 32)
    assert isinstance(alignment, int)
    kept = [span for key, span in header.spans.items() if key not in keys]
    file, size = open_model(header.path)
    with file:
        count = len(kept) + len(keys)
        out.write(b"GGUF" + struct.pack("<IQQ", header.version, len(header.tensors), count))
        length = 24
        for start, end in kept:
            length += _copy(file, out, start, end)
        for key, (kind, value) in keys.items():
            length += out.write(_text(key) + _value(kind, value))
        after_keys = max((end for _, end in header.spans.values()), default=24)
        length += _copy(file, out, after_keys, header.end)
        out.write(bytes(-length % alignment))
        at = header.data_offset
        for tensor in sorted(wanted.values(), key=lambda tensor: tensor.offset):
            start = header.data_offset + tensor.offset
            _copy(file, out, at, start)
            out.write(tensors[tensor.name])
            at = start + tensor.size
        _copy(file, out, at, size)


def _copy(file: BinaryIO, out: BinaryIO, start: int, end: int) -> int:
    file.seek(start)
    left = end - start
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise InvalidModelFile(f"{file.name} became shorter while it was read", hint=DAMAGED)
        left -= out.write(piece)
    return end - start


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: str, value: object) -> bytes:
    if kind == "str":
        return struct.pack("<I", STRING) + _text(str(value))
    if kind.startswith("["):
        assert isinstance(value, tuple)
        number, form = _NUMBERS[kind[1:-1]]
        return struct.pack(f"<IIQ{len(value)}{form}", ARRAY, number, len(value), *value)
    number, form = _NUMBERS[kind]
    return struct.pack(f"<I{form}", number, value)
