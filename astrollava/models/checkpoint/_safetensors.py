"""The head of a safetensors file (https://github.com/huggingface/safetensors#format)."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint

from ._json import parse_json
from ._tensor import ITEM_SIZES, StoredTensor

__all__ = ["read_safetensors"]

#: Bytes of a header and tensors in it: tens of times those of the largest models.
_LONGEST: Final = 16 << 20
_MOST: Final = 1 << 16
_MOST_AXES: Final = 8


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Read which tensors a file holds and where; no weights are read.

    Raises
    ------
    InvalidCheckpoint
        The file is cut short, is something else, or claims what it does not hold.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) < 8:
                raise _wrong(path, f"has {size} bytes", "a safetensors file")
            length = struct.unpack("<Q", head)[0]
            if length > min(_LONGEST, size - 8):
                what = "a Git LFS pointer" if head == b"version " else "no safetensors file"
                raise _wrong(
                    path,
                    f"is cut short or {what}: it claims a header of {length} bytes",
                    f"at most {min(_LONGEST, size - 8)}",
                )
            raw = file.read(length)
    except OSError as error:
        raise InvalidCheckpoint(f"{path} cannot be read: {error}") from None
    entries = parse_json(raw, f"the header of {path.name}")
    entries.pop("__metadata__", None)
    if len(entries) > _MOST:
        raise _wrong(path, f"claims {len(entries)} tensors", f"at most {_MOST}")
    data = 8 + length
    spans = {name: _span(path, name, entry) for name, entry in entries.items()}
    _adjoin(path, sorted(span[2:] for span in spans.values()), size - data)
    return {
        name: StoredTensor(name, shape, kind, path, data + begin)
        for name, (shape, kind, begin, _) in spans.items()
    }


def _span(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], str, int, int]:
    """Check one entry and return its shape, type, begin and end."""
    fields = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(kind, str) or kind not in ITEM_SIZES:
        raise _wrong(path, f"the tensor {name!r:.80} has the type {kind!r:.40}", "a known type")
    if shape is None or not _counts(shape) or len(shape) > _MOST_AXES:
        raise _wrong(path, f"the tensor {name!r:.80} has the shape {shape!r:.80}", "sizes")
    if offsets is None or not _counts(offsets) or len(offsets) != 2:
        raise _wrong(path, f"the tensor {name!r:.80} lies at {offsets!r:.80}", "begin and end")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_SIZES[kind]:
        raise _wrong(
            path,
            f"the tensor {name!r:.80} of shape {shape!r:.80} and type {kind} takes "
            f"{end - begin} bytes",
            f"{math.prod(shape) * ITEM_SIZES[kind]}",
        )
    return tuple(shape), kind, begin, end


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in value)


def _adjoin(path: Path, spans: list[tuple[int, int]], size: int) -> None:
    """Check that the tensors fill the data without gap or overlap, as the format demands."""
    at = 0
    for begin, end in spans:
        if begin != at:
            raise _wrong(path, f"a tensor starts at byte {begin} of the data", f"byte {at}")
        at = end
    if at != size:
        raise _wrong(path, f"has {size} bytes of data", f"the {at} its tensors take")


def _wrong(path: Path, problem: str, expected: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        f"{path.name}: {problem}", expected=expected, hint="Download the checkpoint again"
    )
