"""LLaVA checkpoints without torch: random numbers or holes, under the names of transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint_files import safetensors_bytes

__all__ = ["PlainLlava", "byte_tokenizer"]

_SPECIAL = ("<unk>", "<s>", "</s>", "<image>")


@dataclass(frozen=True)
class PlainLlava:
    """Sizes of a LLaVA with a CLIP tower and a Llama."""

    width: int = 32
    inner: int = 64
    layers: int = 1
    heads: int = 2
    vocabulary: int = 300
    tower_width: int = 32
    tower_inner: int = 64
    tower_layers: int = 2
    image: int = 28
    patch: int = 14
    dtype: str = "F32"

    def config(self) -> dict[str, Any]:
        """Return its config.json."""
        return {
            "architectures": ["LlavaForConditionalGeneration"],
            "model_type": "llava",
            "image_token_index": _SPECIAL.index("<image>"),
            "projector_hidden_act": "gelu",
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "text_config": {
                "model_type": "llama", "hidden_size": self.width,
                "intermediate_size": self.inner, "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads, "max_position_embeddings": 256,
                "rms_norm_eps": 1e-5, "vocab_size": self.vocabulary, "bos_token_id": 1,
                "eos_token_id": 2,
            },
            "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": self.tower_width,
                "intermediate_size": self.tower_inner, "num_hidden_layers": self.tower_layers,
                "num_attention_heads": 2, "image_size": self.image, "patch_size": self.patch,
            },
        }  # fmt: skip

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return its weights' shapes."""
        w, inner, tower = self.width, self.inner, "vision_tower.vision_model."
        t, places = self.tower_width, (self.image // self.patch) ** 2 + 1
        found: dict[str, tuple[int, ...]] = {
            "language_model.model.embed_tokens.weight": (self.vocabulary, w),
            "language_model.model.norm.weight": (w,),
            "language_model.lm_head.weight": (self.vocabulary, w),
            f"{tower}embeddings.class_embedding": (t,),
            f"{tower}embeddings.patch_embedding.weight": (t, 3, self.patch, self.patch),
            f"{tower}embeddings.position_embedding.weight": (places, t),
            "multi_modal_projector.linear_1.weight": (w, t),
            "multi_modal_projector.linear_2.weight": (w, w),
            "multi_modal_projector.linear_1.bias": (w,),
            "multi_modal_projector.linear_2.bias": (w,),
        }
        for i in range(self.layers):
            layer = f"language_model.model.layers.{i}."
            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                found[f"{layer}self_attn.{part}.weight"] = (w, w)
            found[f"{layer}mlp.gate_proj.weight"] = (inner, w)
            found[f"{layer}mlp.up_proj.weight"] = (inner, w)
            found[f"{layer}mlp.down_proj.weight"] = (w, inner)
            for part in ("input_layernorm", "post_attention_layernorm"):
                found[f"{layer}{part}.weight"] = (w,)
        vectors = [f"{tower}pre_layrnorm", f"{tower}post_layernorm"]
        for i in range(self.tower_layers):
            layer = f"{tower}encoder.layers.{i}."
            matrices = {
                f"self_attn.{p}": (t, t) for p in ("q_proj", "k_proj", "v_proj", "out_proj")
            }
            matrices |= {"mlp.fc1": (self.tower_inner, t), "mlp.fc2": (t, self.tower_inner)}
            for part, shape in matrices.items():
                found[f"{layer}{part}.weight"] = shape
                found[f"{layer}{part}.bias"] = shape[:1]
            vectors += [f"{layer}layer_norm1", f"{layer}layer_norm2"]
        for name in vectors:
            found[f"{name}.weight"] = found[f"{name}.bias"] = (t,)
        return found

    def save(
        self,
        folder: Path,
        *,
        config: Mapping[str, Any] | None = None,
        without: str = "",
        changed: Mapping[str, np.ndarray] | None = None,
        sparse: bool = False,
    ) -> Path:
        """Write the folder.

        `config` replaces keys of its config.json, `without` leaves a weight out, `changed` puts
        other numbers in place of some, `sparse` leaves holes in place of all numbers.
        """
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        header: dict[str, Any] = {}
        at, item = 0, {"F32": 4, "F16": 2, "BF16": 2}[self.dtype]
        data = []
        for name, shape in self.shapes().items():
            if name == without:
                continue
            values = (changed or {}).get(name)
            shape = shape if values is None else values.shape
            size = math.prod(shape) * item
            header[name] = {
                "dtype": self.dtype,
                "shape": list(shape),
                "data_offsets": [at, at + size],
            }
            at += size
            if not sparse:
                drawn = random.standard_normal(shape, np.float32) * 0.1
                kind = {"F32": np.float32, "F16": np.float16}[self.dtype]
                data.append((drawn if values is None else values).astype(kind).tobytes())
        path = folder / "model.safetensors"
        path.write_bytes(safetensors_bytes(header, b"".join(data)))
        if sparse:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size + at)
        (folder / "config.json").write_text(json.dumps({**self.config(), **(config or {})}))
        byte_tokenizer(folder)
        return folder


def byte_tokenizer(folder: Path) -> None:
    """Write a tokenizer.json of Llama's kind: SentencePiece with byte fall-back, a few words."""
    pieces = [*_SPECIAL, *(f"<0x{b:02X}>" for b in range(256)), "▁", "a", "b", "▁a", "ab"]
    special = [
        {
            "id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for i, text in enumerate(_SPECIAL)
    ]  # fmt: skip
    spec = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>",
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
            "byte_fallback": True, "ignore_merges": False,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
            "merges": ["▁ a", "a b"],
        },
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
