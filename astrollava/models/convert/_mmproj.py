"""The vision tower and the projector: CLIP or SigLIP under LLaVA's two-layer ``mlp``."""

from __future__ import annotations

from typing import Final

import numpy as np

from astrollava.errors import UnsupportedModel
from astrollava.models.checkpoint import ACTIVATIONS, Checkpoint, Tensor
from astrollava.models.repair import ORDER_KEY

from ._needs import Needs
from ._views import Constant, TurnedRows
from ._writer import Value

__all__ = ["mmproj_metadata", "mmproj_tensors"]

_LAYER: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
}
#: LLaVA reads hidden states before these, and llama.cpp would apply v.post_ln if it were there.
_UNUSED: Final = ("vision.post_layernorm.", "vision.head.")


def mmproj_metadata(checkpoint: Checkpoint) -> dict[str, Value]:
    """Return the keys that tell llama.cpp the tower's sizes, and astrollava the rendering."""
    tower, rendering = checkpoint.tower, checkpoint.rendering
    keys: dict[str, Value] = {
        "astrollava.render.rule": rendering.rule,
        "astrollava.render.background": rendering.background,
        "astrollava.render.version": 1,
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp" if checkpoint.joined == 1 else "internvl",
        "clip.use_gelu": ACTIVATIONS[tower.activation],
        "clip.vision.image_size": tower.image_size,
        "clip.vision.patch_size": tower.patch_size,
        "clip.vision.embedding_length": tower.width,
        "clip.vision.feed_forward_length": tower.inner,
        "clip.vision.block_count": tower.layers,
        "clip.vision.projection_dim": checkpoint.language.width,
        "clip.vision.attention.head_count": tower.heads,
        "clip.vision.attention.layer_norm_epsilon": tower.epsilon,
        "clip.vision.image_mean": rendering.mean,
        "clip.vision.image_std": rendering.std,
    }
    if checkpoint.joined > 1:
        # Only those layers are written that the projector reads, and llama.cpp runs them all.
        keys["clip.vision.block_count"] = checkpoint.feature_layer
        keys["clip.vision.projector.scale_factor"] = checkpoint.joined
        # A picture is read whole: InternVL itself cuts large ones into tiles.
        keys["clip.vision.preproc_min_tiles"] = keys["clip.vision.preproc_max_tiles"] = 1
        return keys
    # Without this key llama.cpp stops one layer short, as LLaVA's own layer -2 wants it.
    if checkpoint.feature_layer != tower.layers - 1:
        keys["clip.vision.feature_layer"] = (checkpoint.feature_layer,)
    if tower.kind == "clip":
        keys[ORDER_KEY] = "last"
    return keys


def mmproj_tensors(checkpoint: Checkpoint) -> list[tuple[str, Tensor]]:
    """Return tower and projector under llama.cpp's names.

    Raises
    ------
    InvalidCheckpoint
        A weight is missing, or of another shape than the configuration says.
    UnsupportedModel
        There are weights llama.cpp would not use.
    """
    tower, needs = checkpoint.tower, Needs(checkpoint.tensors)
    width, patch = tower.width, tower.patch_size
    found: list[tuple[str, Tensor]] = []

    def take(ours: str, theirs: str, shape: tuple[int, ...]) -> None:
        found.append((ours, needs.take(f"vision.{theirs}", shape)))

    take("v.patch_embd.weight", "embeddings.patch_embedding.weight", (width, 3, patch, patch))
    places = "vision.embeddings.position_embedding.weight"
    if tower.kind == "clip":
        take("v.class_embd", "embeddings.class_embedding", (width,))
        # llama.cpp appends the class token after the patches and counts positions as if it came
        # first (its issue 25814): turned by one, each patch gets its own row. `repair` turns the
        # table back for a llama.cpp that is right, by ORDER_KEY.
        table = needs.take(places, (tower.tokens + 1, width))
        found.append(("v.position_embd.weight", TurnedRows(table)))
        for kind in ("weight", "bias"):
            take(f"v.pre_ln.{kind}", f"pre_layrnorm.{kind}", (width,))
    else:
        take("v.patch_embd.bias", "embeddings.patch_embedding.bias", (width,))
        found.append(("v.position_embd.weight", needs.take(places, (tower.tokens, width))))
    for i in range(tower.layers if checkpoint.joined == 1 else checkpoint.feature_layer):
        for theirs, ours in _LAYER.items():
            matrix = {"ffn_up": (tower.inner, width), "ffn_down": (width, tower.inner)}
            shape = matrix.get(ours, (width, width))
            for kind in ("weight", "bias"):
                vector = kind == "bias" or ours.startswith("ln")
                take(
                    f"v.blk.{i}.{ours}.{kind}",
                    f"encoder.layers.{i}.{theirs}.{kind}",
                    shape[:1] if vector else shape,
                )
    found += _projector(checkpoint, needs)
    needs.skip(*_UNUSED)
    if checkpoint.joined > 1:
        needs.skip(
            *(f"vision.encoder.layers.{i}." for i in range(checkpoint.feature_layer, tower.layers))
        )
    for part in ("vision", "projector", "other"):
        if rest := needs.rest(f"{part}."):
            raise UnsupportedModel(
                f"llama.cpp would not use {len(rest)} weights of the model, such as {rest[0]}",
                expected="a CLIP or SigLIP tower under a projector of two layers",
            )
    return found


def _projector(checkpoint: Checkpoint, needs: Needs) -> list[tuple[str, Tensor]]:
    """Return the projector: two layers, and, where patches are joined, a norm before them."""
    inner, outer = checkpoint.tower.width * checkpoint.joined**2, checkpoint.language.width
    found: list[tuple[str, Tensor]] = []
    names = {0: "mm.0", 2: "mm.2"}
    if checkpoint.joined > 1:
        names = {0: "mm.model.mlp.1", 2: "mm.model.mlp.3"}
        for kind in ("weight", "bias"):
            norm = needs.take(f"projector.norm.{kind}", (inner,))
            found.append((f"mm.model.mlp.0.{kind}", norm))
    for (number, name), inputs in zip(names.items(), (inner, outer), strict=True):
        weight = needs.take(f"projector.{number}.weight", (outer, inputs))
        found.append((f"{name}.weight", weight))
        none = checkpoint.config.get("multimodal_projector_bias") is False
        bias = needs.take(f"projector.{number}.bias", (outer,), optional=none)
        # llama.cpp's projector adds one in any case.
        found.append((f"{name}.bias", bias or Constant("bias", np.zeros(outer, np.float32))))
    return found
