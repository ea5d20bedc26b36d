"""How numbers are stored: types per tensor, K-quants by llama.cpp, checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from astrollava.engine.quantize import TYPES
from astrollava.engine.quantize import quantize as quantize_file
from astrollava.errors import ModelError
from astrollava.models import convert

__all__ = ["QUANTIZATIONS", "add_tensors", "finish", "write_checksums"]

#: Names that `astrollava_training.export.export` takes. Those that `astrollava.models.convert` does
#: not write are made of f16 by llama.cpp.
QUANTIZATIONS: tuple[str, ...] = tuple(TYPES)


def add_tensors(
    writer: Any, tensors: Iterable[tuple[str, NDArray[np.float32]]], quantize: str
) -> None:
    """Give a `gguf.GGUFWriter` its tensors and the file type.

    Parameters
    ----------
    writer : gguf.GGUFWriter
        Open, with nothing written yet.
    tensors : iterable of (name, array)
        llama.cpp's names and float32 values, row length last.
    quantize : str
        A member of `QUANTIZATIONS`; those that need llama.cpp are stored as f16 until `finish`.

    Raises
    ------
    ModelError
        For a tensor with values that are not finite, or that f16 cannot hold.
    """
    wanted = quantize if quantize in convert.QUANTIZATIONS else "f16"
    writer.add_file_type(TYPES[wanted])
    if wanted not in ("f32", "f16", "bf16"):
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, array in tensors:
        kind = convert.stored_type(name, array.shape, wanted.upper())
        try:
            stored = convert.pack(np.ascontiguousarray(array, np.float32), "F32", kind)
        except convert.Unfit:
            raise ModelError(
                f"tensor {name} holds values that are not finite or exceed what {kind} can hold",
                expected="finite weights",
                hint="Look at the training run: its weights diverged",
            ) from None
        if kind not in ("F32", "F16", "BF16"):
            # The writer wants the bytes of whole rows.
            stored = stored.reshape(*array.shape[:-1], convert.row_bytes(array.shape[-1], kind))
        writer.add_tensor(name, stored, raw_dtype=gguf.GGMLQuantizationType[kind])


def finish(writer: Any, path: Path, quantize: str) -> None:
    """Write the file, whole or not at all, through llama.cpp's quantizer where it is needed."""
    part = path.with_name(path.name + ".part")
    writer.write_header_to_file(path=part)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if quantize not in convert.QUANTIZATIONS:
        try:
            quantize_file(part, path, quantize)
        finally:
            part.unlink()
    else:
        part.replace(path)


def write_checksums(paths: Iterable[Path]) -> Path:
    """Write ``SHA256SUMS`` beside files of one folder, in the format of ``sha256sum``."""
    ordered = sorted(paths)
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in ordered]
    sums = ordered[0].parent / "SHA256SUMS"
    sums.write_text("".join(lines), encoding="ascii")
    return sums
