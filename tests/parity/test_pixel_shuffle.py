"""A projector that joins patches reads them in llama.cpp's order, behind the right layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

import llava_checkpoints  # noqa: E402
import tiny_llava  # noqa: E402
from astrollava.convert import convert  # noqa: E402
from astrollava.errors import InvalidCheckpoint, UnsupportedModel  # noqa: E402
from astrollava.models.checkpoint import open_checkpoint  # noqa: E402
from astrollava.parity import parity  # noqa: E402
from astrollava.parity.pixel_shuffle import (  # noqa: E402
    LlavaPixelShuffleForConditionalGeneration,
    shuffled,
)


def saved(folder: Path, *, tower: str = "clip", joined: int = 2, **vision: Any) -> Path:
    """A checkpoint of random weights with such a projector."""
    plain = llava_checkpoints.model(tower=tower, vision=vision)
    config = plain.config
    config.pixel_shuffle = joined
    config.image_seq_length //= joined**2
    torch.manual_seed(1)
    net = LlavaPixelShuffleForConditionalGeneration(config).eval()
    return llava_checkpoints.save(tiny_llava.widen(net), folder)


@pytest.mark.parametrize("feature_layer", [-2, -1])
def test_llama_cpp_joins_the_same_patches(tmp_path: Path, feature_layer: int) -> None:
    """Another order within a square, or of squares, would show the model a scrambled picture."""
    folder = saved(tmp_path / "checkpoint")
    config = folder / "config.json"
    old = '"vision_feature_layer": -2'
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, old.replace("-2", str(feature_layer))))
    convert(folder, tmp_path / "pair", quantize="f16")
    report = parity(folder, tmp_path / "pair")
    # Four patches of each of the 4 x 4 become one token, and none is lost.
    assert report.given.shape == (4, 4)
    assert report.cosine_min > 0.9999
    assert report.is_same, str(report)


def test_squares_stand_row_by_row() -> None:
    patches = torch.arange(16).reshape(1, 16, 1)
    assert shuffled(patches, 2)[0].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15],
    ]  # fmt: skip


def test_a_tower_without_a_class_token_is_refused(tmp_path: Path) -> None:
    """llama.cpp would abort on the missing tensor."""
    with pytest.raises(UnsupportedModel, match="siglip"):
        open_checkpoint(saved(tmp_path, tower="siglip"))


def test_a_grid_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="pixel_shuffle is 3"):
        open_checkpoint(saved(tmp_path, joined=3))
