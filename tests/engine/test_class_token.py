"""Whether llama.cpp puts the class token first is measured, remembered, and never guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from astrollava.engine import _probe_files as probe
from astrollava.engine import class_token, class_token_order, runtime
from astrollava.engine.class_token import judge, measure, remembered_order
from astrollava.errors import ModelError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and a process that remembers nothing."""
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path))
    monkeypatch.setattr(class_token, "_known", {})
    return tmp_path


def rows(content: list[int], token: list[int], position: list[int]) -> np.ndarray:
    values = np.zeros((probe.PATCHES, 8), np.float32)
    for row, (c, t, p) in enumerate(zip(content, token, position, strict=True)):
        values[row, probe.CONTENT_AXIS] = c * probe.LOUD
        values[row, probe.CLASS_AXIS] = t * probe.LOUD
        values[row, probe.POSITION_AXIS + p] = probe.LOUD
    return values


ORDERS = {
    "first": rows([1, 2, 3, 4], [0, 0, 0, 0], [1, 2, 3, 4]),
    "last": rows([2, 3, 4, 0], [0, 0, 0, 1], [1, 2, 3, 4]),
    # Rows given out from patch 0, positions as they were: each patch has its neighbour's.
    "half mended": rows([1, 2, 3, 4], [0, 0, 0, 0], [0, 1, 2, 3]),
    # Positions turned, rows not.
    "mended elsewhere": rows([2, 3, 4, 0], [0, 0, 0, 1], [2, 3, 4, 0]),
    "not a number": np.full((probe.PATCHES, 8), np.nan, np.float32),
    "nothing": np.zeros((probe.PATCHES, 8), np.float32),
}


@pytest.mark.parametrize("case", ORDERS)
def test_only_what_is_known_gets_a_name(case: str) -> None:
    """A build that is mended in another way must not be mended twice."""
    assert judge(ORDERS[case]) == (case if case in ("first", "last") else "unknown")
    assert judge(ORDERS[case] * np.float32(1.001)) == judge(ORDERS[case])


def test_the_files_are_a_few_kilobytes(tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in probe.write(tmp_path)) < 12_000


def test_this_build_is_measured_and_remembered(own_cache: Path) -> None:
    """0.3.36 carries the order of issue 25814; a pin that moves has to look at this again."""
    assert class_token_order() == "last"
    (kept,) = (own_cache / "runtime").iterdir()
    assert json.loads(kept.read_text())["order"] == "last"
    # Another process believes the file and does not measure.
    kept.write_text(json.dumps({"order": "first"}))
    assert asked_elsewhere(own_cache) == "first"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"order": "sideways"}', b"\xff" * 9000])
def test_a_damaged_note_is_measured_again(damage: bytes, own_cache: Path) -> None:
    class_token_order()
    (kept,) = (own_cache / "runtime").iterdir()
    kept.write_bytes(damage)
    class_token._known.clear()
    assert class_token_order() == "last"
    assert json.loads(kept.read_text())["order"] == "last"


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_cache / "file").write_text("")
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(own_cache / "file"))
    assert class_token_order() == "last"


def test_another_build_is_measured_anew(own_cache: Path, tmp_path: Path) -> None:
    """A llama.cpp compiled again under the same version number may have another order."""
    lib = runtime.load()
    key = class_token._build_key(lib)
    copy = tmp_path / "libmtmd.so"
    copy.write_bytes(b"another")

    class Library:
        _name = str(copy)

    class Mtmd:
        _libmtmd = Library

    other = runtime.Bindings(lib.llama, Mtmd, lib.gguf, lib.ggml, lib.version)
    assert class_token._build_key(other) != key


def test_nothing_is_left_behind(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    measure(runtime.load())
    assert not list(folder.iterdir())


@pytest.mark.parametrize("trouble", ["missing", "no folder"])
def test_without_a_temporary_folder_the_cache_folder_will_do(
    trouble: str, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose TMPDIR was swept away is not without a model for that."""
    place = tmp_path / "temporary"
    if trouble == "no folder":
        place.write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert class_token_order() == "last"
    (kept,) = (own_cache / "runtime").iterdir()
    assert kept.suffix == ".json", "the probe's own files are gone"


def test_where_nothing_can_be_written_the_error_says_what_to_set(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a FileNotFoundError from inside, and not a guess: an image read wrongly shows nowhere."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "swept away"))
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"class token cannot be measured.*swept away") as caught:
        class_token_order()
    assert "TMPDIR" in caught.value.hint
    assert "ASTROLLAVA_CACHE" in caught.value.hint


def test_what_is_remembered_is_told_without_measuring(own_cache: Path) -> None:
    """The doctor says which of the two it was."""
    assert remembered_order() is None
    assert class_token_order() == "last"
    class_token._known.clear()
    assert remembered_order() == "last"


def test_a_build_that_is_mended_upstream_is_recognised(
    own_cache: Path, fixed_runtime: dict[str, str]
) -> None:
    """Such a build needs unturned files and unmoved rows: help would make it wrong."""
    assert asked_elsewhere(own_cache, fixed_runtime) == "first"


def asked_elsewhere(cache: Path, environment: dict[str, str] | None = None) -> str:
    code = "from astrollava.engine import class_token_order; print(class_token_order())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ASTROLLAVA_CACHE": str(cache), **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()
