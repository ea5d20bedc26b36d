"""Bad model files, made out of good ones by changes drawn from a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gguf_files import MMPROJS, TEXTS, Model, Tensor, block

__all__ = [
    "INTEGERS",
    "KINDS",
    "MMPROJ_KEYS",
    "NEW_TENSORS",
    "REALS",
    "TEXT_KEYS",
    "Mutant",
    "make_mutant",
]

#: Language model and projector that go together.
_PAIRS = [
    *(("llama", m) for m in MMPROJS),
    *((t, "mlp") for t in TEXTS),
    ("gemma3", "gemma3"), ("qwen2", "internvl"), ("llama-spm", "mlp-cls"),
    ("qwen2vl", "qwen2vl"), ("qwen2vl", "qwen2.5vl"),
]  # fmt: skip

INTEGERS = [0, 1, 2, 3, 4, 5, 7, 15, 16, 31, 33, 64, 100, 255, 256, 512, 513, 1000, 4096, 65535,
             65536, 1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 2,
             (1 << 32) - 1]  # fmt: skip
REALS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-6, 0.5, 1e38, -1e38, float("nan"), float("inf")]
KINDS = [0, 1, 2, 3, 6, 8, 9, 10, 14, 15, 19, 20, 24, 26, 27, 28, 30, 34, 39, 41, 42]

TEXT_KEYS: list[tuple[str, str, list[Any]]] = [
    ("{a}.attention.key_length", "u32", INTEGERS),
    ("{a}.attention.value_length", "u32", INTEGERS),
    ("{a}.attention.causal", "bool", [0, 1]),
    ("{a}.attention.sliding_window", "u32", INTEGERS),
    ("{a}.attention.sliding_window_pattern", "u32", INTEGERS),
    ("{a}.attention.sliding_window_pattern", "[bool]", [[0], [0, 0], [1, 0], [1], []]),
    ("{a}.attention.head_count", "[u32]", [[4, 4], [4, 0], [0, 4], [4], [2, 4], [4, 2]]),
    ("{a}.attention.head_count_kv", "[i32]", [[4, 4], [4, 0], [0, 4], [2, 2], [2, 4], [-1, 2]]),
    ("{a}.attention.scale", "f32", REALS),
    ("{a}.attention.layer_norm_epsilon", "f32", REALS),
    ("{a}.feed_forward_length", "[u32]", [[64, 64], [64, 32], [0, 64], [64]]),
    ("{a}.expert_count", "u32", INTEGERS),
    ("{a}.expert_used_count", "u32", INTEGERS),
    ("{a}.expert_group_count", "u32", INTEGERS),
    ("{a}.pooling_type", "u32", [0, 1, 2, 3, 4, 5, 99]),
    ("{a}.nextn_predict_layers", "u32", [0, 1, 2, 3]),
    ("{a}.rope.scaling.type", "str", ["linear", "yarn", "none", "longrope", "zigzag", ""]),
    ("{a}.rope.scaling.factor", "f32", REALS),
    ("{a}.rope.scaling.original_context_length", "u32", INTEGERS),
    ("{a}.rope.scaling.attn_factor", "f32", REALS),
    ("{a}.rope.freq_base_swa", "f32", REALS),
    ("{a}.rope.dimension_count_swa", "u32", INTEGERS),
    ("{a}.rope.dimension_sections", "[i32]", [[0, 0, 0, 0], [1, 1, 1], [-1, 1, 1, 1], [99] * 4,
                                              [0, 0, 0, 2], [2, 2, 2, 2], [2, 2, 2, 3]]),
    ("{a}.final_logit_softcapping", "f32", REALS),
    ("{a}.attn_logit_softcapping", "f32", REALS),
    ("{a}.embedding_length_out", "u32", INTEGERS),
    ("{a}.vocab_size", "u32", INTEGERS),
    ("{a}.n_deepstack_layers", "u32", INTEGERS),
    ("{a}.attention.key_length_swa", "u32", INTEGERS),
    ("{a}.leading_dense_block_count", "u32", INTEGERS),
    ("{a}.router_logit_softcapping", "f32", REALS),
    ("{a}.dense_2_feat_out", "u32", INTEGERS),
    ("{a}.classifier.output_labels", "[str]", [["a", "b"], []]),
    ("{a}.use_parallel_residual", "bool", [0, 1]),
    ("tokenizer.ggml.pre", "str", ["llama-bpe", "qwen2", "default", "nonsense", "kimi-k2"]),
    ("tokenizer.ggml.model", "str", ["gpt2", "llama", "bert", "t5", "rwkv", "none", "gemma4",
                                     "test", "plamo2", "hybriddna", "whitespace"]),
    ("tokenizer.ggml.add_eos_token", "bool", [1]),
    ("tokenizer.ggml.add_sep_token", "bool", [1]),
    ("tokenizer.ggml.unknown_token_id", "u32", INTEGERS),
    ("tokenizer.ggml.eot_token_id", "u32", INTEGERS),
    ("tokenizer.ggml.suppress_tokens", "[i32]", [[-1], [0], [1 << 30], []]),
    ("split.count", "u16", [0, 1, 2]),
    ("split.tensors.count", "i32", [0, 1, -1]),
    ("general.alignment", "u32", [0, 1, 8, 16, 32, 64, 96, 4096, 1 << 30]),
    ("adapter.type", "str", ["lora"]),
]  # fmt: skip
MMPROJ_KEYS: list[tuple[str, str, list[Any]]] = [
    ("clip.has_audio_encoder", "bool", [0, 1]),
    ("clip.has_gen_audio_encoder", "bool", [0, 1]),
    ("clip.audio.projector_type", "str", ["ultravox", "qwen2a", "mlp"]),
    ("clip.audio.embedding_length", "u64", [32]),
    ("clip.use_silu", "bool", [0, 1]),
    ("clip.minicpmv_version", "i32", [0, 2, 3]),
    ("clip.minicpmv_query_num", "u32", INTEGERS),
    ("clip.vision.attention.head_dim", "u32", INTEGERS),
    ("clip.vision.attention.head_count_kv", "u32", INTEGERS),
    ("clip.vision.feature_layer", "[i32]", [[], [0], [1], [2], [0, 1], [0, 1, 2], [3], [-5, 1]]),
    ("clip.vision.image_grid_pinpoints", "[i32]", [[], [32, 64], [64], [0, 0], [-1, 5], [999, 1]]),
    ("clip.vision.image_min_pixels", "u32", INTEGERS),
    ("clip.vision.image_max_pixels", "u32", INTEGERS),
    ("clip.vision.preproc_min_tiles", "u32", INTEGERS),
    ("clip.vision.preproc_max_tiles", "u32", INTEGERS),
    ("clip.vision.preproc_image_size", "u32", INTEGERS),
    ("clip.vision.projector.scale_factor", "u32", INTEGERS),
    ("clip.vision.spatial_merge_size", "u32", INTEGERS),
    ("clip.vision.n_wa_pattern", "u32", INTEGERS),
    ("clip.vision.window_size", "u32", INTEGERS),
    ("clip.vision.wa_layer_indexes", "[i32]", [[0], [-1], []]),
    ("clip.vision.mm_patch_merge_type", "str", ["flat", "spatial_unpad"]),
    ("clip.vision.swiglu_clamp", "f32", REALS),
    ("clip.vision.projector_type", "str", ["mlp", "gemma3"]),
    ("clip.projector_type", "str", ["mlp", "idefics3", "internvl", "gemma3", "qwen2vl_merger",
                                    "qwen2.5vl_merger", "nonsense", "ultravox", ""]),
    ("general.alignment", "u32", [0, 1, 8, 16, 32, 64, 96, 4096, 1 << 30]),
    ("general.description", "u32", [1]),
]  # fmt: skip
NEW_TENSORS: list[tuple[str, tuple[int, ...]]] = [
    ("v.class_embd", (32,)), ("v.class_embd", (33,)), ("v.class_embd", (32, 2)),
    ("v.pre_ln.weight", (32,)), ("v.post_ln.weight", (16,)), ("v.post_ln.bias", (32,)),
    ("v.image_newline", (32,)), ("v.norm_embd.weight", (7,)),
    ("v.blk.0.attn_qkv.weight", (32, 96)), ("v.blk.0.attn_qkv.bias", (96,)),
    ("v.blk.0.attn_q_norm.weight", (16,)), ("v.blk.0.attn_k_norm.weight", (32,)),
    ("v.blk.0.attn_q_norm.weight", (5,)), ("v.blk.0.ls1.weight", (32,)),
    ("v.blk.0.ls2.weight", (3,)),
    ("v.blk.0.out_scale.weight", (1,)), ("v.blk.0.attn_sinks", (2,)),
    ("v.blk.0.ffn_gate.weight", (32, 48)), ("v.blk.0.ffn_gate.weight", (32, 8)),
    ("v.blk.0.ffn_gate_exps.weight", (32, 48, 2)), ("v.blk.0.ffn_post_norm.weight", (32,)),
    ("mm.1.weight", (40,)), ("mm.3.weight", (40, 32)), ("mm.3.bias", (32,)),
    ("v.deepstack.0.fc1.weight", (32, 32)), ("v.patch_embd.weight.1", (8, 8, 3, 32)),
    ("rope_freqs.weight", (4,)), ("rope_freqs.weight", (3,)), ("output.bias", (5,)),
    ("blk.0.attn_q.bias", (32,)), ("blk.0.attn_q.bias", (31,)), ("blk.0.attn_qkv.weight", (32, 96)),
    ("blk.0.ffn_gate.scale", (1,)), ("blk.0.attn_q.scale", (1,)), ("output.scale", (3,)),
    ("blk.0.ffn_down.bias", (32,)), ("blk.2.attn_norm.weight", (32,)), ("dense_2.weight", (32, 0)),
    ("cls.weight", (32, 2)), ("token_embd_norm.weight", (32,)), ("blk.0.attn_q_norm.weight", (8,)),
    ("blk.0.ffn_gate_inp.weight", (32, 2)), ("blk.0.attn_output.bias", (32,)),
]  # fmt: skip


@dataclass
class Mutant:
    """A bad pair: what was done to which file, and the bytes of both."""

    story: str
    text: bytes
    mmproj: bytes


def make_mutant(seed: int) -> Mutant:
    """Change one file of a pair in one to three ways drawn from the seed."""
    draw = random.Random(seed)
    names = draw.choice(_PAIRS)
    models = [TEXTS[names[0]](), MMPROJS[names[1]]()]
    which = draw.randrange(2)
    story = [f"{names[0]}+{names[1]}, {('text', 'mmproj')[which]}"]
    if draw.random() < 0.75:
        changes = draw.choices(_CHANGES, k=draw.choice([1, 1, 1, 2, 3]))
        story += [change(models[which], draw, which) for change in changes]
        raw = [m.write(seed) for m in models]
    else:
        raw = [m.write(seed) for m in models]
        raw[which], what = _garble(raw[which], draw)
        story.append(what)
    return Mutant(f"{seed}: {'; '.join(story)}", raw[0], raw[1])


def _change_value(model: Model, draw: random.Random, _: int) -> str:
    key = draw.choice([k for k, (t, _) in model.keys.items() if t in {"u32", "f32", "bool"}])
    kind, value = model.keys[key]
    if kind == "f32":
        new: Any = draw.choice(REALS)
    elif kind == "bool":
        new = 1 - value
    else:
        near = [value + 1, max(value - 1, 0), value * 2, value // 2, value + 32]
        new = draw.choice(INTEGERS + 3 * near)
    model.keys[key] = kind, new
    return f"{key} {value} -> {new}"


def _change_type(model: Model, draw: random.Random, _: int) -> str:
    key = draw.choice(list(model.keys))
    kind = draw.choice(
        ["u8", "u16", "u32", "i32", "f32", "f64", "bool", "str", "[u32]", "[i32]", "[f32]"]
    )
    values: dict[str, Any] = {"str": "mlp", "bool": 1}
    value = values.get(kind, [1, 2, 3] if kind.startswith("[") else 1)
    model.keys[key] = kind, value
    return f"{key} as {kind}"


def _drop_key(model: Model, draw: random.Random, _: int) -> str:
    key = draw.choice(list(model.keys))
    del model.keys[key]
    return f"without {key}"


def _add_key(model: Model, draw: random.Random, which: int) -> str:
    key, kind, values = draw.choice((TEXT_KEYS, MMPROJ_KEYS)[which])
    arch = model.keys.get("general.architecture", ("", "llama"))[1]
    key, value = key.format(a=arch), draw.choice(values)
    model.keys[key] = kind, value
    return f"{key} = {value}"


def _change_array(model: Model, draw: random.Random, _: int) -> str:
    arrays = [k for k, (t, v) in model.keys.items() if t.startswith("[") and v]
    if not arrays:
        return "no array"
    key = draw.choice(arrays)
    kind, values = model.keys[key]
    values = list(values)
    at = draw.randrange(len(values))
    what = draw.choice(["cut", "longer", "element", "twice", "empty"])
    if what == "cut":
        del values[at:]
    elif what == "longer":
        values += values[: at + 1]
    elif what == "twice":
        values[at] = values[draw.randrange(len(values))]
    elif what == "empty":
        values = []
    elif kind == "[str]":
        values[at] = draw.choice(
            ["", "a", "<0x0A>", "\0x", "▁", "x" * 5000, b"\xff\xfe", "<0x0", "a b"]
        )
    elif kind == "[f32]":
        values[at] = draw.choice(REALS)
    else:
        values[at] = draw.choice([0, 1, 2, 5, 6, 7, -1, (1 << 31) - 1])
    model.keys[key] = kind, values
    return f"{key} {what} at {at}"


def _drop_tensor(model: Model, draw: random.Random, _: int) -> str:
    name = draw.choice(list(model.tensors))
    del model.tensors[name]
    return f"without {name}"


def _add_tensor(model: Model, draw: random.Random, _: int) -> str:
    name, shape = draw.choice(NEW_TENSORS)
    model.tensors[name] = Tensor(shape, draw.choice([0, 0, 0, 1, 8, 26]))
    return f"with {name} {shape} as {model.tensors[name].kind}"


def _change_kind(model: Model, draw: random.Random, _: int) -> str:
    name = draw.choice(list(model.tensors))
    old = model.tensors[name]
    kinds = [k for k in KINDS if not old.shape or old.shape[0] % block(k)[0] == 0]
    kind = draw.choice(kinds or [0])
    model.tensors[name] = Tensor(old.shape, kind)
    return f"{name} as {kind}"


def _change_shape(model: Model, draw: random.Random, _: int) -> str:
    name = draw.choice(list(model.tensors))
    old = model.tensors[name]
    shape = list(old.shape) or [1]
    axis = draw.randrange(len(shape))
    what = draw.choice(
        ["add", "less", "double", "half", "swap", "join", "one", "axis", "huge", "zero"]
    )
    if what in {"add", "less"}:
        shape[axis] = max(shape[axis] + (1 if what == "add" else -1), 1)
    elif what == "double":
        shape[axis] *= 2
    elif what == "half":
        shape[axis] = max(shape[axis] // 2, 1)
    elif what == "swap":
        draw.shuffle(shape)
    elif what == "join" and len(shape) > 1:
        shape[axis - 1] *= shape.pop(axis)
    elif what == "one":
        shape[axis] = 1
    elif what == "axis" and len(shape) < 4:
        shape.insert(axis, draw.choice([1, 1, 2]))
    elif what == "zero":
        shape[axis] = 0
    if what == "huge":
        # The data cannot be written: only the claim is.
        model.tensors[name] = _Claim((*old.shape[:-1], draw.choice([1 << 31, 1 << 40, 1 << 62])))
        return f"{name} claims {model.tensors[name].shape}"
    model.tensors[name] = Tensor(tuple(shape), old.kind)
    return f"{name} {old.shape} -> {tuple(shape)}"


class _Claim(Tensor):
    def bytes(self, random: Any) -> bytes:
        return bytes(64)


def _rename_tensor(model: Model, draw: random.Random, _: int) -> str:
    one, two = draw.choice(list(model.tensors)), draw.choice(list(model.tensors))
    model.tensors[one], model.tensors[two] = model.tensors[two], model.tensors[one]
    return f"{one} <-> {two}"


def _move_tensor(model: Model, draw: random.Random, _: int) -> str:
    name = draw.choice(list(model.tensors))
    model.tensors[name].offset = draw.choice([0, 1, 32, 64, 1 << 20, 1 << 40, (1 << 64) - 32])
    return f"{name} at {model.tensors[name].offset}"


def _twice(model: Model, draw: random.Random, _: int) -> str:
    key = draw.choice(list(model.keys))
    model.extra.append((key, *model.keys[key]))
    return f"{key} twice"


def _other_kind(model: Model, draw: random.Random, which: int) -> str:
    if which:
        model.keys["clip.projector_type"] = (
            "str",
            draw.choice(
                ["mlp", "idefics3", "internvl", "gemma3", "qwen2vl_merger", "qwen2.5vl_merger"]
            ),
        )
        return f"projector {model.keys['clip.projector_type'][1]}"
    old = model.keys["general.architecture"][1] if "general.architecture" in model.keys else "llama"
    new = draw.choice(["llama", "qwen2", "qwen3", "gemma3", "qwen2vl"])
    model.keys = {
        k.replace(f"{old}.", f"{new}.") if k.startswith(f"{old}.") else k: v
        for k, v in model.keys.items()
    }
    model.keys["general.architecture"] = "str", new
    return f"architecture {old} -> {new}"


_CHANGES: list[Callable[[Model, random.Random, int], str]] = [
    _change_value, _change_value, _change_value, _change_type, _drop_key, _add_key, _add_key,
    _add_key, _change_array, _change_array, _drop_tensor, _drop_tensor, _add_tensor, _add_tensor,
    _change_kind, _change_kind, _change_shape, _change_shape, _rename_tensor, _move_tensor,
    _twice, _other_kind,
]  # fmt: skip


def _garble(raw: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Change bytes: flips and numbers anywhere in the head, cuts, runs taken out or put in."""
    data = bytearray(raw)
    head = min(len(data), draw.choice([64, 2000, len(data) // 3, len(data)]))
    at = draw.randrange(head)
    what = draw.choice(["flip", "flips", "number", "cut", "out", "in", "half"])
    if what == "flip":
        data[at] ^= 1 << draw.randrange(8)
    elif what == "flips":
        for _ in range(draw.choice([4, 16, 64])):
            data[draw.randrange(head)] ^= 1 << draw.randrange(8)
    elif what == "number":
        form, high = draw.choice([("<I", 1 << 32), ("<Q", 1 << 64)])
        value = draw.choice([0, 1, high - 1, high // 2, draw.randrange(high), draw.randrange(100)])
        data[at : at + struct.calcsize(form)] = struct.pack(form, value)
    elif what == "cut":
        del data[draw.choice([at, len(data) - 1, len(data) // 2]) :]
    elif what == "out":
        del data[at : at + draw.choice([1, 4, 8, 32])]
    elif what == "in":
        data[at:at] = bytes(draw.choice([1, 4, 8, 32]))
    else:
        data[at : at + 4] = b"\x00\x00\x80\x7f" if draw.random() < 0.5 else b"\xff\xff\xff\xff"
    return bytes(data), f"{what} at {at} of {len(raw)}"
