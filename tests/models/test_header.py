"""The header reader, on files written by the gguf package and on files no one should write."""

from __future__ import annotations

import contextlib
import os
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import InvalidModelFile, ModelNotFound
from astrollava.models.gguf import GGUFHeader, LazyArray, Limits, read_header
from gguf_files import MMPROJS, TEXTS, Model, Tensor
from tiny_pair import TinyPair, write_pair


def read(tmp_path: Path, raw: bytes, **kwargs: Any) -> GGUFHeader:
    path = tmp_path / "model.gguf"
    path.write_bytes(raw)
    return read_header(path, **kwargs)


def refused(tmp_path: Path, raw: bytes, match: str) -> None:
    with pytest.raises(InvalidModelFile, match=match) as caught:
        read(tmp_path, raw)
    assert str(tmp_path) in str(caught.value), "an error must name the file"


def small() -> Model:
    return Model(
        {"general.architecture": ("str", "llama")}, {"a": Tensor((4, 2)), "b": Tensor((8,))}
    )


def test_reads_what_the_gguf_package_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    out = gguf_package.GGUFWriter(path, "llama")
    out.add_uint8("u8", 200), out.add_int8("i8", -5), out.add_uint16("u16", 60000)
    out.add_int16("i16", -30000), out.add_uint32("u32", 1 << 31), out.add_int32("i32", -7)
    out.add_uint64("u64", 1 << 63), out.add_int64("i64", -(1 << 62)), out.add_float32("f32", 0.5)
    out.add_float64("f64", 0.1), out.add_bool("yes", True), out.add_string("text", "spiral – ∞")
    out.add_array("numbers", [1, -2, 3]), out.add_array("words", ["a", "", "é"])
    weights = np.arange(64, dtype=np.float32).reshape(2, 32)
    out.add_tensor("f32", weights)
    out.add_tensor("f16", weights.astype(np.float16))
    q8 = gguf_package.GGMLQuantizationType.Q8_0
    out.add_tensor("q8", gguf_package.quants.quantize(weights, q8), raw_dtype=q8)
    (
        out.write_header_to_file(),
        out.write_kv_data_to_file(),
        out.write_tensors_to_file(),
        out.close(),
    )
    header = read_header(path)
    expected = {
        "u8": 200, "i8": -5, "u16": 60000, "i16": -30000, "u32": 1 << 31, "i32": -7, "u64": 1 << 63,
        "i64": -(1 << 62), "f32": 0.5, "f64": 0.1, "yes": True, "text": "spiral – ∞",
        "numbers": (1, -2, 3), "words": ("a", "", "é"), "general.architecture": "llama",
    }  # fmt: skip
    assert dict(header.metadata) == expected
    assert header.types["numbers"] == "[i32]"
    assert header.types["i64"] == "i64"
    assert [(t.name, t.type, t.shape, t.size) for t in header.tensors] == [
        ("f32", "F32", (32, 2), 256), ("f16", "F16", (32, 2), 128), ("q8", "Q8_0", (32, 2), 68),
    ]  # fmt: skip
    start = header.data_offset + header.tensors[0].offset
    stored = np.frombuffer(path.read_bytes()[start : start + 256], np.float32)
    np.testing.assert_array_equal(stored, weights.ravel())


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
        st.one_of(
            st.tuples(st.just("u32"), st.integers(0, 2**32 - 1)),
            st.tuples(st.just("i64"), st.integers(-(2**63), 2**63 - 1)),
            st.tuples(st.just("f64"), st.floats(allow_nan=False)),
            st.tuples(
                st.just("str"), st.text(st.characters(codec="utf-8", exclude_characters="\0"))
            ),
            st.tuples(st.just("[i32]"), st.lists(st.integers(-(2**31), 2**31 - 1))),
            st.tuples(st.just("[str]"), st.lists(st.text(st.characters(codec="utf-8")))),
        ),
        max_size=8,
    ),
    st.dictionaries(
        st.text("abcxyz.0123456789", min_size=1, max_size=63),
        st.lists(st.integers(1, 9), max_size=4).map(tuple),
        max_size=6,
    ),
)
def test_whatever_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    keys: dict[str, tuple[str, Any]],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    keys.pop("general.alignment", None)
    model = Model(keys, {name: Tensor(shape) for name, shape in shapes.items()})
    header = read(tmp_path_factory.mktemp("written"), model.write())
    for key, (kind, value) in keys.items():
        assert header.types[key] == kind
        assert header.metadata[key] == (tuple(value) if isinstance(value, list) else value)
    assert {t.name: t.shape for t in header.tensors} == shapes


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, magic: bool
) -> None:
    raw = b"GGUF\x03\0\0\0" + tail if magic else tail
    with contextlib.suppress(InvalidModelFile):
        read(tmp_path_factory.mktemp("noise"), raw)


@settings(max_examples=60)
@given(st.sampled_from(["llama-spm", "mlp"]), st.data())
def test_damaged_headers_raise_nothing_else_and_cost_little(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    raw = bytearray({**TEXTS, **MMPROJS}[kind]().write())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(8, len(raw) // 3))
        value = data.draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
        raw[at : at + 8] = struct.pack("<Q", value)
    started = time.process_time()
    tracemalloc.start()
    try:
        read(tmp_path_factory.mktemp("damaged"), bytes(raw))
    except InvalidModelFile:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20e6
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"PK\x03\x04", "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "web page"),
        (b"tjgg\x03\0\0\0", "before GGUF"),
        (struct.pack("<Q", 90) + b'{"__metadata__"', "safetensors"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"hello, this is a text file", "no GGUF file"),
        (b"", "0 bytes"),
        (b"GGUF", "4 bytes"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(
    tmp_path: Path, start: bytes, says: str
) -> None:
    refused(tmp_path, start + (bytes(100) if len(start) > 4 or start[:2] == b"PK" else b""), says)


def test_versions_and_byte_order(tmp_path: Path) -> None:
    raw = bytearray(small().write())
    assert read(tmp_path, bytes(raw)).version == 3
    raw[4] = 2
    assert read(tmp_path, bytes(raw)).version == 2
    for number, says in (
        (1, "version 1"),
        (4, "version 4"),
        (0, "version 0, which is unknown"),
        (1 << 16, "version 65536, which is unknown"),
        (2 << 24, "big-endian"),
        (3 << 24, "big-endian"),
    ):
        raw[4:8] = struct.pack("<I", number)
        refused(tmp_path, bytes(raw), says)


def test_counts_are_not_believed(tmp_path: Path) -> None:
    for at, says in ((8, "tensors"), (16, "metadata keys")):
        for count in (10**6, 2**31, 2**63, 2**64 - 1):
            raw = bytearray(small().write())
            raw[at : at + 8] = struct.pack("<Q", count)
            refused(tmp_path, bytes(raw), f"claims {count} {says}")


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        (
            "array of arrays",
            struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 4, 0),
            "array of arrays",
        ),
        ("unknown type", struct.pack("<II", 13, 0), "unknown type 13"),
        ("unknown elements", struct.pack("<IIQ", 9, 77, 1), "unknown type 77"),
        ("endless array", struct.pack("<IIQ", 9, 4, 2**40), "claims 1099511627776 elements"),
        ("array past the end", struct.pack("<IIQ", 9, 4, 10**6), "cut short"),
        ("strings past the end", struct.pack("<IIQ", 9, 8, 10**6), "cut short"),
        ("endless string", struct.pack("<IQ", 8, 2**62), "has 4611686018427387904 bytes"),
        ("string past the end", struct.pack("<IQ", 8, 10**6), "cut short"),
        ("string with NUL", struct.pack("<IQ", 8, 3) + b"a\0b", "NUL"),
    ],
)
def test_values_are_not_believed(tmp_path: Path, kind: str, body: bytes, says: str) -> None:
    raw = small().write()
    key = struct.pack("<Q", 1) + b"k"
    head = raw[:16] + struct.pack("<Q", 2) + raw[24:]
    at = head.index(b"general.architecture") - 8
    refused(tmp_path, head[:at] + key + body + head[at:] + bytes(64), says)


def test_names_must_be_names(tmp_path: Path) -> None:
    for name, says in (("", "empty"), ("a\0b", "NUL"), ("x" * 64, "64 bytes")):
        refused(tmp_path, Model({}, {name: Tensor((1,))}).write(), says)
    refused(tmp_path, Model({"": ("u32", 1)}, {}).write(), "empty")
    model = small()
    model.extra.append(("general.architecture", "str", "clip"))
    refused(tmp_path, model.write(), "twice")
    raw = small().write().replace(struct.pack("<Q", 1) + b"b", struct.pack("<Q", 1) + b"a")
    refused(tmp_path, raw, "twice")


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (Tensor((1, 1, 1, 1, 1)), "5 axes"),
        (Tensor((0, 4)), "no empty axis"),
        (Tensor((33,), kind=8), "multiple of 32"),
        (Tensor((4,), kind=4), "unknown type 4"),
        (Tensor((4,), kind=2**31), "unknown type"),
        (Tensor((4,), offset=32), "starts at byte 32"),
        (Tensor((4,), offset=2**64 - 32), "starts at byte"),
    ],
)
def test_tensors_are_not_believed(tmp_path: Path, tensor: Tensor, says: str) -> None:
    refused(tmp_path, Model({}, {"t": tensor}).write(), says)


def test_sizes_that_overflow_64_bits(tmp_path: Path) -> None:
    raw = bytearray(Model({}, {"t": Tensor((2, 2, 2, 2))}).write())
    at = raw.index(struct.pack("<4Q", 2, 2, 2, 2))
    for shape in ((2**32, 2**32, 1, 1), (2**63, 2, 1, 1), (2**16, 2**16, 2**16, 2**16)):
        raw[at : at + 32] = struct.pack("<4Q", *shape)
        refused(tmp_path, bytes(raw), "the file has")


def test_overlapping_tensors(tmp_path: Path) -> None:
    model = small()
    model.tensors["b"].offset = 0
    refused(tmp_path, model.write(), "'b' starts at byte 0")


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    raw = TEXTS["qwen2"]().write()
    last = len(raw) - 1024
    for size in (*range(0, 4000, 37), len(raw) // 2, last):
        with pytest.raises(InvalidModelFile):
            read(tmp_path, raw[:size])


def test_alignment(tmp_path: Path) -> None:
    for value, good in ((32, True), (64, True), (4096, True), (0, False), (48, False), (16, False)):
        model = small()
        model.keys["general.alignment"] = ("u32", value)
        if good:
            assert read(tmp_path, model.write()).data_offset % value == 0
        else:
            refused(tmp_path, model.write(), f"alignment {value}")
    model.keys["general.alignment"] = ("u64", 32)
    refused(tmp_path, model.write(), "alignment")


def test_limits_hold(tmp_path: Path) -> None:
    raw = TEXTS["llama"]().write()
    for limits in (Limits(header=500), Limits(keys=3), Limits(tensors=3), Limits(array=10),
                   Limits(strings=100), Limits(string=4)):  # fmt: skip
        with pytest.raises(InvalidModelFile):
            read(tmp_path, raw, limits=limits)


def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no file"):
        read_header(tmp_path / "missing.gguf")
    with pytest.raises(InvalidModelFile, match="not a file"):
        read_header(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.gguf")
        with pytest.raises(InvalidModelFile, match="not a file"):
            read_header(tmp_path / "pipe.gguf")


def test_a_large_vocabulary_is_fast_and_stays_on_disk(tmp_path: Path) -> None:
    count = 150_000
    model = TEXTS["llama"]()
    tokens = [f"token-{i:06d}-ü" for i in range(count)]
    model.keys["tokenizer.ggml.tokens"] = ("[str]", tokens)
    model.keys["tokenizer.ggml.merges"] = ("[str]", [f"to {i}" for i in range(count)])
    model.keys["tokenizer.ggml.token_type"] = ("[i32]", [1] * count)
    path = tmp_path / "model.gguf"
    path.write_bytes(model.write())
    # The best of three: what else runs on this machine is not measured.
    seconds = []
    for _ in range(3):
        started = time.process_time()
        header = read_header(path)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.5
    lazy = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(lazy, LazyArray)
    assert lazy.length == count
    tracemalloc.start()
    read_header(path)
    assert tracemalloc.get_traced_memory()[1] < 6e6
    tracemalloc.stop()
    assert list(header.strings("tokenizer.ggml.tokens")) == [t.encode() for t in tokens]
    assert list(header.numbers("tokenizer.ggml.token_type")) == [1] * count


def test_long_texts_stay_on_disk(tmp_path: Path) -> None:
    model = small()
    model.keys["tokenizer.huggingface.json"] = ("str", "x" * (1 << 21))
    header = read(tmp_path, model.write())
    assert isinstance(header.metadata["tokenizer.huggingface.json"], LazyArray)


def test_a_file_that_shrinks_is_an_error_not_a_crash(tmp_path: Path) -> None:
    text, _ = write_pair(tmp_path, TinyPair())
    header = read_header(text)
    with text.open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(InvalidModelFile, match=r"cut short|shorter"):
        list(header.strings("tokenizer.ggml.tokens"))
