"""Which pairs pass: all that llama.cpp runs, real models' oddities included; none that kill it."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import pytest

from astrollava.errors import InvalidModelFile, ProjectorMismatch
from astrollava.models.gguf import (
    check_pair,
    fully_checked,
    output_width,
    projector_type,
    read_header,
)
from gguf_files import MMPROJS, TEXTS, Model, Tensor
from tiny_pair import TinyPair, write_pair

WIDTH = 32


def check(tmp_path: Path, text: Model, mmproj: Model) -> None:
    paths = tmp_path / "text.gguf", tmp_path / "mmproj.gguf"
    for path, model in zip(paths, (text, mmproj), strict=True):
        path.write_bytes(model.write())
    headers = [read_header(p) for p in paths]
    check_pair(*headers)
    assert fully_checked(*headers)


def text_like(kind: str = "llama", /, drop: tuple[str, ...] = (), **keys: tuple[str, Any]) -> Model:
    model = TEXTS[kind]()
    arch = model.keys["general.architecture"][1]
    for key, value in keys.items():
        model.keys[_full(key.replace("__", "."), arch)] = value
    for key in drop:
        model.keys.pop(_full(key, arch), None)
        model.tensors.pop(key, None)
    return model


def _full(key: str, arch: str) -> str:
    return f"{arch}.{key.removeprefix('arch.')}" if key.startswith("arch.") else key


def mmproj_like(kind: str = "mlp", /, drop: tuple[str, ...] = (), **keys: tuple[str, Any]) -> Model:
    model = MMPROJS[kind]()
    for key, value in keys.items():
        model.keys["clip.vision." + key.replace("__", ".")] = value
    for key in drop:
        model.keys.pop(key, None)
        model.tensors.pop(key, None)
    return model


@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_of_language_model_passes(tmp_path: Path, kind: str) -> None:
    check(tmp_path, TEXTS[kind](), MMPROJS["mlp"]())


@pytest.mark.parametrize("kind", MMPROJS)
def test_every_kind_of_projector_passes(tmp_path: Path, kind: str) -> None:
    check(tmp_path, TEXTS["llama"](), MMPROJS[kind]())
    assert output_width(read_header(tmp_path / "mmproj.gguf")) == WIDTH


def test_pairs_of_the_gguf_package_pass(tmp_path: Path) -> None:
    for i, pair in enumerate((TinyPair(), TinyPair(says=(70, 71), merges=10))):
        check_pair(*(read_header(p) for p in write_pair(tmp_path / str(i), pair)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (text_like(arch__attention__head_count_kv=("[i32]", [4, 4])), "Gemma 3n, LFM2: per layer"),
        (text_like(arch__feed_forward_length=("[u32]", [64, 64])), "OpenELM: per layer"),
        (text_like(drop=("tokenizer.ggml.pre",)), "old conversions"),
        (text_like(drop=("general.name", "general.file_type")), "hand-made files"),
        (text_like(drop=("arch.attention.head_count_kv", "arch.rope.freq_base")), "LLaVA-1.5"),
        (text_like(drop=("output.weight",)), "tied embeddings"),
        (text_like(drop=("tokenizer.ggml.token_type",)), "token types are optional"),
        (text_like(general__tags=("[str]", ["a"] * 200)), "more tags than kept in memory"),
        (text_like(tokenizer__ggml__padding_token_id=("u32", 2**32 - 1)), "-1 as padding"),
        (text_like(arch__rope__scaling__type=("str", "yarn")), "extended context"),
        (text_like(general__license=("str", "apache-2.0")), "a licence"),
        (text_like("gemma3", gemma3__attention__sliding_window=("u32", 1024)), "Gemma 3"),
        (text_like("qwen3", arch__unheard_of__key=("[f64]", [1.0])), "a key of tomorrow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_oddities_of_real_language_models_pass(tmp_path: Path, text: Model, why: str) -> None:
    check(tmp_path, text, MMPROJS["mlp"]())


@pytest.mark.parametrize(
    ("mmproj", "why"),
    [
        (mmproj_like(image_size=("u32", 39)), "SigLIP: 384 is no multiple of 14"),
        (mmproj_like("mlp-cls", drop=("v.pre_ln.weight", "v.pre_ln.bias")), "no layer norm first"),
        (mmproj_like("mlp-cls", feature_layer=("[i32]", [1])), "one layer less"),
        (mmproj_like(image_grid_pinpoints=("[i32]", [32, 64, 64, 32])), "LLaVA-1.6"),
        (mmproj_like("internvl", preproc_max_tiles=("u32", 6)), "InternVL"),
        (mmproj_like(feed_forward_length=("u32", 0)), "Qwen's old converter"),
        (mmproj_like(drop=("v.patch_embd.bias", "general.name")), "CLIP: no bias of patches"),
        (mmproj_like(image_min_pixels=("u32", 3136)), "bounds it does not use"),
        (mmproj_like("gemma3", drop=("v.blk.0.ln1.bias",)), "norms without bias"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_oddities_of_real_projectors_pass(tmp_path: Path, mmproj: Model, why: str) -> None:
    check(tmp_path, TEXTS["llama"](), mmproj)


def test_stacked_layers_widen_the_projector(tmp_path: Path) -> None:
    mmproj = mmproj_like(feature_layer=("[i32]", [1, 2]))
    with pytest.raises(InvalidModelFile, match=r"mm\.0\.weight"):
        check(tmp_path, TEXTS["llama"](), mmproj)
    mmproj.tensors["mm.0.weight"] = Tensor((64, 40))
    check(tmp_path, TEXTS["llama"](), mmproj)


def test_old_names_of_the_feed_forward_pass(tmp_path: Path) -> None:
    mmproj = MMPROJS["mlp-cls"]()
    for i in range(2):
        for part in ("weight", "bias"):
            up, down = f"v.blk.{i}.ffn_up.{part}", f"v.blk.{i}.ffn_down.{part}"
            mmproj.tensors[up], mmproj.tensors[down] = mmproj.tensors[down], mmproj.tensors[up]
    check(tmp_path, TEXTS["llama"](), mmproj)


def tokens_of(model: Model) -> list[str]:
    return list(model.keys["tokenizer.ggml.tokens"][1])


def with_token(kind: str, index: int, token: Any) -> Model:
    model = TEXTS[kind]()
    tokens = tokens_of(model)
    tokens[index] = token
    model.keys["tokenizer.ggml.tokens"] = ("[str]", tokens)
    return model


def with_tensor(model: Model, name: str, tensor: Tensor) -> Model:
    model.tensors[name] = tensor
    return model


NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (text_like(drop=("general.architecture",)), "does not say its architecture"),
        (text_like(arch__block_count=("u32", 0)), "block_count is 0"),
        (text_like(arch__block_count=("u32", 513)), "block_count is 513"),
        (text_like(arch__block_count=("u64", 2)), "block_count has the type u64"),
        (text_like(drop=("arch.embedding_length",)), "lacks the metadata key"),
        (text_like(arch__context_length=("u32", 0)), "context_length is 0"),
        (text_like(arch__attention__head_count=("u32", 0)), "at least one head"),
        (text_like(arch__attention__head_count=("u32", 5)), "5 heads and 4 key-value heads"),
        (text_like(arch__attention__head_count_kv=("u32", 3)), "key-value heads that divide"),
        (text_like(arch__attention__head_count_kv=("u32", 0)), "key-value heads that divide"),
        (text_like(arch__attention__head_count_kv=("[i32]", [4])), "has 1 elements"),
        (text_like(arch__attention__head_count_kv=("[i32]", [2, 4])), "layer to layer"),
        (text_like(arch__attention__key_length=("u32", 16)), "same number thrice"),
        (text_like(arch__rope__dimension_count=("u32", 7)), "even and at most"),
        (text_like("gemma3", arch__rope__dimension_count_swa=("u32", 100)), "in a sliding window"),
        (text_like("gemma3", arch__attention__key_length_swa=("u32", 16)), "in a sliding window"),
        (text_like("gemma3", arch__rope__freq_base_swa=("f32", 0.0)), "freq_base_swa is 0"),
        (text_like(arch__rope__scaling__type=("str", "zigzag")), "linear, yarn"),
        (text_like(arch__rope__scaling__type=("str", "")), "linear, yarn"),
        (text_like(arch__rope__freq_base=("f32", NAN)), "freq_base is nan"),
        (text_like(arch__attention__layer_norm_rms_epsilon=("f32", -1.0)), "epsilon is -1"),
        (text_like(arch__attention__causal=("bool", 0)), "writes text"),
        (text_like(arch__pooling_type=("u32", 1)), "not embeddings"),
        (text_like(arch__expert_count=("u32", 8)), "0 of 8 experts"),
        (text_like(arch__expert_used_count=("u32", 2)), "2 of 0 experts"),
        (text_like(arch__nextn_predict_layers=("u32", 2)), "nextn_predict_layers is 2"),
        (
            text_like("gemma3", gemma3__attention__sliding_window_pattern=("u32", 1)),
            "sliding window",
        ),
        (
            text_like("gemma3", gemma3__attention__sliding_window=("u32", 2**31 - 1)),
            "sliding_window is 2147483647",
        ),
        (
            text_like("qwen2vl", arch__rope__dimension_sections=("[i32]", [0, 0, 0, 0])),
            "not all of the first three zero",
        ),
        (
            text_like("qwen2vl", arch__rope__dimension_sections=("[i32]", [0, 0, 0, 2])),
            "not all of the first three zero",
        ),
        (
            text_like("qwen2vl", arch__rope__dimension_sections=("[i32]", [1, 1, 2, 5])),
            "add up to 8 at most",
        ),
        (text_like(tokenizer__ggml__model=("str", "bert")), "tokenizer 'bert'"),
        (text_like(tokenizer__ggml__model=("str", "llama")), "no token for some bytes"),
        (text_like(drop=("tokenizer.ggml.tokens",)), "lacks the metadata key"),
        (text_like(drop=("tokenizer.ggml.merges",)), "lacks the metadata key"),
        (text_like(tokenizer__ggml__scores=("[f32]", [0.0])), "scores has 1 elements"),
        (text_like(tokenizer__ggml__token_type=("[i32]", [1, 1])), "token_type has 2 elements"),
        (text_like(tokenizer__ggml__bos_token_id=("u32", 10**6)), "bos_token_id is 1000000"),
        (text_like(tokenizer__ggml__eos_token_id=("u32", 326)), "eos_token_id is 326"),
        (with_token("llama", 9, "a"), "token 99 is the same"),
        (with_token("llama", 9, "a\0b"), "token 99 is the same"),
        (with_token("llama-spm", 9, "zz"), "token 9 stands for a byte"),
        (with_tensor(TEXTS["llama"](), "token_embd.weight", Tensor((32, 9))), "token_embd.weight"),
        (with_tensor(TEXTS["llama"](), "output.weight", Tensor((32, 9))), r"output\.weight"),
        (with_tensor(TEXTS["llama"](), "output_norm.weight", Tensor((32,), 1)), "stored as F16"),
        (with_tensor(TEXTS["llama"](), "blk.0.attn_q.weight", Tensor((32, 32), 9)), "Q8_1"),
        (with_tensor(TEXTS["llama"](), "blk.0.attn_q.weight", Tensor((32, 32), 26)), "I32"),
        (text_like(drop=("token_embd.weight",)), "lacks the tensor"),
        (Model(TEXTS["llama"]().keys, {}), "vocabulary without weights"),
    ],
)
def test_a_language_model_that_kills_is_refused(tmp_path: Path, text: Model, says: str) -> None:
    with pytest.raises(InvalidModelFile, match=says):
        check(tmp_path, text, MMPROJS["mlp"]())


@pytest.mark.parametrize(
    ("mmproj", "says"),
    [
        (mmproj_like(drop=("clip.has_vision_encoder",)), "no vision encoder"),
        (mmproj_like(drop=("clip.projector_type",)), "projector type"),
        (mmproj_like(attention__head_count=("u32", 0)), "head_count is 0"),
        (mmproj_like(attention__head_count=("u32", 3)), "a divisor of the embedding length"),
        (mmproj_like(attention__head_count=("i32", 2)), "has the type i32"),
        (mmproj_like(attention__head_count_kv=("u32", 1)), "head_count_kv is 1"),
        (mmproj_like(attention__head_dim=("u32", 8)), "head_dim differs"),
        (mmproj_like(attention__layer_norm_epsilon=("f32", NAN)), "epsilon is nan"),
        (mmproj_like(drop=("clip.vision.attention.layer_norm_epsilon",)), "layer_norm_epsilon"),
        (mmproj_like(patch_size=("u32", 0)), "patch_size is 0"),
        (mmproj_like(patch_size=("u32", 4)), "patch_embd.weight|position_embd.weight"),
        (mmproj_like(patch_size=("u32", 64)), "patch_size is 64"),
        (mmproj_like(image_size=("u32", 8192)), "patches"),
        (mmproj_like(image_size=("u32", 64)), "a row for each patch"),
        (mmproj_like(image_size=("f32", 32.0)), "has the type f32"),
        (mmproj_like(block_count=("u32", 3)), r"v\.blk\.2"),
        (mmproj_like(block_count=("u32", 1000)), "block_count is 1000"),
        (mmproj_like(drop=("clip.vision.projection_dim",)), "lacks the metadata key"),
        (mmproj_like(image_mean=("[f32]", [0.5, 0.5])), "three finite numbers"),
        (mmproj_like(image_std=("[f32]", [0.5, 0.0, 0.5])), "no zero"),
        (mmproj_like(image_std=("[f32]", [0.5, NAN, 0.5])), "three finite numbers"),
        (mmproj_like(feature_layer=("[i32]", [9])), "layers up to 2"),
        (mmproj_like(feature_layer=("[u32]", [2])), "has the type"),
        (mmproj_like(image_grid_pinpoints=("[i32]", [0, 0])), "multiples of 32"),
        (mmproj_like(image_grid_pinpoints=("[i32]", [32, 32 * 17])), "at most 16 times"),
        (mmproj_like("idefics3", preproc_image_size=("u32", 8192)), "preproc_image_size is 8192"),
        (mmproj_like(drop=("mm.2.weight",)), r"lacks the tensor 'mm\.2\.weight'"),
        (mmproj_like(drop=("mm.0.bias",)), r"lacks the tensor 'mm\.0\.bias'"),
        (mmproj_like(drop=("v.position_embd.weight",)), "position_embd"),
        (mmproj_like(drop=("v.blk.1.attn_v.weight",)), "attn_v"),
        (mmproj_like("idefics3", projector__scale_factor=("u32", 1)), "scale_factor is 1"),
        (mmproj_like("idefics3", projector__scale_factor=("u32", 3)), "a divisor of the 4 patches"),
        (mmproj_like("idefics3", drop=("clip.vision.preproc_image_size",)), "preproc_image_size"),
        (mmproj_like("internvl", preproc_min_tiles=("u32", 13)), "at least 13 x 13 and at most 12"),
        (mmproj_like("internvl", preproc_min_tiles=("u32", 5)), "at least 5 x 5 and at most 12"),
        (mmproj_like("internvl", preproc_max_tiles=("u32", 2**31 - 1)), "preproc_max_tiles"),
        (mmproj_like("qwen2.5vl", n_wa_pattern=("u32", 1)), "n_wa_pattern is 1"),
        (mmproj_like("internvl", drop=("v.class_embd",)), "class_embd"),
        (mmproj_like("gemma3", projector__scale_factor=("u32", 3)), "a divisor of the 4 patches"),
        (mmproj_like("qwen2vl", n_wa_pattern=("u32", 2)), "n_wa_pattern is 2"),
        (mmproj_like("qwen2vl", spatial_merge_size=("u32", 4)), "spatial_merge_size is 4"),
        (mmproj_like("qwen2vl", drop=("v.blk.0.attn_q.bias",)), "attn_q.bias"),
        (mmproj_like("qwen2.5vl", drop=("clip.vision.n_wa_pattern",)), "n_wa_pattern"),
        (mmproj_like("qwen2.5vl", projection_dim=("u32", 31)), "projection_dim is 31"),
        (
            with_tensor(MMPROJS["gemma3"](), "mm.input_projection.weight", Tensor((32, 32), 8)),
            "stored as Q8_0",
        ),
        (with_tensor(MMPROJS["mlp"](), "v.blk.0.ln1.weight", Tensor((32,), 1)), "stored as F16"),
        (with_tensor(MMPROJS["mlp"](), "mm.0.bias", Tensor((39,))), r"mm\.0\.bias"),
        (with_tensor(MMPROJS["qwen2vl"](), "v.class_embd", Tensor((32,))), "class_embd"),
        (
            with_tensor(MMPROJS["internvl"](), "v.blk.0.attn_q_norm.weight", Tensor((5,))),
            "attn_q_norm",
        ),
    ],
)
def test_a_projector_that_kills_is_refused(tmp_path: Path, mmproj: Model, says: str) -> None:
    with pytest.raises(InvalidModelFile, match=says):
        check(tmp_path, TEXTS["llama"](), mmproj)


def test_a_projector_for_another_model_is_a_mismatch(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, TinyPair(projects_to=96))
    with pytest.raises(ProjectorMismatch, match=r"length 96, text\.gguf takes 64") as caught:
        check_pair(*(read_header(p) for p in paths))
    assert "mmproj file that came with the model" in str(caught.value)


def test_swapped_files_are_told_so(tmp_path: Path) -> None:
    text, mmproj = (read_header(p) for p in write_pair(tmp_path))
    for pair in ((mmproj, text), (mmproj, mmproj), (text, text)):
        with pytest.raises(InvalidModelFile, match=r"swapped"):
            check_pair(*pair)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"general.architecture": ("str", "whisper")}, "speech recogniser"),
        ({"general.architecture": ("str", "bert")}, "text-embedding model"),
        ({"general.architecture": ("str", "flux")}, "image generator"),
        ({"general.type": ("str", "adapter")}, "LoRA adapter for llama"),
        ({"adapter.type": ("str", "lora")}, "LoRA adapter for llama"),
        ({"split.count": ("u16", 3)}, "one of 3 parts"),
        ({"general.type": ("str", "imatrix")}, "importance matrix"),
        ({"general.architecture": ("str", "../../etc")}, "architecture"),
    ],
)
def test_foreign_files_are_called_by_their_names(
    tmp_path: Path, keys: dict[str, tuple[str, Any]], says: str
) -> None:
    text = TEXTS["llama"]()
    text.keys |= keys
    with pytest.raises(InvalidModelFile, match=says):
        check(tmp_path, text, MMPROJS["mlp"]())
    if "adapter.type" in keys or "whisper" in str(keys):
        with pytest.raises(InvalidModelFile, match=r"LoRA adapter|speech recogniser"):
            check(tmp_path, TEXTS["llama"](), text)


def test_an_audio_projector_is_refused(tmp_path: Path) -> None:
    mmproj = mmproj_like(drop=("clip.has_vision_encoder",))
    mmproj.keys["clip.has_audio_encoder"] = ("bool", 1)
    with pytest.raises(InvalidModelFile, match="no vision encoder"):
        check(tmp_path, TEXTS["llama"](), mmproj)


def test_kinds_known_in_general_terms_pass_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mmproj = MMPROJS["mlp"]()
    mmproj.keys["clip.projector_type"] = ("str", "pixtral")
    (tmp_path / "m.gguf").write_bytes(mmproj.write())
    text = TEXTS["llama"]()
    text.keys = {k.replace("llama.", "smollm3."): v for k, v in text.keys.items()}
    text.keys["general.architecture"] = ("str", "smollm3")
    (tmp_path / "t.gguf").write_bytes(text.write())
    headers = read_header(tmp_path / "t.gguf"), read_header(tmp_path / "m.gguf")
    with caplog.at_level(logging.WARNING, logger="astrollava"):
        check_pair(*headers)
    assert not fully_checked(*headers)
    assert "general terms" in caplog.text
    assert projector_type(headers[1]) == "pixtral"
    assert output_width(headers[1]) is None


def test_big_endian_numbers_of_a_value_are_out_of_range(tmp_path: Path) -> None:
    """A file converted on a big-endian machine and only patched in its head must not pass."""
    text = text_like(arch__block_count=("u32", struct.unpack(">I", struct.pack("<I", 2))[0]))
    with pytest.raises(InvalidModelFile, match="block_count"):
        check(tmp_path, text, MMPROJS["mlp"]())
