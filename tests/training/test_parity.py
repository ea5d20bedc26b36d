"""llama.cpp must compute what torch trained: measured on random models of the embedded shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

import tiny_llava  # noqa: E402
from astrollava.errors import InvalidRequest  # noqa: E402
from astrollava_training.config import load_recipe  # noqa: E402
from astrollava_training.data.phrases import ASKED  # noqa: E402
from astrollava_training.data.tokens import train_tokenizer  # noqa: E402
from astrollava_training.export import export  # noqa: E402
from astrollava_training.model import build  # noqa: E402
from astrollava_training.parity import parity  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    "layer -1": {"layers": 3},
    "layer -2": {"feature_layer": -2, "layers": 3},
    "128/16": {"image_size": 128, "patch_size": 16},
    "112/8": {"image_size": 112, "patch_size": 8},
    "grouped queries": {"key_value_heads": 1, "layers": 3},
    "widths differ": {"hidden": 96, "text_hidden": 128, "heads": 2, "key_value_heads": 2},
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_llava.tokenizer()


def pictures(side: int, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    spot = np.exp(-(x**2 + y**2) / (side / 6) ** 2)[..., None] * 180
    noisy = [
        spot * rng.uniform(0.5, 1, 3) + rng.uniform(0, 70, (side, side, 3)) for _ in range(count)
    ]
    return [picture.astype(np.uint8) for picture in noisy]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pair_says_what_torch_says(shape: str, tokenizer: Any, tmp_path: Path) -> None:
    """A lost bias, a rotated Q, a wrong epsilon, base or layer each change the text."""
    net = tiny_llava.model(tokenizer.get_vocab_size(), **SHAPES[shape])
    pair = export(net, tokenizer, tmp_path, name="tiny", quantize="f16")
    shown = pictures(net.config.vision_config.image_size)
    report = parity(net, tokenizer, pair, shown, max_tokens=24, threads=1)
    assert report.cosine_min > 0.99999, report
    # Random weights come near ties, which rounding breaks; a mistake would break clear choices.
    assert report.same_text == 1.0 or report.gap < 0.1, report.differing
    assert report.logprob_error < 0.02, report


def test_the_embedded_recipe_makes_a_model_that_is_exported_exactly(
    repository: Path, tmp_path: Path
) -> None:
    """Sizes of the recipe, such as heads of odd width, could be some llama.cpp computes wrongly."""
    recipe = load_recipe(repository / "training/astrollava_training/recipes/embedded.toml")
    asked = [question for wordings in ASKED.values() for question in wordings]
    spelled = train_tokenizer(asked * 4, recipe.language.vocab_size)
    net = tiny_llava.widen(build(recipe, spelled).eval())
    pair = export(net, spelled, tmp_path, name="embedded", quantize="f16")
    shown = pictures(recipe.vision.image_size)
    report = parity(net, spelled, pair, shown, max_tokens=24, threads=1)
    assert report.cosine_min > 0.99999, report
    assert report.same_text == 1.0 or report.gap < 0.1, report.differing
    assert report.logprob_error < 0.02, report
    small = export(
        net,
        spelled,
        tmp_path,
        name="embedded",
        quantize=recipe.export.quantize,
        mmproj_quantize=recipe.export.mmproj_quantize,
    )
    assert sum(path.stat().st_size for path in small) < 25_000_000
    assert parity(net, spelled, small, shown[:1], max_tokens=4, threads=1).cosine_min > 0.99


def test_tied_embeddings_are_written_once(tokenizer: Any, tmp_path: Path) -> None:
    net = tiny_llava.model(tokenizer.get_vocab_size(), tied=True)
    pair = export(net, tokenizer, tmp_path, name="tiny", quantize="f16")
    report = parity(net, tokenizer, pair, pictures(120), max_tokens=8, threads=1)
    assert report.logprob_error < 0.02, report
    untied = tiny_llava.model(tokenizer.get_vocab_size())
    other = export(untied, tokenizer, tmp_path / "untied", name="tiny", quantize="f16")
    assert pair[0].stat().st_size < other[0].stat().st_size


@pytest.mark.parametrize(
    ("quantize", "cosine"),
    [("f32", 0.99999), ("bf16", 0.998), ("q8_0", 0.99), ("q4_0", 0.8), ("q4_k_m", 0.8)],
)
def test_quantizing_costs_what_it_should(
    quantize: str, cosine: float, tokenizer: Any, tmp_path: Path
) -> None:
    net = tiny_llava.model(tokenizer.get_vocab_size())
    pair = export(net, tokenizer, tmp_path, name="tiny", quantize=quantize)
    report = parity(net, tokenizer, pair, pictures(120, 1), max_tokens=8, threads=1)
    assert report.cosine_min > cosine, report


def test_a_model_that_is_not_the_one_exported_is_told(tokenizer: Any, tmp_path: Path) -> None:
    """A parity check that passes everything guards nothing."""
    net = tiny_llava.model(tokenizer.get_vocab_size())
    other = tiny_llava.model(tokenizer.get_vocab_size(), seed=1)
    pair = export(other, tokenizer, tmp_path, name="tiny", quantize="f16")
    report = parity(net, tokenizer, pair, pictures(120, 1), max_tokens=8, threads=1)
    assert report.cosine_median < 0.9
    assert report.same_text == 0.0
    assert "same greedy text 0%" in str(report)


def test_a_wrong_size_is_named_before_anything_runs(tokenizer: Any, tmp_path: Path) -> None:
    net = tiny_llava.model(tokenizer.get_vocab_size())
    with pytest.raises(InvalidRequest, match=r"\(112, 112, 3\).*\(120, 120, 3\)"):
        parity(net, tokenizer, (tmp_path / "a", tmp_path / "b"), pictures(112, 1))
    with pytest.raises(InvalidRequest, match="one or more"):
        parity(net, tokenizer, (tmp_path / "a", tmp_path / "b"), [])
