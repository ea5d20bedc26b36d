"""Weight files, sound and hostile, written byte by byte."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["bin_file", "safetensors_bytes", "save_numbers"]

_TYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64"}


def safetensors_bytes(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Write a safetensors file with any header, sound or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def save_numbers(path: Path, numbers: Mapping[str, np.ndarray]) -> Path:
    """Write arrays as safetensors; uint16 is taken for bfloat16."""
    header, data = {}, b""
    for name, values in numbers.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {
            "dtype": _TYPES[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    path.write_bytes(safetensors_bytes(header, data))
    return path


def bin_file(
    path: Path,
    pickle: bytes,
    storages: Mapping[str, bytes] | None = None,
    *,
    compression: int = zipfile.ZIP_STORED,
    **others: bytes,
) -> Path:
    """Write an archive as ``torch.save`` does, around any pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for name, raw in others.items():
            archive.writestr(f"archive/{name}", raw)
        for key, raw in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", raw)
    return path
