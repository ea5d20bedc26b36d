"""The vision tower and the projector: a SigLIP-type ViT under LLaVA's two-layer ``mlp``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.export import storage
from astrollava_training.export.about import About

__all__ = ["write_mmproj"]

_LAYER = {
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_EMBEDDINGS = {
    "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.patch_embedding.bias": "v.patch_embd.bias",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
}
# ggml's GELU is the tanh approximation; the exact one differs from it by less than f16 rounds.
_GELU = ("gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast")


def write_mmproj(path: Path, model: Any, *, name: str, about: About, quantize: str) -> None:
    """Write the vision tower and projector of a LLaVA; the arguments are those of `export`."""
    config = model.config
    vision = config.vision_config
    layer = _feature_layer(config)
    writer = gguf.GGUFWriter(None, "clip")
    about.add_general(writer, name)
    writer.add_string("astrollava.render.rule", about.render_rule)
    # Typed by hand: gguf would guess a signed type for small integers.
    writer.add_key_value(
        "astrollava.render.background",
        list(about.render_background),
        gguf.GGUFValueType.ARRAY,
        sub_type=gguf.GGUFValueType.UINT32,
    )
    writer.add_uint32("astrollava.render.version", about.render_version)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "embedding_length": vision.hidden_size,
        "feed_forward_length": vision.intermediate_size,
        "block_count": vision.num_hidden_layers,
        "projection_dim": config.text_config.hidden_size,
        "attention.head_count": vision.num_attention_heads,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", vision.layer_norm_eps)
    writer.add_array("clip.vision.image_mean", list(about.image_mean))
    writer.add_array("clip.vision.image_std", list(about.image_std))
    # Without this key llama.cpp stops one layer short, as LLaVA's own layer -2 wants it.
    if layer != vision.num_hidden_layers - 1:
        writer.add_array("clip.vision.feature_layer", [layer])
    storage.add_tensors(writer, _tensors(model), quantize)
    storage.finish(writer, path, quantize)


def _feature_layer(config: Any) -> int:
    """Index of the hidden state the projector reads: 0 is the input, n the output of layer n."""
    vision = config.vision_config
    given = config.vision_feature_layer
    facts = {
        "vision tower": (vision.model_type, ("siglip_vision_model",)),
        "select strategy": (config.vision_feature_select_strategy, ("full",)),
        "activation of the tower": (vision.hidden_act, _GELU),
        "activation of the projector": (config.projector_hidden_act, _GELU),
        "projector bias": (config.multimodal_projector_bias, (True,)),
        "type of vision_feature_layer": (type(given).__name__, ("int",)),
    }
    for what, (value, known) in facts.items():
        if value not in known:
            raise InvalidRequest(
                f"the {what} is {value!r}", expected=" or ".join(repr(k) for k in known)
            )
    side, patch = vision.image_size, vision.patch_size
    if not isinstance(side, int) or not isinstance(patch, int) or side % patch:
        raise InvalidRequest(
            f"image size {side} and patch size {patch}",
            expected="whole numbers, the first a multiple of the second",
        )
    depth = vision.num_hidden_layers
    layer = int(given) if given >= 0 else depth + 1 + int(given)
    if not 1 <= layer <= depth:
        raise InvalidRequest(
            f"vision_feature_layer {given} of a tower with {depth} layers",
            expected=f"1 to {depth}, or -1 to -{depth}",
        )
    return layer


def _tensors(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for key, tensor in model.model.vision_tower.state_dict().items():
        key = key.removeprefix("vision_model.")
        part, _, kind = key.rpartition(".")
        if key in _EMBEDDINGS:
            ours = _EMBEDDINGS[key]
        elif part.startswith("encoder.layers."):
            number, inner = part.removeprefix("encoder.layers.").split(".", 1)
            ours = f"v.blk.{number}.{_LAYER[inner]}.{kind}"
        else:
            # The final norm and the pooling head: LLaVA reads the hidden states before them, and
            # llama.cpp would apply v.post_ln if it were there.
            continue
        yield ours, tensor.detach().float().cpu().numpy()
    for ours, theirs in {"mm.0": "linear_1", "mm.2": "linear_2"}.items():
        linear = getattr(model.model.multi_modal_projector, theirs)
        yield f"{ours}.weight", linear.weight.detach().float().cpu().numpy()
        yield f"{ours}.bias", linear.bias.detach().float().cpu().numpy()
