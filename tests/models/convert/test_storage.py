"""Numbers as they are stored: bit for bit what the gguf library and llama.cpp write."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from astrollava.errors import InvalidRequest
from astrollava.models._formats import FILE_TYPES, TENSOR_TYPES
from astrollava.models.checkpoint import as_float32
from astrollava.models.convert._storage import (
    QUANTIZATIONS,
    Unfit,
    check_quantization,
    file_type,
    pack,
    row_bytes,
    stored_type,
)

RANDOM = np.random.default_rng(0)
# Below that ggml's reference divides by a scale of zero, and what comes out is anything.
SIZES = st.floats(np.float32(1e-30).item(), 65504, width=32)
FINITE = st.one_of(st.just(0.0), SIZES, SIZES.map(lambda size: -size))
ROWS = arrays.arrays(np.float32, st.just((2, 64)), elements=FINITE)


def reference(values: np.ndarray, kind: str) -> bytes:
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind]).tobytes()


@pytest.mark.parametrize("kind", [name.upper() for name in QUANTIZATIONS])
@given(values=ROWS)
@settings(max_examples=30)
def test_bytes_are_those_of_the_gguf_library(kind: str, values: np.ndarray) -> None:
    packed = pack(values, "F32", kind)
    assert packed.nbytes == 2 * row_bytes(64, kind)
    assert packed.tobytes() == reference(values, kind)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "BF16"])
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 0.02, 1e4])
def test_random_weights_are_too(kind: str, scale: float) -> None:
    values = (RANDOM.standard_normal((64, 256)) * scale).astype(np.float32)
    values[3] = 0
    assert pack(values, "F32", kind).tobytes() == reference(values, kind)


def test_numbers_next_to_nothing_are_nothing() -> None:
    for kind in ("Q8_0", "Q4_0"):
        packed = pack(np.full((1, 32), 1e-38, np.float32), "F32", kind)
        numbers = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind])
        assert not numbers.any()


def test_every_bfloat16_number_becomes_the_same_half() -> None:
    """A table stands for the conversion: one wrong entry and one weight in thousands is off."""
    every = np.arange(1 << 16, dtype=np.uint16)
    wide = as_float32(every, "BF16")
    fits = np.abs(wide) <= 65504
    packed = pack(every[fits], "BF16", "F16")
    assert packed.tobytes() == wide[fits].astype(np.float16).tobytes()


def test_what_is_stored_already_is_passed_on() -> None:
    half = RANDOM.standard_normal((4, 32)).astype(np.float16)
    assert pack(half, "F16", "F16") is half
    assert pack(half, "F16", "F32").tobytes() == half.astype(np.float32).tobytes()
    assert pack(half, "F16", "Q8_0").tobytes() == reference(half.astype(np.float32), "Q8_0")


@pytest.mark.parametrize("kind", [name.upper() for name in QUANTIZATIONS])
@pytest.mark.parametrize("given", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(kind: str, given: str, wrong: float) -> None:
    """A model that loads and answers with garbage is worse than none."""
    values = np.ones((2, 32), np.float32)
    values[1, 7] = wrong
    if given == "F16":
        values = values.astype(np.float16)
    elif given == "BF16":
        values = (values.view(np.uint32) >> 16).astype(np.uint16)
    with pytest.raises(Unfit):
        pack(values, given, kind)


def test_numbers_too_large_for_half_precision_are_refused() -> None:
    large = np.full((1, 32), 70000.0, np.float32)
    with pytest.raises(Unfit):
        pack(large, "F32", "F16")
    brain = (large.view(np.uint32) >> 16).astype(np.uint16)
    with pytest.raises(Unfit):
        pack(brain, "BF16", "F16")
    assert pack(large, "F32", "BF16").nbytes == 64


@pytest.mark.parametrize(("kind", "most"), [("Q8_0", 127 * 65504), ("Q4_0", 8 * 65504)])
def test_numbers_too_large_for_a_blocks_scale_are_refused(kind: str, most: float) -> None:
    """The scale would be infinite, and 32 weights with it."""
    row = np.ones((1, 32), np.float32)
    row[0, 5] = most
    assert pack(row, "F32", kind).nbytes == row_bytes(32, kind)
    row[0, 5] = most * 1.001
    with pytest.raises(Unfit):
        pack(row, "F32", kind)


def test_small_tensors_and_the_convolution_are_not_quantized() -> None:
    """Norms of few bits ruin a model; a quantized convolution stops llama.cpp."""
    assert stored_type("blk.0.attn_norm.weight", (64,), "Q8_0") == "F32"
    assert stored_type("v.patch_embd.weight", (64, 3, 14, 14), "F16") == "F32"
    assert stored_type("v.position_embd.weight", (17, 64), "Q8_0") == "F32"
    assert stored_type("blk.0.attn_q.weight", (64, 64), "Q8_0") == "Q8_0"
    assert stored_type("blk.0.attn_q.weight", (64, 80), "Q8_0") == "F16"


def test_names_are_those_of_llama_cpp() -> None:
    numbers = {name: file_type(check_quantization(name)) for name in QUANTIZATIONS}
    assert {FILE_TYPES[number] for number in numbers.values()} == {q.upper() for q in numbers}
    for name in QUANTIZATIONS:
        kind = next(t for t in TENSOR_TYPES.values() if t.name == name.upper())
        assert row_bytes(256, kind.name) == 256 // kind.block * kind.size
    with pytest.raises(InvalidRequest, match=r"'q4_k_m'.*f32, f16, bf16, q8_0, q4_0.*quantize"):
        check_quantization("q4_k_m")
