"""Names of the hub: downloaded once, without what is not needed; what fails is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import loopback_hub  # noqa: E402
from astrollava.errors import InvalidCheckpoint, ModelNotFound  # noqa: E402
from astrollava_training.llava.sources import find_folder, read_config  # noqa: E402
from astrollava_training.llava.towers import load_tower  # noqa: E402


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[loopback_hub.Hub]:
    with loopback_hub.serving() as served:
        loopback_hub.use(monkeypatch, served, tmp_path / "cache")
        yield served


def published(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_repository_is_downloaded_once_and_without_copies(
    hub: loopback_hub.Hub, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's repositories hold the same weights for three frameworks."""
    files = published(parts / "clip") | {"tf_model.h5": b"x" * 99, "pytorch_model.bin": b"x" * 99}
    hub.repositories["some/clip"] = files
    assert load_tower("some/clip", torch.float32).model.config.image_size == 56
    asked = {request.path.rpartition("/")[2] for request in hub.requests}
    assert "model.safetensors" in asked
    assert not asked & {"tf_model.h5", "pytorch_model.bin"}
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert (find_folder("some/clip", "the tower") / "config.json").is_file()
    assert not hub.requests


def test_weights_of_before_safetensors_are_taken_where_there_are_no_others(
    hub: loopback_hub.Hub, parts: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    files = published(parts / "clip")
    torch.save(load_file(parts / "clip" / "model.safetensors"), tmp_path / "weights.bin")
    del files["model.safetensors"]
    hub.repositories["old/clip"] = {
        **files, "pytorch_model.bin": (tmp_path / "weights.bin").read_bytes(),
    }  # fmt: skip
    ours = load_tower("old/clip", torch.float32).model.state_dict()
    theirs = load_tower(str(parts / "clip"), torch.float32).model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_what_the_hub_does_not_have_is_said(hub: loopback_hub.Hub) -> None:
    with pytest.raises(ModelNotFound, match=r"(?s)the language model 'some/none'.*hf download"):
        find_folder("some/none", "the language model")
    with pytest.raises(ModelNotFound, match="is no folder"):
        find_folder("../some/where/else", "the language model")


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_a_configuration_is_no_checkpoint(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidCheckpoint, match=r"config\.json"):
        read_config(tmp_path, "the tower")
