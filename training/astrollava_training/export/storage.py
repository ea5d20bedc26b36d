"""How numbers are stored: types per tensor, K-quants by llama.cpp, checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from astrollava.engine.quantize import quantize as quantize_file
from astrollava.errors import InvalidRequest, ModelError

__all__ = ["QUANTIZATIONS", "add_tensors", "check", "finish", "write_checksums"]

_Type = gguf.GGMLQuantizationType

# Written here, in Python, with the file type llama.cpp records for it.
_DIRECT = {
    "f32": (_Type.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (_Type.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (_Type.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (_Type.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q5_0": (_Type.Q5_0, gguf.LlamaFileType.MOSTLY_Q5_0),
    "q4_0": (_Type.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}

# Written as f16 first and quantized by llama.cpp, which alone knows these formats.
_BY_LLAMA_CPP = ("q2_k", "q3_k_m", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k")

#: Names that `astrollava_training.export.export` takes.
QUANTIZATIONS: tuple[str, ...] = (*_DIRECT, *_BY_LLAMA_CPP)

# The tower's convolution reads f16 or f32 kernels only; positions are added, not multiplied.
_NEVER_QUANTIZED = ("v.patch_embd.weight", "v.position_embd.weight", "rope_freqs.weight")


def check(quantize: str) -> str:
    """Return the name in lower case, or raise `InvalidRequest` for one not in `QUANTIZATIONS`."""
    name = quantize.lower()
    if name not in QUANTIZATIONS:
        raise InvalidRequest(
            f"quantization {quantize!r} is not known", expected=f"one of {', '.join(QUANTIZATIONS)}"
        )
    return name


def _stored_type(name: str, shape: Sequence[int], wanted: Any) -> Any:
    """Return the type a tensor is stored in: `wanted` where llama.cpp can read it so."""
    if len(shape) == 1 or name in _NEVER_QUANTIZED:
        return _Type.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else _Type.F16


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
    wanted, file_type = _DIRECT[quantize if quantize in _DIRECT else "f16"]
    writer.add_file_type(int(file_type))
    if wanted not in (_Type.F32, _Type.F16, _Type.BF16):
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, array in tensors:
        kind = _stored_type(name, array.shape, wanted)
        limit = float(np.finfo(np.float16).max) if kind == _Type.F16 else np.inf
        # NaN compares false, so this catches it too.
        if not np.abs(array).max(initial=0.0) < limit:
            raise ModelError(
                f"tensor {name} holds values that are not finite or exceed {limit:g}",
                expected=f"finite weights that {kind.name} can hold",
                hint="Look at the training run: its weights diverged",
            )
        stored = gguf.quants.quantize(np.ascontiguousarray(array, np.float32), kind)
        writer.add_tensor(name, stored, raw_dtype=kind)


def finish(writer: Any, path: Path, quantize: str) -> None:
    """Write the file, whole or not at all, through llama.cpp's quantizer where it is needed."""
    part = path.with_name(path.name + ".part")
    writer.write_header_to_file(path=part)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if quantize in _BY_LLAMA_CPP:
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
