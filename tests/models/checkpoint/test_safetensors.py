"""safetensors files: what they hold comes out, and what they cannot hold is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import InvalidCheckpoint
from astrollava.models.checkpoint import as_float32
from astrollava.models.checkpoint._safetensors import read_safetensors
from checkpoint_files import safetensors_bytes, save_numbers

RANDOM = np.random.default_rng(0)


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_numbers_are_those_the_library_writes(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    weights = {
        "a": torch.randn(7, 5).to(getattr(torch, kind)),
        "b": torch.randn(3).to(getattr(torch, kind)),
        "ids": torch.arange(4),
    }
    path = tmp_path / "model.safetensors"
    library.save_file(weights, path, metadata={"format": "pt"})
    found = read_safetensors(path)
    assert set(found) == set(weights)
    for name in "ab":
        tensor = found[name]
        assert tensor.shape == tuple(weights[name].shape)
        wanted = weights[name].float().numpy()
        assert np.array_equal(as_float32(tensor.read(), tensor.kind), wanted)
        assert np.array_equal(as_float32(tensor.read(1, 3), tensor.kind), wanted[1:3])


def test_a_file_cut_short_later_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """A mapped file that shrinks ends the process with SIGBUS."""
    path = save_numbers(tmp_path / "a.safetensors", {"a": np.ones((64, 8), np.float32)})
    tensor = read_safetensors(path)["a"]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    assert tensor.read(0, 8).shape == (8, 8)
    with pytest.raises(InvalidCheckpoint, match="'a' cannot be read"):
        tensor.read()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "has 0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (safetensors_bytes({}, length=1 << 60), "claims a header"),
        (safetensors_bytes({}, length=3), "claims a header|no JSON"),
        (safetensors_bytes(b"[1]"), "expected an object|holds a list"),
        (safetensors_bytes(b'{"a":' + b"[" * 100_000), "no JSON"),
        (safetensors_bytes(b'{"a":1,"a":2}'), "twice"),
        (safetensors_bytes({"a": 1}), "has the type None"),
        (safetensors_bytes({"a": entry(dtype="F4")}, bytes(24)), "type 'F4'"),
        (safetensors_bytes({"a": entry(shape=[-2, -3])}, bytes(24)), "shape"),
        (safetensors_bytes({"a": entry(shape=[True, 6])}, bytes(24)), "shape"),
        (safetensors_bytes({"a": entry(shape=[1 << 40, 1 << 40])}, bytes(24)), "takes 24 bytes"),
        (safetensors_bytes({"a": entry(shape=[1] * 9)}, bytes(4)), "shape"),
        (safetensors_bytes({"a": entry(data_offsets=[24, 0])}, bytes(24)), "takes -24 bytes"),
        (safetensors_bytes({"a": entry(data_offsets=[0])}, bytes(24)), "lies at"),
        (safetensors_bytes({"a": entry()}, bytes(20)), "20 bytes of data"),
        (safetensors_bytes({"a": entry()}, bytes(28)), "28 bytes of data"),
        (safetensors_bytes({"a": entry(), "b": entry()}, bytes(24)), "starts at byte 0"),
    ],
)
def test_a_header_that_lies_is_refused(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw)
    with pytest.raises(InvalidCheckpoint, match=message):
        read_safetensors(path)


@given(data=st.data())
def test_any_change_of_a_header_is_borne(data: st.DataObject, tmp_path_factory: Any) -> None:
    """A hostile header must end in a named error or in tensors that lie inside the file."""
    good = safetensors_bytes({"__metadata__": {"format": "pt"}, "a": entry()}, bytes(24))
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    path.write_bytes(raw)
    try:
        found = read_safetensors(path)
    except InvalidCheckpoint:
        return
    for tensor in found.values():
        assert tensor.offset + tensor.nbytes <= len(raw)


def test_the_same_file_as_its_bytes(tmp_path: Path) -> None:
    """The helper of these tests writes what the format says."""
    path = save_numbers(tmp_path / "a.safetensors", {"a": RANDOM.random((2, 3), np.float32)})
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    assert json.loads(raw[8 : 8 + length])["a"] == entry()
