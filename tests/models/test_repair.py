"""Third-party LLaVA-1.5 projector files: what is found in them, and what a copy changes."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_package
import numpy as np
import pytest

from astrollava.errors import InvalidModelFile, InvalidRequest, NotEnoughSpace
from astrollava.models import gguf, repair, store
from gguf_files import MMPROJS, Model, Tensor

Write = Callable[[Model], Path]
#: Tiny towers are of no known depth: for these only what the old converter writes tells.
OLD = {
    "clip.has_llava_projector": ("bool", 1),
    "clip.has_text_encoder": ("bool", 0),
    "general.description": ("str", "image encoder for LLaVA"),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a model's file, in a place with an empty cache folder of its own."""
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))

    def write(model: Model) -> Path:
        path = tmp_path / "mmproj.gguf"
        path.write_bytes(model.write())
        return path

    return write


def llava(*, drop: tuple[str, ...] = (), **keys: tuple[str, object]) -> Model:
    model = MMPROJS["mlp-cls"]()
    model.keys |= {name.replace("__", "."): value for name, value in keys.items()}
    for name in drop:
        del model.keys[name]
    return model


def by_old_converter(**keys: tuple[str, object]) -> Model:
    model = llava(**keys)
    model.keys |= OLD
    return model


def names(path: Path, order: repair.Order) -> list[str]:
    return [defect.name for defect in repair.diagnose(gguf.read_header(path), order)]


def sized(width: int, inner: int, layers: int) -> Model:
    """A header alone says how deep a known tower is."""
    model = llava()
    model.keys["clip.vision.embedding_length"] = ("u32", width)
    model.keys["clip.vision.feed_forward_length"] = ("u32", inner)
    model.keys["clip.vision.block_count"] = ("u32", layers)
    return model


@pytest.mark.parametrize(
    ("model", "order", "found"),
    [
        (llava(), "last", ["class-token"]),
        (llava(), "first", []),
        (llava(), "unknown", []),
        (by_old_converter(), "last", ["missing-layer", "class-token"]),
        (by_old_converter(), "first", ["missing-layer"]),
        (by_old_converter(), "unknown", ["missing-layer"]),
        (by_old_converter(clip__vision__feature_layer=("[i32]", [1])), "first", []),
        (llava(**{repair.ORDER_KEY: ("str", "last")}), "last", []),
        (llava(**{repair.ORDER_KEY: ("str", "last")}), "first", ["class-token"]),
        (sized(1024, 4096, 23), "first", ["missing-layer"]),
        (sized(1024, 4096, 24), "first", []),
        (sized(1024, 4096, 22), "first", []),
        (sized(1280, 5120, 31), "first", ["missing-layer"]),
        (MMPROJS["mlp-norm"](), "last", []),
        (MMPROJS["mlp"](), "last", []),
        (MMPROJS["internvl"](), "last", []),
        (MMPROJS["idefics3"](), "last", []),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(
    model: Model, order: repair.Order, found: list[str], write: Write
) -> None:
    """A sound file that is "repaired" is broken; a broken one left alone gives wrong pictures."""
    assert names(write(model), order) == found


def test_a_full_tower_by_the_old_converter_is_left_alone(write: Write) -> None:
    """Some wrote all 24 layers with it: the depth of a known tower says more than the converter."""
    model = sized(1024, 4096, 24)
    model.keys |= OLD
    assert names(write(model), "first") == []


def test_a_file_of_2023_does_not_name_its_projector(write: Write) -> None:
    model = by_old_converter()
    del model.keys["clip.projector_type"]
    path = write(model)
    with pytest.raises(InvalidModelFile, match="projector type"):
        gguf.check_mmproj(gguf.read_header(path))
    assert names(path, "last") == ["projector-type", "missing-layer", "class-token"]
    copy = repair.repair(gguf.read_header(path), "last")
    gguf.check_mmproj(gguf.read_header(copy))
    assert names(copy, "last") == []


@pytest.mark.parametrize("kind", [0, 1, 8])
@pytest.mark.parametrize("spare", [0, 3])
def test_a_copy_differs_in_rows_and_keys_alone(kind: int, spare: int, write: Write) -> None:
    """A shifted offset or a table turned past its used rows would be noise, not a tower."""
    model = by_old_converter(general__alignment=("u32", 64))
    rows = model.tensors["v.position_embd.weight"].shape[1]
    model.tensors["v.position_embd.weight"] = Tensor((32, rows + spare), kind)
    path = write(model)
    copy = repair.repair(gguf.read_header(path), "last")
    before, after = (gguf_package.GGUFReader(p) for p in (path, copy))
    assert [t.name for t in before.tensors] == [t.name for t in after.tensors]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        expected = old.data
        if old.name == "v.position_embd.weight":
            used = np.asarray(old.data)[:rows]
            expected = np.concatenate([np.roll(used, -1, axis=0), np.asarray(old.data)[rows:]])
        assert np.array_equal(np.asarray(new.data), expected), old.name
        assert new.data_offset % 64 == 0
    added = set(after.fields) - set(before.fields)
    assert added == {
        "clip.vision.feature_layer",
        repair.ORDER_KEY,
        "astrollava.repair.source",
        "astrollava.repair.defects",
    }
    header = gguf.read_header(copy)
    assert header.metadata["clip.vision.feature_layer"] == (2,)
    assert header.metadata["astrollava.repair.source"] == store.sha256(path)
    for key in set(before.fields) & set(after.fields):
        if not key.startswith("GGUF."):
            assert before.fields[key].contents() == after.fields[key].contents()
    assert repair.diagnose(header, "last") == ()


def test_turning_there_and_back_gives_the_same_table(write: Write, tmp_path: Path) -> None:
    """Files of our own converter are turned back where llama.cpp is right."""
    path = write(llava())
    there = repair.repair(gguf.read_header(path), "last")
    back = repair.repair(gguf.read_header(there), "first", tmp_path / "back.gguf")
    tables = [
        next(t.data for t in gguf_package.GGUFReader(p).tensors if "position" in t.name)
        for p in (path, there, back)
    ]
    assert np.array_equal(tables[0], tables[2])
    assert not np.array_equal(tables[0], tables[1])
    assert names(back, "first") == []


def test_the_twin_exchanges_two_places(write: Write) -> None:
    path = write(llava())
    copy = repair.repair(gguf.read_header(path), "last")
    twin = repair.twin(gguf.read_header(path))
    assert twin is not None
    one, other = (
        next(np.asarray(t.data) for t in gguf_package.GGUFReader(p).tensors if "position" in t.name)
        for p in (copy, twin)
    )
    assert np.array_equal(other, one[[1, 0, *range(2, len(one))]])
    # The repaired file has the same twin as the one it was made of, but for its name.
    again = repair.twin(gguf.read_header(copy))
    assert again is not None
    same = gguf.read_header(again)
    assert twin.read_bytes()[-1000:] == again.read_bytes()[-1000:]
    gguf.check_mmproj(same)
    assert repair.twin(gguf.read_header(write(MMPROJS["mlp"]()))) is None


def test_a_copy_is_made_once_and_made_again_when_damaged(write: Write) -> None:
    header = gguf.read_header(write(llava()))
    copy = repair.repair(header, "last")
    first = copy.stat().st_mtime_ns
    assert repair.repair(header, "last") == copy
    assert copy.stat().st_mtime_ns == first
    whole = copy.read_bytes()
    for damage in (whole[:-200], whole[:40], b"", MMPROJS["mlp-cls"]().write(seed=3)):
        copy.write_bytes(damage)
        assert repair.repair(header, "last").read_bytes() == whole


def test_another_file_under_the_same_name_gets_another_copy(write: Write) -> None:
    """A cache by name would show a new model through an old tower."""
    one = repair.repair(gguf.read_header(write(llava())), "last")
    changed = llava(general__name=("str", "another"))
    assert repair.repair(gguf.read_header(write(changed)), "last") != one


def test_many_at_once_make_one_whole_copy(write: Write, tmp_path: Path) -> None:
    header = gguf.read_header(write(by_old_converter()))
    copies: list[Path] = []
    threads = [
        threading.Thread(target=lambda: copies.append(repair.repair(header, "last")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 8
    assert len(set(copies)) == 1
    gguf.check_mmproj(gguf.read_header(copies[0]))
    assert [p.name for p in copies[0].parent.iterdir()] == [copies[0].name]


def test_a_full_disk_leaves_nothing_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = gguf.read_header(write(llava()))
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(NotEnoughSpace, match="ASTROLLAVA_CACHE"):
        repair.repair(header, "last")
    assert not list((tmp_path / "cache" / "repaired").iterdir())


def test_a_file_cut_short_meanwhile_is_told(write: Write, tmp_path: Path) -> None:
    path = write(llava())
    header = gguf.read_header(path)
    store.sha256(path)
    path.write_bytes(path.read_bytes()[: header.data_offset + 100])
    with pytest.raises(InvalidModelFile, match="shorter"):
        repair.repair(header, "last")
    assert not list(tmp_path.glob("cache/repaired/*"))


def test_the_file_itself_is_never_written(write: Write, tmp_path: Path) -> None:
    path = write(llava())
    before = path.read_bytes()
    with pytest.raises(InvalidRequest, match="the file to be repaired"):
        repair.repair(gguf.read_header(path), "last", path)
    link = tmp_path / "link.gguf"
    link.symlink_to(path)
    with pytest.raises(InvalidRequest, match="the file to be repaired"):
        repair.repair(gguf.read_header(path), "last", link)
    with pytest.raises(InvalidRequest, match="nothing to repair"):
        repair.repair(gguf.read_header(path), "first", tmp_path / "out.gguf")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "keys",
    [
        {"clip.vision.image_size": ("str", "336")},
        {"clip.vision.image_size": ("u32", 4_000_000_000)},
        {"clip.vision.patch_size": ("u32", 0)},
        {"clip.vision.block_count": ("f32", 23.0)},
        {"clip.vision.block_count": ("u32", 0)},
        {"clip.vision.embedding_length": ("str", "x")},
        {"clip.projector_type": ("u32", 7)},
        {repair.ORDER_KEY: ("u32", 1)},
        {"clip.vision.feature_layer": ("str", "2")},
    ],
)
@pytest.mark.parametrize("order", ["first", "last", "unknown"])
def test_a_hostile_header_is_left_to_the_checks(
    keys: dict[str, tuple[str, object]], order: repair.Order, write: Write
) -> None:
    """Whatever the repair makes of it, llama.cpp sees only what `check_mmproj` let pass."""
    model = by_old_converter()
    model.keys |= keys
    header = gguf.read_header(write(model))
    for path in (repair.repair(header, order), repair.twin(header)):
        if path is not None:
            with contextlib.suppress(InvalidModelFile):
                gguf.check_mmproj(gguf.read_header(path))
