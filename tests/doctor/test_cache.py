"""A cache folder that cannot be written costs time at each start, and nothing else says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrollava.doctor import examine
from astrollava.doctor.cache import check_cache


def test_a_folder_that_can_be_written_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(folder))
    check = check_cache()
    assert (check.status, check.advice) == ("ok", "")
    assert str(folder) in check.detail
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_one_that_cannot_is_a_warning_with_its_price(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / place))
    check = check_cache()
    assert check.status == "warning"
    assert str(tmp_path / place) in check.detail
    assert "hashed" in check.detail
    assert "ASTROLLAVA_CACHE" in check.advice


def test_a_full_disk_is_a_warning_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path))
    monkeypatch.setattr("secrets.token_hex", lambda count: "x")
    real = Path.open

    def full(path: Path, *mode: str) -> object:
        return real(Path("/dev/full"), "wb") if path.name.endswith(".part") else real(path, *mode)

    monkeypatch.setattr(Path, "open", full)
    check = check_cache()
    assert check.status == "warning"
    assert "No space left" in check.detail


def test_the_class_token_is_measured_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp")
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path))
    said = []
    for _ in range(2):
        found = {check.name: check for check in examine(str(tmp_path / "none.gguf"))}
        assert found["cache folder"].status == "ok"
        said.append(found["class token"].detail)
    assert "measured now" in said[0]
    assert "remembered" in said[1]
