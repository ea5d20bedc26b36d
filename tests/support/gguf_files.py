"""GGUF files as plain data, so that a test can change anything and still write a well-formed file.

`TEXTS` and `MMPROJS` are tiny models of the kinds astrollava checks tensor by tensor, with random
weights; llama.cpp loads and runs each of them.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

__all__ = ["MMPROJS", "TEXTS", "Model", "Tensor", "block"]

_SCALARS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"),
    "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "B"), "u64": (10, "Q"), "i64": (11, "q"),
    "f64": (12, "d"),
}  # fmt: skip
#: ggml type -> elements and bytes of a block; the rest are taken for 32 and 34.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 9: (32, 36), 14: (256, 210), 15: (256, 292),
    24: (1, 1), 26: (1, 4), 28: (1, 8), 30: (1, 2),
}  # fmt: skip


def block(kind: int) -> tuple[int, int]:
    """Return the elements and bytes of a block of a ggml type."""
    return _BLOCKS.get(kind, (32, 34))


@dataclass
class Tensor:
    """A tensor to be filled with random numbers; `shape` has the fastest-varying size first."""

    shape: tuple[int, ...]
    kind: int = 0
    offset: int | None = None

    def bytes(self, random: np.random.Generator) -> bytes:
        count = int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1
        if self.kind == 0:
            return (random.standard_normal(count, np.float32) * 0.2).tobytes()
        if self.kind == 1:
            return (random.standard_normal(count, np.float32) * 0.2).astype(np.float16).tobytes()
        per, size = block(self.kind)
        return bytes(count // per * size)


@dataclass
class Model:
    """A GGUF file: key -> (type, value), name -> tensor."""

    keys: dict[str, tuple[str, Any]]
    tensors: dict[str, Tensor]
    version: int = 3
    extra: list[tuple[str, str, Any]] = field(default_factory=list)

    def copy(self) -> Model:
        return copy.deepcopy(self)

    def write(self, seed: int = 0) -> bytes:
        random = np.random.default_rng(seed)
        keys = [(k, t, v) for k, (t, v) in self.keys.items()] + self.extra
        out = [b"GGUF", struct.pack("<IQQ", self.version, len(self.tensors), len(keys))]
        for key, kind, value in keys:
            out += [_text(key), _value(kind, value)]
        # An alignment of gigabytes is only claimed.
        align = min(self.keys.get("general.alignment", ("u32", 32))[1] or 32, 4096)
        datas: list[bytes] = []
        at = 0
        for name, tensor in self.tensors.items():
            data = tensor.bytes(random)
            out += [_text(name), struct.pack("<I", len(tensor.shape))]
            out.append(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
            offset = at if tensor.offset is None else tensor.offset
            out.append(struct.pack("<IQ", tensor.kind, offset))
            data += bytes(-len(data) % align)
            at += len(data)
            datas.append(data)
        head = b"".join(out)
        return head + bytes(-len(head) % align) + b"".join(datas)


def _text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: str, value: Any) -> bytes:
    if kind == "str":
        return struct.pack("<I", 8) + _text(value)
    if kind.startswith("["):
        inner = kind[1:-1]
        if inner == "str":
            body = b"".join(_text(v) for v in value)
            return struct.pack("<IIQ", 9, 8, len(value)) + body
        number, form = _SCALARS[inner]
        return struct.pack(f"<IIQ{len(value)}{form}", 9, number, len(value), *value)
    number, form = _SCALARS[kind]
    return struct.pack(f"<I{form}", number, value)


# --- language models ---

WIDTH, HEADS, LAYERS, INNER = 32, 4, 2, 64


def _alphabet() -> list[str]:
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(spare)) for b in range(256)]


#: What mtmd writes around the tiles of an idefics3 picture, as single tokens only.
_AROUND_TILES = ("ĊĊ", "<fake_token_around_image>", "<global-img>", "<row_1_col_1>")


def _bpe() -> dict[str, tuple[str, Any]]:
    pairs = [a + b for a, b in product("abcdefgh", repeat=2)]
    tokens = ["<s>", "</s>", *_alphabet(), *pairs, *_AROUND_TILES]
    return {
        "tokenizer.ggml.model": ("str", "gpt2"),
        "tokenizer.ggml.pre": ("str", "gpt-2"),
        "tokenizer.ggml.tokens": ("[str]", tokens),
        "tokenizer.ggml.token_type": ("[i32]", [3, 3, *[1] * (len(tokens) - 5), 3, 3, 3]),
        "tokenizer.ggml.merges": ("[str]", [f"{p[0]} {p[1]}" for p in pairs]),
        "tokenizer.ggml.bos_token_id": ("u32", 0),
        "tokenizer.ggml.eos_token_id": ("u32", 1),
        "tokenizer.ggml.add_bos_token": ("bool", 1),
    }


def _spm() -> dict[str, tuple[str, Any]]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    tokens += ["▁", *"abcdefghijklmnopqrstuvwxyz"]
    tokens += [a + b for a, b in product("abcd", repeat=2)]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(tokens) - 259)]
    return {
        "tokenizer.ggml.model": ("str", "llama"),
        "tokenizer.ggml.pre": ("str", "default"),
        "tokenizer.ggml.tokens": ("[str]", tokens),
        "tokenizer.ggml.scores": ("[f32]", [-float(i) for i in range(len(tokens))]),
        "tokenizer.ggml.token_type": ("[i32]", kinds),
        "tokenizer.ggml.bos_token_id": ("u32", 1),
        "tokenizer.ggml.eos_token_id": ("u32", 2),
        "tokenizer.ggml.unknown_token_id": ("u32", 0),
        "tokenizer.ggml.add_bos_token": ("bool", 1),
        "tokenizer.ggml.add_space_prefix": ("bool", 0),
    }


def _language_model(arch: str, vocabulary: dict[str, tuple[str, Any]], *, kind: int = 0) -> Model:
    shared = HEADS if arch == "llama" else HEADS // 2
    keys: dict[str, tuple[str, Any]] = {
        "general.architecture": ("str", arch),
        "general.name": ("str", "tiny"),
        "general.file_type": ("u32", 0),
        f"{arch}.block_count": ("u32", LAYERS),
        f"{arch}.context_length": ("u32", 256),
        f"{arch}.embedding_length": ("u32", WIDTH),
        f"{arch}.feed_forward_length": ("u32", INNER),
        f"{arch}.attention.head_count": ("u32", HEADS),
        f"{arch}.attention.head_count_kv": ("u32", shared),
        f"{arch}.attention.layer_norm_rms_epsilon": ("f32", 1e-6),
        f"{arch}.rope.freq_base": ("f32", 10000.0),
        f"{arch}.rope.dimension_count": ("u32", WIDTH // HEADS),
        "tokenizer.chat_template": ("str", "{{ messages[0]['content'] }}"),
        **vocabulary,
    }
    count = len(vocabulary["tokenizer.ggml.tokens"][1])
    tensors = {
        "token_embd.weight": Tensor((WIDTH, count), kind),
        "output_norm.weight": Tensor((WIDTH,)),
        "output.weight": Tensor((WIDTH, count), kind),
    }
    sizes = {"q": WIDTH, "k": WIDTH * shared // HEADS, "v": WIDTH * shared // HEADS}
    for i in range(LAYERS):
        b = f"blk.{i}"
        tensors[f"{b}.attn_norm.weight"] = Tensor((WIDTH,))
        tensors[f"{b}.ffn_norm.weight"] = Tensor((WIDTH,))
        for part, size in sizes.items():
            tensors[f"{b}.attn_{part}.weight"] = Tensor((WIDTH, size), kind)
            if arch in {"qwen2", "qwen2vl"}:
                tensors[f"{b}.attn_{part}.bias"] = Tensor((size,))
            if arch in {"qwen3", "gemma3"} and part != "v":
                tensors[f"{b}.attn_{part}_norm.weight"] = Tensor((WIDTH // HEADS,))
        tensors[f"{b}.attn_output.weight"] = Tensor((WIDTH, WIDTH), kind)
        tensors[f"{b}.ffn_gate.weight"] = Tensor((WIDTH, INNER), kind)
        tensors[f"{b}.ffn_up.weight"] = Tensor((WIDTH, INNER), kind)
        tensors[f"{b}.ffn_down.weight"] = Tensor((INNER, WIDTH), kind)
        if arch == "gemma3":
            tensors[f"{b}.post_attention_norm.weight"] = Tensor((WIDTH,))
            tensors[f"{b}.post_ffw_norm.weight"] = Tensor((WIDTH,))
    if arch == "gemma3":
        keys["gemma3.attention.sliding_window"] = ("u32", 16)
        keys["gemma3.attention.key_length"] = ("u32", WIDTH // HEADS)
        keys["gemma3.attention.value_length"] = ("u32", WIDTH // HEADS)
        del tensors["output.weight"]
    if arch == "qwen2vl":
        keys["qwen2vl.rope.dimension_sections"] = ("[i32]", [1, 1, 2, 0])
    return Model(keys, tensors)


TEXTS: dict[str, Callable[[], Model]] = {
    "llama": lambda: _language_model("llama", _bpe()),
    "llama-q8": lambda: _language_model("llama", _bpe(), kind=8),
    "llama-spm": lambda: _language_model("llama", _spm()),
    "qwen2": lambda: _language_model("qwen2", _bpe()),
    "qwen3": lambda: _language_model("qwen3", _bpe()),
    "gemma3": lambda: _language_model("gemma3", _spm()),
    "qwen2vl": lambda: _language_model("qwen2vl", _bpe()),
}


# --- projectors ---

SIDE, PATCH, V_WIDTH, V_HEADS, V_INNER = 32, 8, 32, 2, 48


def _tower(projector: str, *, cls: bool = False, gate: bool = False, fused: bool = False) -> Model:
    v = "clip.vision."
    keys: dict[str, tuple[str, Any]] = {
        "general.architecture": ("str", "clip"),
        "general.name": ("str", "tiny"),
        "clip.has_vision_encoder": ("bool", 1),
        "clip.projector_type": ("str", projector),
        "clip.use_gelu": ("bool", 1),
        v + "image_size": ("u32", SIDE),
        v + "patch_size": ("u32", PATCH),
        v + "embedding_length": ("u32", V_WIDTH),
        v + "feed_forward_length": ("u32", V_INNER),
        v + "block_count": ("u32", LAYERS),
        v + "projection_dim": ("u32", WIDTH),
        v + "attention.head_count": ("u32", V_HEADS),
        v + "attention.layer_norm_epsilon": ("f32", 1e-6),
        v + "image_mean": ("[f32]", [0.5, 0.5, 0.5]),
        v + "image_std": ("[f32]", [0.5, 0.5, 0.5]),
    }
    patches = (SIDE // PATCH) ** 2
    qwen = projector.endswith("vl_merger")
    tensors = {"v.patch_embd.weight": Tensor((PATCH, PATCH, 3, V_WIDTH))}
    if qwen:
        tensors["v.patch_embd.weight.1"] = Tensor((PATCH, PATCH, 3, V_WIDTH))
    else:
        tensors["v.patch_embd.bias"] = Tensor((V_WIDTH,))
        tensors["v.position_embd.weight"] = Tensor((V_WIDTH, patches + cls))
    if cls:
        tensors["v.class_embd"] = Tensor((V_WIDTH,))
        tensors["v.pre_ln.weight"] = Tensor((V_WIDTH,))
        tensors["v.pre_ln.bias"] = Tensor((V_WIDTH,))
    if projector != "mlp":
        tensors["v.post_ln.weight"] = Tensor((V_WIDTH,))
        tensors["v.post_ln.bias"] = Tensor((V_WIDTH,))
    parts = {
        "attn_out": (V_WIDTH, V_WIDTH),
        "ffn_up": (V_WIDTH, V_INNER),
        "ffn_down": (V_INNER, V_WIDTH),
    }
    if fused:
        parts["attn_qkv"] = (V_WIDTH, 3 * V_WIDTH)
    else:
        parts |= {f"attn_{p}": (V_WIDTH, V_WIDTH) for p in "qkv"}
    if gate:
        parts["ffn_gate"] = (V_WIDTH, V_INNER)
    for i in range(LAYERS):
        for name, shape in parts.items():
            tensors[f"v.blk.{i}.{name}.weight"] = Tensor(shape)
            tensors[f"v.blk.{i}.{name}.bias"] = Tensor(shape[1:])
        for name in ("ln1", "ln2"):
            tensors[f"v.blk.{i}.{name}.weight"] = Tensor((V_WIDTH,))
            tensors[f"v.blk.{i}.{name}.bias"] = Tensor((V_WIDTH,))
        if projector == "internvl":
            tensors[f"v.blk.{i}.ls1.weight"] = Tensor((V_WIDTH,))
            tensors[f"v.blk.{i}.ls2.weight"] = Tensor((V_WIDTH,))
    return Model(keys, tensors)


def _linear(model: Model, name: str, rows: int, columns: int) -> None:
    model.tensors[f"{name}.weight"] = Tensor((columns, rows))
    model.tensors[f"{name}.bias"] = Tensor((rows,))


def _mlp(*, cls: bool = False, norm: bool = False) -> Model:
    model = _tower("mlp", cls=cls)
    if not cls:
        model.keys["clip.vision.feature_layer"] = ("[i32]", [LAYERS])
    _linear(model, "mm.0", 40, V_WIDTH)
    if norm:
        model.tensors["mm.1.weight"] = model.tensors["mm.1.bias"] = Tensor((40,))
        _linear(model, "mm.3", WIDTH, 40)
        model.tensors["mm.4.weight"] = model.tensors["mm.4.bias"] = Tensor((WIDTH,))
    else:
        _linear(model, "mm.2", WIDTH, 40)
    return model


def _idefics3() -> Model:
    model = _tower("idefics3")
    model.keys["clip.vision.projector.scale_factor"] = ("u32", 2)
    model.keys["clip.vision.preproc_image_size"] = ("u32", SIDE)
    model.tensors["mm.model.fc.weight"] = Tensor((4 * V_WIDTH, WIDTH))
    return model


def _internvl(*, fused: bool = False) -> Model:
    model = _tower("internvl", cls=True, fused=fused)
    for name in ("v.pre_ln.weight", "v.pre_ln.bias"):
        del model.tensors[name]
    model.keys["clip.vision.projector.scale_factor"] = ("u32", 2)
    model.tensors["mm.model.mlp.0.weight"] = Tensor((4 * V_WIDTH,))
    model.tensors["mm.model.mlp.0.bias"] = Tensor((4 * V_WIDTH,))
    _linear(model, "mm.model.mlp.1", 40, 4 * V_WIDTH)
    _linear(model, "mm.model.mlp.3", WIDTH, 40)
    return model


def _gemma3() -> Model:
    model = _tower("gemma3")
    model.keys["clip.vision.projector.scale_factor"] = ("u32", 2)
    model.tensors["mm.input_projection.weight"] = Tensor((WIDTH, V_WIDTH))
    model.tensors["mm.soft_emb_norm.weight"] = Tensor((V_WIDTH,))
    return model


def _qwen(projector: str) -> Model:
    model = _tower(projector, gate=projector == "qwen2.5vl_merger")
    if projector == "qwen2.5vl_merger":
        model.keys["clip.vision.n_wa_pattern"] = ("u32", 2)
        model.keys["clip.use_silu"] = ("bool", 1)
        model.keys["clip.use_gelu"] = ("bool", 0)
    _linear(model, "mm.0", 40, 4 * V_WIDTH)
    _linear(model, "mm.2", WIDTH, 40)
    return model


MMPROJS: dict[str, Callable[[], Model]] = {
    "mlp": _mlp,
    "mlp-cls": lambda: _mlp(cls=True),
    "mlp-norm": lambda: _mlp(norm=True),
    "idefics3": _idefics3,
    "internvl": _internvl,
    "internvl-fused": lambda: _internvl(fused=True),
    "gemma3": _gemma3,
    "qwen2vl": lambda: _qwen("qwen2vl_merger"),
    "qwen2.5vl": lambda: _qwen("qwen2.5vl_merger"),
}
