"""Opening a checkpoint: what it is made of, where its parts lie, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import InvalidCheckpoint, ModelError, ModelNotFound, UnsupportedModel
from astrollava.models.checkpoint import open_checkpoint
from astrollava.models.checkpoint._names import canonical
from astrollava.models.checkpoint._shards import plain_name
from checkpoint_files import save_numbers
from plain_checkpoint import PlainLlava

PLAIN = PlainLlava()
CLIP = "openai/clip-vit-base-patch32"


def part(name: str, **values: Any) -> dict[str, Any]:
    return {name: {**PLAIN.config()[name], **values}}


def text(**values: Any) -> dict[str, Any]:
    return part("text_config", **values)


def vision(**values: Any) -> dict[str, Any]:
    return part("vision_config", **values)


def original(folder: Path, **values: Any) -> Path:
    """A checkpoint of the original LLaVA, without its tower."""
    PLAIN.save(folder)
    config = {
        **PLAIN.config()["text_config"],
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_tower": CLIP,
        **values,
    }
    (folder / "config.json").write_text(json.dumps(config))
    rename = {
        "language_model.": "", "vision_tower.": "vision_tower.vision_tower.",
        "multi_modal_projector.linear_1": "model.mm_projector.0",
        "multi_modal_projector.linear_2": "model.mm_projector.2",
    }  # fmt: skip
    raw = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    numbers = {}
    for name, entry in header.items():
        if name.startswith("vision_tower."):
            continue
        new = next((r + name[len(o) :] for o, r in rename.items() if name.startswith(o)), name)
        begin, end = entry["data_offsets"]
        values_ = np.frombuffer(raw[8 + length + begin : 8 + length + end], np.float32)
        numbers[new] = values_.reshape(entry["shape"])
    save_numbers(folder / "model.safetensors", numbers)
    return folder


def tower(folder: Path) -> Path:
    """A CLIP by itself, with its text half."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    numbers = {
        name.removeprefix("vision_tower."): random.standard_normal(shape, np.float32)
        for name, shape in PLAIN.shapes().items()
        if name.startswith("vision_tower.")
    }
    numbers["text_model.embeddings.position_ids"] = np.arange(4)[None]
    numbers["logit_scale"] = np.ones((), np.float32)
    save_numbers(folder / "model.safetensors", numbers)
    config = {"model_type": "clip", "vision_config": PLAIN.config()["vision_config"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]})
    )
    return folder


def test_parts_are_what_the_configuration_says(tmp_path: Path) -> None:
    found = open_checkpoint(PLAIN.save(tmp_path / "hf"))
    assert (found.layout, found.source, found.feature_layer) == ("hf-llava", "hf", 1)
    assert (found.language.architecture, found.language.head_length) == ("llama", 16)
    assert (found.tower.kind, found.tower.tokens, found.tower.activation) == (
        "clip", 4, "quick_gelu",
    )  # fmt: skip
    assert "language.layers.0.mlp.up_proj.weight" in found.tensors
    assert {path.name for path in found.files} == {"model.safetensors", "config.json"}


def test_a_configuration_that_says_little_is_filled_as_transformers_does(tmp_path: Path) -> None:
    """The text_config of llava-hf/llava-1.5-7b-hf has no sizes at all."""
    silent = {
        "text_config": {
            "model_type": "llama", "max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
            "vocab_size": PLAIN.vocabulary,
        },
    }  # fmt: skip
    found = open_checkpoint(PLAIN.save(tmp_path / "hf", config=silent)).language
    assert (found.width, found.inner, found.layers, found.heads) == (4096, 11008, 32, 32)
    assert (found.context, found.epsilon, found.rope.base) == (4096, 1e-5, 10000.0)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"model_type": "llava_next", "architectures": ["LlavaNextForConditionalGeneration"]},
         UnsupportedModel, "LlavaNextForConditionalGeneration"),
        (text(model_type="phi3"), UnsupportedModel, "language model is a phi3"),
        (text(hidden_act="gelu"), UnsupportedModel, "activation 'gelu'"),
        (text(rope_scaling={"type": "dynamic", "factor": 2.0}), UnsupportedModel, "'dynamic'"),
        (text(rope_parameters={"rope_type": "longrope", "rope_theta": 1e4}),
         UnsupportedModel, "'longrope'"),
        (text(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0,
                               "beta_fast": 16}), UnsupportedModel, "yarn with beta_fast"),
        (text(model_type="qwen2", num_key_value_heads=2,
              rope_parameters={"rope_type": "llama3", "rope_theta": 1e4}),
         UnsupportedModel, "'llama3'"),
        (text(model_type="qwen2", use_sliding_window=True), UnsupportedModel, "sliding window"),
        (text(hidden_size="4096"), InvalidCheckpoint, "hidden_size is '4096'"),
        (text(hidden_size=1 << 40), InvalidCheckpoint, "hidden_size"),
        (text(num_attention_heads=3), InvalidCheckpoint, "num_attention_heads is 3"),
        (text(num_key_value_heads=0), InvalidCheckpoint, "num_key_value_heads"),
        (text(rms_norm_eps=float("nan")), InvalidCheckpoint, "rms_norm_eps"),
        (vision(model_type="clip_vision_model_2"), UnsupportedModel, "vision tower"),
        (vision(hidden_act="silu"), UnsupportedModel, "activation 'silu'"),
        (vision(image_size=8192, patch_size=1), InvalidCheckpoint, "image_size"),
        (vision(num_channels=4), InvalidCheckpoint, "num_channels is 4"),
        ({"vision_feature_layer": [-2, -5]}, UnsupportedModel, "joins several layers"),
        ({"vision_feature_layer": -9}, InvalidCheckpoint, "vision_feature_layer is -9"),
        ({"vision_feature_select_strategy": "full"}, UnsupportedModel, "select_strategy is 'full'"),
        ({"projector_hidden_act": "relu"}, UnsupportedModel, "projector has the activation"),
        ({"quantization_config": {"quant_method": "gptq"}}, UnsupportedModel, "quantized already"),
        ({"text_config": []}, UnsupportedModel, "the checkpoint is a"),
        ({"tie_word_embeddings": "yes"}, InvalidCheckpoint, "tie_word_embeddings"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_named(
    config: Mapping[str, Any], error: type[ModelError], message: str, tmp_path: Path
) -> None:
    """A file that loads and answers a little wrong is worse than none."""
    with pytest.raises(error, match=message):
        open_checkpoint(PLAIN.save(tmp_path / "hf", config=config))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mm_projector_type": "linear"}, "projector is 'linear'"),
        ({"mm_projector_type": None}, "projector is 'linear'"),
        ({"mm_vision_select_feature": "cls_patch"}, "vision features is 'cls_patch'"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "merging of patches"),
        ({"image_aspect_ratio": "anyres"}, "cut into tiles"),
        ({"mm_use_im_start_end": True}, "tokens before and after each image"),
        ({"s2": True}, "several scales"),
        ({"architectures": ["LlavaMptForCausalLM"], "model_type": "llava_mpt"}, "LlavaMpt"),
    ],
)
def test_what_of_the_original_cannot_be_converted_is_named(
    config: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    tower(tmp_path / "clip-vit-base-patch32")
    with pytest.raises(UnsupportedModel, match=message):
        open_checkpoint(original(tmp_path / "llava", **config))


@pytest.mark.parametrize(
    ("said", "rule", "background"),
    [
        ({}, "pad", (122, 116, 104)),
        ({"do_center_crop": True, "do_pad": False}, "crop", (122, 116, 104)),
        ({"do_pad": True, "image_mean": [0.5, 0.5, 0.5]}, "pad", (127, 127, 127)),
        ({"do_resize": True, "size": {"height": 28, "width": 28}}, "stretch", (122, 116, 104)),
    ],
)
@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_pictures_are_rendered_as_the_processor_does(
    said: dict[str, Any], rule: str, background: tuple[int, ...], file: str, tmp_path: Path
) -> None:
    folder = PLAIN.save(tmp_path / "hf")
    if said:
        whole = said if file.startswith("pre") else {"image_processor": said}
        (folder / file).write_text(json.dumps(whole))
    rendering = open_checkpoint(folder).rendering
    assert (rendering.rule, rendering.background) == (rule, background)


def test_the_tower_is_found_beside_the_checkpoint_or_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = original(tmp_path / "llava", image_aspect_ratio="pad")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelNotFound, match=r"vision tower 'openai/clip.*--vision-tower"):
        open_checkpoint(folder)
    beside = tower(tmp_path / "clip-vit-base-patch32")
    found = open_checkpoint(folder)
    assert found.layout == "original-llava"
    assert found.rendering.mean == (0.1, 0.2, 0.3)
    assert (found.rendering.rule, found.rendering.background) == ("pad", (25, 51, 76))
    assert beside / "model.safetensors" in found.files
    commit = "0" * 40
    cached = tmp_path / "hub" / "models--openai--clip-vit-base-patch32"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots").mkdir()
    beside.rename(cached / "snapshots" / commit)
    assert open_checkpoint(folder).tower.kind == "clip"
    (cached / "refs" / "main").write_text("../../../elsewhere")
    with pytest.raises(InvalidCheckpoint, match="no commit"):
        open_checkpoint(folder)


def test_a_tower_that_was_trained_is_not_replaced(tmp_path: Path) -> None:
    """Its configuration may be needed from elsewhere; its weights are the checkpoint's own."""
    folder = original(tmp_path / "llava", mm_vision_tower="laion/CLIP-ViT-B-32")
    given = tower(tmp_path / "clip")
    own = np.full((32,), 7, np.float32)
    raw = {n: t.read() for n, t in open_checkpoint(folder, vision_tower=given).tensors.items()}
    numbers = {
        name.replace("vision.", "model.vision_tower.vision_tower.vision_model.")
        .replace("projector.", "model.mm_projector.")
        .replace("language.lm_head", "lm_head")
        .replace("language.", "model."): values
        for name, values in raw.items()
    }
    numbers["model.vision_tower.vision_tower.vision_model.embeddings.class_embedding"] = own
    save_numbers(folder / "model.safetensors", numbers)
    with pytest.raises(ModelNotFound, match="vision tower"):
        open_checkpoint(folder)
    found = open_checkpoint(folder, vision_tower=given)
    assert np.array_equal(found.tensors["vision.embeddings.class_embedding"].read(), own)


def test_a_path_inside_a_checkpoint_leads_nowhere(tmp_path: Path) -> None:
    """A downloaded file must not choose which other files are read and merged."""
    secret = tower(tmp_path / "private" / "clip")
    for name in (str(secret), "../private/clip", "..", "../private/clip/."):
        folder = original(tmp_path / "models" / "llava", mm_vision_tower=name)
        with pytest.raises(ModelNotFound, match="vision tower"):
            open_checkpoint(folder)


@pytest.mark.parametrize(
    "name",
    ["../other.safetensors", "/etc/passwd.safetensors", "a/b.safetensors", "..", "",
     "a\\b.safetensors", "C:x.safetensors", "a.bin", "x\0.safetensors", 7, None],
)  # fmt: skip
def test_an_index_cannot_point_outside_its_folder(name: Any, tmp_path: Path) -> None:
    folder = PLAIN.save(tmp_path / "hf")
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidCheckpoint, match="names the file"):
        open_checkpoint(folder)


@given(name=st.text(max_size=20))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if plain_name(name):
        assert (Path("/a") / name).parent == Path("/a")
        assert "\\" not in name


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no folder"):
        open_checkpoint(tmp_path / "none")
    folder = PLAIN.save(tmp_path / "hf")
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(InvalidCheckpoint, match="no tokenizer"):
        open_checkpoint(folder)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidCheckpoint, match=r"lacks 2 of 2 shards, such as model-1"):
        open_checkpoint(folder)
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(UnsupportedModel, match="TensorFlow"):
        open_checkpoint(folder)
    (folder / "tf_model.h5").unlink()
    with pytest.raises(InvalidCheckpoint, match="holds no weights"):
        open_checkpoint(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidCheckpoint, match="holds no weights"):
        open_checkpoint(tmp_path / "empty")


def test_the_licence_is_that_of_the_model_card(tmp_path: Path) -> None:
    folder = PLAIN.save(tmp_path / "hf")
    assert open_checkpoint(folder).licence is None
    cards = {
        "---\nlanguage: en\nlicense: apache-2.0\n---\n# Card\nlicense: mit\n": "apache-2.0",
        "---\r\nlicense: 'llama2'\r\n---\r\n": "llama2",
        "---\nlicense: other\nlicense_name: my-licence\n---\n": "my-licence",
        "# Card\nlicense: mit\n": None,
    }
    for card, licence in cards.items():
        (folder / "README.md").write_bytes(card.encode())
        assert open_checkpoint(folder).licence == licence


def adapter(folder: Path, factors: Mapping[str, np.ndarray], **config: Any) -> Path:
    folder.mkdir()
    save_numbers(folder / "adapter_model.safetensors", factors)
    values = {"peft_type": "LORA", "lora_alpha": 2.0, "base_model_name_or_path": "hf", **config}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return folder


Q = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
N = "base_model.model.model.language_model.norm"
FAR = "base_model.model.model.language_model.layers.9.mlp.up_proj"
#: The same as the base model's file calls it.
BASE_Q = r"language_model\.model\.layers\.0\.self_attn\.q_proj\.weight"


@pytest.mark.parametrize(
    ("factors", "config", "message"),
    [
        ({}, {"peft_type": "IA3"}, "type 'IA3'"),
        ({}, {"use_dora": True}, "with use_dora"),
        ({}, {"fan_in_fan_out": True}, "with fan_in_fan_out"),
        ({}, {"alpha_pattern": {"q_proj": 3}}, "with alpha_pattern"),
        ({}, {"init_lora_weights": "pissa"}, "changed its base model"),
        ({f"{Q}.lora_magnitude_vector": (32,)}, {}, "lora_magnitude_vector"),
        (
            {f"{Q}.lora_A.weight": (4, 32)},
            {},
            rf"has {Q}\.lora_A\.weight and lacks {Q}\.lora_B\.weight",
        ),
        (
            {f"{Q}.lora_A.weight": (4, 8), f"{Q}.lora_B.weight": (32, 4)},
            {},
            rf"{Q}\.lora_A\.weight of shape \(4, 8\) .* {BASE_Q} of shape \(32, 32\).*\(rank, 32\)",
        ),
        (
            {f"{Q}.lora_A.weight": (4, 32), f"{Q}.lora_B.weight": (32, 5)},
            {},
            rf"{Q}\.lora_B\.weight of shape \(32, 5\) .* {BASE_Q} of shape \(32, 32\).*--base",
        ),
        (
            {f"{N}.lora_A.weight": (4, 32), f"{N}.lora_B.weight": (32, 4)},
            {},
            r"language_model\.model\.norm\.weight of shape \(32,\)",
        ),
        (
            {"x.lora_A.weight": (4, 32), "x.lora_B.weight": (32, 4)},
            {},
            "no weight x.weight, which the adapter's x.lora_A.weight",
        ),
        (
            {f"{FAR}.lora_A.weight": (4, 32), f"{FAR}.lora_B.weight": (32, 4)},
            {},
            r"no weight language_model\.model\.layers\.9\.mlp\.up_proj\.weight, which",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    factors: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    PLAIN.save(tmp_path / "hf")
    numbers = {name: np.ones(shape, np.float32) for name, shape in factors.items()}
    with pytest.raises(ModelError, match=message):
        open_checkpoint(adapter(tmp_path / "lora", numbers, **config))


def test_an_adapter_of_transformers_is_merged(tmp_path: Path) -> None:
    base = open_checkpoint(PLAIN.save(tmp_path / "hf"))
    random = np.random.default_rng(2)
    a, b = random.random((4, 32), np.float32), random.random((32, 4), np.float32)
    saved = random.random((300, 32), np.float32)
    numbers = {
        f"{Q}.lora_A.default.weight": a,
        f"{Q}.lora_B.default.weight": b,
        "base_model.model.lm_head.modules_to_save.default.weight": saved,
    }
    found = open_checkpoint(adapter(tmp_path / "lora", numbers))
    assert found.tokenizer_folder == tmp_path / "hf"
    name = "language.layers.0.self_attn.q_proj.weight"
    wanted = base.tensors[name].read() + 0.5 * (b @ a)
    assert np.allclose(found.tensors[name].read(), wanted, atol=1e-6)
    assert np.allclose(found.tensors[name].read(16, 32), wanted[16:], atol=1e-6)
    assert np.array_equal(found.tensors["language.lm_head.weight"].read(), saved)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model.language_model.layers.1.mlp.up_proj.bias", "language.layers.1.mlp.up_proj.bias"),
        ("language_model.model.norm.weight", "language.norm.weight"),
        ("language_model.lm_head.weight", "language.lm_head.weight"),
        ("lm_head.weight", "language.lm_head.weight"),
        ("model.embed_tokens.weight", "language.embed_tokens.weight"),
        ("model.vision_tower.vision_tower.vision_model.encoder.x", "vision.encoder.x"),
        ("vision_tower.vision_model.pre_layrnorm.bias", "vision.pre_layrnorm.bias"),
        ("embeddings.class_embedding", "vision.embeddings.class_embedding"),
        ("vision_model.embeddings.position_ids", None),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", None),
        ("text_model.final_layer_norm.bias", None),
        ("model.image_newline", "other.image_newline"),
    ],
)  # fmt: skip
def test_weights_have_one_name_in_all_layouts(name: str, wanted: str | None) -> None:
    assert canonical(name) == wanted


@settings(max_examples=60)
@given(data=st.data())
def test_any_configuration_is_borne(data: st.DataObject, tmp_path_factory: Any) -> None:
    """Whatever a configuration says, the answer is a checkpoint or an error of ours."""
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=5,
    )
    config = PLAIN.config()
    where = data.draw(st.sampled_from([config, config["text_config"], config["vision_config"]]))
    more = ["rope_scaling", "rope_parameters", "head_dim", "hidden_act", "layer_norm_eps"]
    key = data.draw(st.sampled_from([*where, *more]))
    where[key] = data.draw(json_values)
    folder = PLAIN.save(tmp_path_factory.mktemp("any") / "hf", config=config)
    try:
        found = open_checkpoint(folder)
    except ModelError:
        return
    assert found.tower.tokens <= 16384
