"""From what users type to files, and what they are told when it does not lead there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from astrollava.errors import InvalidModelFile, InvalidRequest, ModelNotFound
from astrollava.models import ModelFiles, finding, resolve
from tiny_pair import write_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one pair: ``galaxy.gguf`` and ``mmproj-galaxy-f16.gguf``."""
    text, mmproj = write_pair(tmp_path / "galaxy-model")
    text.rename(text.with_name("galaxy.gguf"))
    mmproj.rename(mmproj.with_name("mmproj-galaxy-F16.gguf"))
    return tmp_path / "galaxy-model"


def test_the_embedded_model_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_EMBEDDED", tmp_path / "astrollava-embedded-v0")
    with pytest.raises(ModelNotFound, match="missing from this installation") as caught:
        resolve()
    assert "make embedded-model" in str(caught.value)
    text, mmproj = write_pair(tmp_path)
    text = text.rename(tmp_path / "astrollava-embedded-v0-text.gguf")
    mmproj = mmproj.rename(tmp_path / "astrollava-embedded-v0-mmproj.gguf")
    files = resolve()
    assert files == ModelFiles("embedded", text, mmproj, source="package")
    assert resolve(" Embedded ") == files
    with pytest.raises(InvalidRequest, match="has its own"):
        resolve("embedded", mmproj=mmproj)


def test_a_file_finds_the_projector_beside_it(folder: Path) -> None:
    files = resolve(folder / "galaxy.gguf")
    assert files.mmproj == folder / "mmproj-galaxy-F16.gguf"
    assert files.name == "galaxy"
    assert files.source == "path"
    assert resolve(str(folder / "galaxy.gguf")) == files


def test_a_folder_holds_both(folder: Path) -> None:
    files = resolve(folder)
    assert (files.text.name, files.mmproj.name) == ("galaxy.gguf", "mmproj-galaxy-F16.gguf")
    assert files.name == "galaxy-model"


def test_home_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve("~/galaxy-model/galaxy.gguf").text == folder / "galaxy.gguf"


def test_an_explicit_projector_wins(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(folder / "mmproj-galaxy-F16.gguf", tmp_path / "vision.gguf"))
    assert resolve(folder / "galaxy.gguf", mmproj=other).mmproj == other
    assert resolve(folder, mmproj=str(other)).mmproj == other
    with pytest.raises(ModelNotFound, match="no projector file"):
        resolve(folder / "galaxy.gguf", mmproj=tmp_path / "nothing.gguf")


def test_without_a_projector_what_was_found_is_listed(folder: Path) -> None:
    (folder / "mmproj-galaxy-F16.gguf").rename(folder / "vision.gguf")
    with pytest.raises(ModelNotFound, match=r"no projectors for galaxy\.gguf") as caught:
        resolve(folder / "galaxy.gguf")
    assert "vision.gguf" in str(caught.value)
    assert "Give the projector's path as mmproj" in str(caught.value)


def test_a_damaged_file_is_called_so_before_its_projector_is_missed(folder: Path) -> None:
    """Who looks for the projector of a broken download finds it and is no step further."""
    (folder / "mmproj-galaxy-F16.gguf").unlink()
    whole = (folder / "galaxy.gguf").read_bytes()
    for raw, says in (
        (b"GGUF" + bytes(100), "version 0, which is unknown"),
        (whole[:200], "cut short"),
        (whole[:-100], r"galaxy\.gguf"),
    ):
        (folder / "galaxy.gguf").write_bytes(raw)
        with pytest.raises(InvalidModelFile, match=says):
            resolve(folder / "galaxy.gguf")


def test_the_folder_one_stands_in_is_called_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ ". holds no projectors" names nothing."""
    (folder / "mmproj-galaxy-F16.gguf").unlink()
    monkeypatch.chdir(folder)
    for given in ("galaxy.gguf", "."):
        with pytest.raises(ModelNotFound) as caught:
            resolve(Path(given))
        assert f"{folder} holds no projectors" in str(caught.value)
    (folder / "galaxy.gguf").unlink()
    with pytest.raises(ModelNotFound) as caught:
        resolve(Path("."))
    assert f"{folder} holds no language models" in str(caught.value)


def test_with_two_projectors_none_is_guessed(folder: Path) -> None:
    shutil.copy(folder / "mmproj-galaxy-F16.gguf", folder / "mmproj-galaxy-Q8_0.gguf")
    with pytest.raises(ModelNotFound, match=r"2 projectors \(mmproj-galaxy-F16.*Q8_0\.gguf\)"):
        resolve(folder / "galaxy.gguf")


def test_with_two_models_none_is_guessed(folder: Path) -> None:
    shutil.copy(folder / "galaxy.gguf", folder / "nebula.gguf")
    with pytest.raises(ModelNotFound, match=r"2 language models \(galaxy\.gguf, nebula\.gguf\)"):
        resolve(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="holds no language models"):
        resolve(tmp_path)


def test_a_projector_alone_is_no_model(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match="is a projector") as caught:
        resolve(folder / "mmproj-galaxy-F16.gguf")
    assert "as mmproj" in str(caught.value)


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "galaxy.fits"
    path.write_bytes(b"SIMPLE")
    with pytest.raises(ModelNotFound, match=r"is no \.gguf file"):
        resolve(path)


def test_unknown_names_get_near_matches_and_what_is_accepted(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model 'embeded'") as caught:
        resolve("embeded")
    assert "Did you mean embedded" in str(caught.value)
    with pytest.raises(ModelNotFound) as caught:
        resolve("a-model-nobody-has")
    assert "astrollava models list" in str(caught.value)
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(ModelNotFound, match=r"llava-1\.5-7b or"):
        resolve("llava-1.5-7")
    with pytest.raises(ModelNotFound, match=r"qwen2\.5-vl-3b or qwen2\.5-vl-7b"):
        resolve("qwen")
    with pytest.raises(ModelNotFound, match="no file or folder") as caught:
        resolve(folder / "galxy.gguf")
    assert "Near it: galaxy.gguf" in str(caught.value)
    with pytest.raises(FileNotFoundError):
        resolve(folder / "nowhere" / "x.gguf")
