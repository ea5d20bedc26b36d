"""PyTorch's .bin files: tensors come out, and no pickle ever runs."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import InvalidCheckpoint
from astrollava.models.checkpoint import as_float32
from astrollava.models.checkpoint._pickle import PickleRefused, load
from astrollava.models.checkpoint._torch_zip import read_torch
from checkpoint_files import bin_file

torch = pytest.importorskip("torch")


def saved(path: Path, state: Any, **how: Any) -> Path:
    torch.save(state, path, **how)
    return path


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_numbers_are_those_torch_wrote(kind: str, tmp_path: Path) -> None:
    base = torch.randn(6, 5).to(getattr(torch, kind))
    state = OrderedDict(
        whole=base,
        part=base[2:4],  # a view into the same storage, at an offset
        one=base[0, 1],
        parameter=torch.nn.Parameter(torch.randn(3).to(getattr(torch, kind))),
        ids=torch.arange(3),
        note="not a tensor",
    )
    found = read_torch(saved(tmp_path / "a.bin", state))
    assert set(found) == {"whole", "part", "one", "parameter", "ids"}
    for name in ("whole", "part", "one", "parameter"):
        tensor = found[name]
        assert tensor.shape == tuple(state[name].shape)
        wanted = state[name].detach().float().numpy()
        assert np.array_equal(as_float32(tensor.read(), tensor.kind).reshape(wanted.shape), wanted)


def test_a_real_state_dict_with_its_metadata(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    found = read_torch(saved(tmp_path / "a.bin", net.state_dict()))
    for name, weight in net.state_dict().items():
        assert np.array_equal(found[name].read(), weight.numpy())


class _Bomb:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self._made_of = call, arguments

    def __reduce__(self) -> Any:
        return self._made_of


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_a_pickle_would_run_is_not_run(protocol: int, tmp_path: Path) -> None:
    """A model from anywhere must not run commands: that is what pickles are used for."""
    canary = tmp_path / "canary"
    for call in ((os.system, f"touch {canary}"), (eval, f"open({str(canary)!r}, 'w')")):
        raw = pickle.dumps(OrderedDict(weight=_Bomb(*call)), protocol)
        path = bin_file(tmp_path / "evil.bin", raw)
        with pytest.raises(InvalidCheckpoint, match=r"pickle that is not read: it (names|calls)"):
            read_torch(path)
        assert not canary.exists()


def test_a_bomb_in_a_file_of_torch_itself(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / "a.bin", {"a": torch.ones(2), "b": _Bomb(os.mkdir, str(canary))})
    with pytest.raises(InvalidCheckpoint, match=r"mkdir"):
        read_torch(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02}q\x00.",  # sound: an empty dictionary, but nothing else
        b"\x80\x02c__builtin__\neval\n.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ccollections\nOrderedDict\n}b.",  # attributes for a class
        b"\x80\x02ccollections\nOrderedDict\n(]q\x00tR.",
        b"\x80\x02}(K\x01K\x02K\x03u.",  # a key without a value
        b"\x80\x02](}e}s.",
        b"\x80\x02u.",
        b"\x80\x02.",
        b"\x80\x02(.",
        b"\x80\x02U\xff.",
        b"\x80\x02]K\x01Q.",
        b"\x80\x02i__builtin__\neval\n.",
        b"\x80\x02\x82\x01.",
        b"",
        b"garbage",
    ],
)
def test_a_pickle_that_is_no_state_is_refused(raw: bytes, tmp_path: Path) -> None:
    path = bin_file(tmp_path / "a.bin", raw)
    with contextlib.suppress(InvalidCheckpoint):
        assert read_torch(path) == {}


def test_a_huge_place_in_the_memo_costs_nothing() -> None:
    """Python's own unpickler makes room for 2**32 objects on a file's word."""
    tracemalloc.start()
    try:
        load(b"\x80\x02}r\xff\xff\xff\xff.")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_nested_copies_of_copies_cost_nothing() -> None:
    """Printing such a value in an error would take for ever."""
    doubling = b"".join(b"\x94h%c\x86" % i for i in range(60))
    raw = b"\x80\x04N" + doubling + b"R."
    start = time.perf_counter()
    with pytest.raises(PickleRefused):
        load(raw)
    assert time.perf_counter() - start < 1


def test_the_format_before_1_6_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    with pytest.raises(InvalidCheckpoint, match=r"1\.6.*safetensors"):
        read_torch(path)


def test_rows_that_do_not_follow_each_other_are_refused(tmp_path: Path) -> None:
    """Read as if they did, the weights would be garbage without an error."""
    path = saved(tmp_path / "a.bin", {"a": torch.randn(4, 6).t()})
    with pytest.raises(InvalidCheckpoint, match=r"'a' is not stored row by row.*contiguous"):
        read_torch(path)


def _repacked(source: Path, path: Path, **how: Any) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", **how) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return path


def test_archives_that_lie_are_refused(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.bin", {"a": torch.ones(64, 8)})
    assert set(read_torch(good)) == {"a"}
    packed = _repacked(good, tmp_path / "packed.bin", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidCheckpoint, match="compressed"):
        read_torch(packed)
    raw = good.read_bytes()
    short = tmp_path / "short.bin"
    short.write_bytes(raw[:-200])
    with pytest.raises(InvalidCheckpoint, match="damaged archive"):
        read_torch(short)
    with zipfile.ZipFile(good) as archive:
        state = archive.read("good/data.pkl")
    lacking = bin_file(tmp_path / "lacking.bin", state)
    with pytest.raises(InvalidCheckpoint, match="lacks the entry"):
        read_torch(lacking)
    small = bin_file(tmp_path / "small.bin", state, {"0": bytes(64)})
    with pytest.raises(InvalidCheckpoint, match="larger than its storage"):
        read_torch(small)
    big = bin_file(tmp_path / "big.bin", state, {"0": bytes(64 * 8 * 4)}, byteorder=b"big")
    with pytest.raises(InvalidCheckpoint, match="big-endian"):
        read_torch(big)
    with zipfile.ZipFile(tmp_path / "none.bin", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InvalidCheckpoint, match="no PyTorch state"):
        read_torch(tmp_path / "none.bin")


def test_a_directory_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """zipfile reads as much of a directory as the archive claims."""
    path = tmp_path / "a.bin"
    end = b"PK\x05\x06" + bytes(8) + (3 << 30).to_bytes(4, "little") + bytes(6)
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(3 << 30)
        file.seek(0, io.SEEK_END)
        file.write(end)
    with pytest.raises(InvalidCheckpoint, match="directory of more than"):
        read_torch(path)


@given(data=st.data())
def test_any_change_of_a_pickle_is_borne(data: st.DataObject) -> None:
    """Whatever the bytes, the answer is a value or `PickleRefused`."""
    raw = bytearray(_GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PickleRefused):
        load(bytes(raw))


def _a_pickle() -> bytes:
    file = io.BytesIO()
    torch.save(OrderedDict(a=torch.ones(3, 2), b=torch.nn.Parameter(torch.ones(2))), file)
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        return archive.read(name)


_GOOD = _a_pickle()
