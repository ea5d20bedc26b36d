"""Converted checkpoints of every layout say what torch says.

Random weights are harsh: nothing averages out, and one wrong row, scale or sign shows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

import llava_checkpoints as tiny  # noqa: E402
from astrollava.engine import Engine  # noqa: E402
from astrollava.faithful import faithful  # noqa: E402
from astrollava.models.checkpoint import open_checkpoint  # noqa: E402
from astrollava.models.convert import convert  # noqa: E402
from astrollava.parity.compare import compare, default_pictures  # noqa: E402
from astrollava.parity.reference import TorchReference  # noqa: E402
from astrollava.parity.report import ParityReport  # noqa: E402
from clear_choices import clear_question  # noqa: E402

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip

MODELS: dict[str, dict[str, Any]] = {
    "clip-llama": {},
    "siglip-llama": {"tower": "siglip"},
    "clip-qwen2": {"language": "qwen2"},
    "siglip-qwen2-tied": {
        "tower": "siglip", "language": "qwen2", "text": {"tie_word_embeddings": True},
    },
    "biases": {"text": {"attention_bias": True, "mlp_bias": True}},
    "mistral": {"language": "mistral"},
    "wide-heads": {"text": {"head_dim": 32}},
    "all-heads": {"text": {"num_key_value_heads": 4}},
    "rope-linear": {
        "text": {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e3, "factor": 2.0}},
    },
    "rope-llama3": {"text": {"rope_parameters": LLAMA3}},
    "rope-yarn": {"text": {"rope_parameters": YARN}},
    "rope-yarn-qwen2": {"language": "qwen2", "text": {"rope_parameters": YARN}},
    "clip-last-layer": {"vision_feature_layer": -1},
    "clip-first-layer": {"vision_feature_layer": 1},
    "siglip-layer-2": {"tower": "siglip", "vision_feature_layer": -2},
    "no-projector-bias": {"tower": "siglip", "multimodal_projector_bias": False},
    "clip-gelu": {"vision": {"hidden_act": "gelu", "num_attention_heads": 2}},
}  # fmt: skip


def features(net: Any, lost: bool) -> Callable[[Any], Any]:
    """The picture as torch sees it, with a lost patch replaced as the engine replaces it."""

    def of(pixels: Any) -> Any:
        values = net.get_image_features(pixel_values=pixels).pooler_output[0].clone()
        if lost:
            values[0] = values[1]
        return values

    return of


def measured(
    net: Any, folder: Path, out: Path, quantize: str = "f32", **where: Any
) -> ParityReport:
    """Convert a checkpoint, and compare the pair with the model in memory."""
    checkpoint = open_checkpoint(folder, **where)
    pair = faithful(convert(checkpoint, out, quantize=quantize, mmproj_quantize=quantize)).files
    with Engine(pair.text, pair.mmproj, threads=1) as engine:
        reference = TorchReference(
            net,
            tiny.Words(),
            stop=[1],
            mean=checkpoint.rendering.mean,
            std=checkpoint.rendering.std,
            features=features(net, bool(engine.lost_patches)),
        )
        pictures = default_pictures(engine.image_size[0], 2)
        question = clear_question(engine, reference, pictures, max_tokens=12, margin=0.02)
        return compare(engine, reference, pictures, question=question, max_tokens=12)


def is_faithful(report: ParityReport, logits: float = 0.005) -> bool:
    assert report.cosine_min > 0.9999, report
    assert report.logits < logits, report
    assert report.same_text, report
    return True


@pytest.mark.parametrize("name", MODELS)
def test_what_transformers_saved(name: str, tmp_path: Path) -> None:
    net = tiny.model(**MODELS[name])
    assert is_faithful(measured(net, tiny.save(net, tmp_path / "hf"), tmp_path / "pair"))


@pytest.mark.parametrize("tower", ["clip", "siglip"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_the_size(tower: str, dtype: str, tmp_path: Path) -> None:
    net = tiny.model(tower=tower)
    folder = tiny.save(net, tmp_path / "hf", dtype)
    assert is_faithful(measured(net, folder, tmp_path / "pair", "f16"))


def test_shards_in_both_formats(tmp_path: Path) -> None:
    net = tiny.model()
    folder = tiny.save(net, tmp_path / "hf", max_shard_size="200KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert is_faithful(measured(net, folder, tmp_path / "pair"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_original_layout_with_its_tower(dtype: str, tmp_path: Path) -> None:
    net = tiny.model()
    folder = tiny.save_original(net, tmp_path / "llava", dtype=dtype)
    assert is_faithful(measured(net, folder, tmp_path / "pair", "f16"))


def test_the_original_layout_with_a_tower_beside_it(tmp_path: Path) -> None:
    net = tiny.model(vision={"hidden_act": "gelu", "num_attention_heads": 2})
    folder = tiny.save_original(net, tmp_path / "llava", tower=tmp_path / "tower")
    assert is_faithful(measured(net, folder, tmp_path / "pair"))
    away = (tmp_path / "tower").rename(tmp_path / "elsewhere")
    assert is_faithful(measured(net, folder, tmp_path / "pair-2", vision_tower=away))


def test_the_original_layout_with_qwen2(tmp_path: Path) -> None:
    net = tiny.model(language="qwen2")
    folder = tiny.save_original(
        net, tmp_path / "llava", architectures=["LlavaQwenForCausalLM"], model_type="llava_qwen"
    )
    assert is_faithful(measured(net, folder, tmp_path / "pair"))


@pytest.mark.parametrize("config", [{}, {"use_rslora": True}], ids=["lora", "rslora"])
def test_an_adapter_is_merged_into_its_base(config: dict[str, Any], tmp_path: Path) -> None:
    net = tiny.model()
    folder = tiny.save_lora(net, tmp_path / "base", tmp_path / "adapter", **config)
    assert is_faithful(measured(net, folder, tmp_path / "pair"))
    away = (tmp_path / "base").rename(tmp_path / "elsewhere")
    assert is_faithful(measured(net, folder, tmp_path / "pair-2", base=away))


def test_a_projector_on_its_language_model(tmp_path: Path) -> None:
    net = tiny.model(vision={"hidden_act": "gelu"})
    folder = tiny.save_projector(net, tmp_path / "base", tmp_path / "projector")
    assert is_faithful(measured(net, folder, tmp_path / "pair"))


@pytest.mark.parametrize("quantize", ["q8_0", "q4_0"])
def test_quantized_weights_stay_near(quantize: str, tmp_path: Path) -> None:
    """A wrong order in a block or a lost scale is no small error."""
    net = tiny.model(tower="siglip")
    report = measured(net, tiny.save(net, tmp_path / "hf"), tmp_path / "pair", quantize)
    least, most = {"q8_0": (0.9999, 0.05), "q4_0": (0.97, 0.4)}[quantize]
    assert report.cosine_min > least
    assert report.logits < most
