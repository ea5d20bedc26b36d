"""Projector files of LLaVA-1.5 as others have written them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from llava_checkpoints import CLIP_MEAN, CLIP_STD
from llava_checkpoints import model as random_model

__all__ = ["model", "write_mmproj"]

_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_out": "self_attn.out_proj",
    "ln1": "layer_norm1",
    "ln2": "layer_norm2",
    "ffn_up": "mlp.fc1",
    "ffn_down": "mlp.fc2",
}


def model(**sizes: Any) -> Any:
    """Make a LLaVA whose patches depend on where they stand as much as on what they show."""
    import torch

    net = random_model(**sizes)
    with torch.no_grad():
        for name, weight in net.model.vision_tower.named_parameters():
            if name.endswith("position_embedding.weight"):
                weight.normal_(std=1.0)
        # Large biases would make all patches alike.
        for name, weight in net.model.multi_modal_projector.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.02)
    return net


def write_mmproj(
    path: Path,
    net: Any,
    *,
    all_layers: bool = False,
    named: bool = True,
    by_old_converter: bool = True,
    dtype: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> None:
    """Write tower and projector as llama.cpp's old converter does.

    Parameters
    ----------
    all_layers : bool
        Keep the last layer, as others do who know that llama.cpp leaves one out.
    named : bool
        Name the projector's type, as the converter has done since 2024.
    by_old_converter : bool
        Write the keys by which it can be told.
    """
    vision = net.config.vision_config
    layers = vision.num_hidden_layers - (not all_layers)
    out = gguf.GGUFWriter(path, "clip")
    out.add_bool("clip.has_vision_encoder", True)
    if by_old_converter:
        out.add_bool("clip.has_text_encoder", False)
        out.add_bool("clip.has_llava_projector", True)
        out.add_description("image encoder for LLaVA")
    out.add_name("openai/clip-vit-large-patch14-336")
    if named:
        out.add_string("clip.projector_type", "mlp")
    for key, value in {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "embedding_length": vision.hidden_size,
        "feed_forward_length": vision.intermediate_size,
        "block_count": layers,
        "projection_dim": vision.projection_dim,
        "attention.head_count": vision.num_attention_heads,
    }.items():
        out.add_uint32(f"clip.vision.{key}", value)
    out.add_float32("clip.vision.attention.layer_norm_epsilon", vision.layer_norm_eps)
    out.add_array("clip.vision.image_mean", list(CLIP_MEAN))
    out.add_array("clip.vision.image_std", list(CLIP_STD))
    out.add_bool("clip.use_gelu", False)
    state = {key: value.float().numpy() for key, value in net.state_dict().items()}
    tower = next(key for key in state if key.endswith("class_embedding"))
    tower = tower.removesuffix("embeddings.class_embedding")

    def put(name: str, values: np.ndarray) -> None:
        matrix = values.ndim > 1 and name != "v.patch_embd.weight"
        kind = dtype if matrix else gguf.GGMLQuantizationType.F32
        stored = gguf.quants.quantize(np.ascontiguousarray(values), kind)
        out.add_tensor(name, stored, raw_dtype=kind)

    put("v.class_embd", state[f"{tower}embeddings.class_embedding"])
    put("v.patch_embd.weight", state[f"{tower}embeddings.patch_embedding.weight"])
    put("v.position_embd.weight", state[f"{tower}embeddings.position_embedding.weight"])
    for kind in ("weight", "bias"):
        put(f"v.pre_ln.{kind}", state[f"{tower}pre_layrnorm.{kind}"])
        for ours, theirs in {"mm.0": "linear_1", "mm.2": "linear_2"}.items():
            put(f"{ours}.{kind}", state[f"model.multi_modal_projector.{theirs}.{kind}"])
        for layer in range(layers):
            for ours, theirs in _LAYER.items():
                key = f"{tower}encoder.layers.{layer}.{theirs}.{kind}"
                put(f"v.blk.{layer}.{ours}.{kind}", state[key])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
