"""The vision tower's numbers, from a configuration of transformers or from its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint, UnsupportedModel

from ._json import Settings
from ._tensor import Tensor

__all__ = ["ACTIVATIONS", "Tower", "guess_tower", "hidden_state", "read_tower"]

#: model_type -> the tower's kind.
_KINDS: Final = {
    "clip_vision_model": "clip", "clip": "clip",
    "siglip_vision_model": "siglip", "siglip": "siglip",
}  # fmt: skip
_SHARED: Final = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "num_channels": 3, "image_size": 224,
}  # fmt: skip
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "clip": {**_SHARED, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip": {
        **_SHARED, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
    },
}  # fmt: skip
#: OpenAI's own towers: heads of 64 dimensions and the quick GELU.
_OPENAI: Final = re.compile(r"clip-vit-(base|large)-patch(14|16|32)(-336)?")

#: Activation -> whether llama.cpp's `use_gelu` is set. Its GELU is the approximation by tanh; the
#: exact one differs from it by less than half precision rounds.
ACTIVATIONS: Final = {
    "quick_gelu": False, "gelu": True, "gelu_pytorch_tanh": True, "gelu_new": True,
    "gelu_fast": True,
}  # fmt: skip


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision tower.

    Attributes
    ----------
    kind : {"clip", "siglip"}
        CLIP's has a CLS token, SigLIP's has none.
    image_size, patch_size : int
        Pixels along a side.
    width, inner, layers, heads : int
        Embedding length, feed-forward length, blocks, attention heads.
    epsilon : float
        Of its norms.
    activation : str
        A key of `ACTIVATIONS`.
    """

    kind: str
    image_size: int
    patch_size: int
    width: int
    inner: int
    layers: int
    heads: int
    epsilon: float
    activation: str

    @property
    def tokens(self) -> int:
        """Patches of a picture."""
        return (self.image_size // self.patch_size) ** 2


def read_tower(values: Mapping[str, Any], where: str) -> Tower:
    """Read the tower's part of a configuration.

    Raises
    ------
    UnsupportedModel
        It is no CLIP or SigLIP tower, or one llama.cpp would compute otherwise.
    InvalidCheckpoint
        A number is missing or out of bounds.
    """
    inside = values.get("vision_config")
    kind = Settings(values, where).text("model_type")
    if kind in ("clip", "siglip") and isinstance(inside, dict):
        values, where = inside, f"{where}: vision_config"
    if kind not in _KINDS:
        raise UnsupportedModel(
            f"the vision tower ({where}) is of the type {kind!r}", expected="CLIP or SigLIP"
        )
    kind = _KINDS[kind]
    config = Settings(values, where, _DEFAULTS[kind])
    config.integer("num_channels", 3, 3)
    if (activation := config.text("hidden_act")) not in ACTIVATIONS:
        raise UnsupportedModel(
            f"the vision tower ({where}) has the activation {activation!r}",
            expected=", ".join(ACTIVATIONS),
        )
    image = config.integer("image_size", 1, 8192)
    patch = config.integer("patch_size", 1, image)
    if (image // patch) ** 2 > 16384:
        raise config.fail("image_size", "at most 16384 patches")
    width = config.integer("hidden_size", 1, 1 << 16)
    heads = config.integer("num_attention_heads", 1, 1024)
    if width % heads:
        raise config.fail("num_attention_heads", f"a divisor of the embedding length {width}")
    return Tower(
        kind,
        image,
        patch,
        width,
        config.integer("intermediate_size", 1, 1 << 20),
        config.integer("num_hidden_layers", 1, 128),
        heads,
        config.real("layer_norm_eps", 0.0, 1.0),
        activation,
    )


def guess_tower(name: str, tensors: Mapping[str, Tensor]) -> Tower | None:
    """Tell the sizes of one of OpenAI's towers from its name and weights.

    Checkpoints of the original LLaVA may hold the tower's weights without its configuration.
    """
    if not _OPENAI.fullmatch(name.rstrip("/").rpartition("/")[2]):
        return None
    patches = tensors.get("vision.embeddings.patch_embedding.weight")
    places = tensors.get("vision.embeddings.position_embedding.weight")
    inner = tensors.get("vision.encoder.layers.0.mlp.fc1.weight")
    if patches is None or places is None or inner is None:
        return None
    if len(patches.shape) != 4 or len(places.shape) != 2 or not inner.shape:
        raise InvalidCheckpoint("the vision tower's weights have the wrong number of axes")
    width, _, _, patch = patches.shape
    side = math.isqrt(max(places.shape[0] - 1, 0))
    layers = sum(t.endswith(".mlp.fc1.weight") and t.startswith("vision.") for t in tensors)
    numbers = {
        "model_type": "clip_vision_model", "hidden_size": width, "patch_size": patch,
        "image_size": side * patch, "intermediate_size": inner.shape[0],
        "num_hidden_layers": layers, "num_attention_heads": max(width // 64, 1),
    }  # fmt: skip
    return read_tower(numbers, "vision tower")


def hidden_state(config: Settings, key: str, layers: int) -> int:
    """Return which hidden state the projector reads: n is the output of layer n."""
    config = Settings(config.values, config.where, {key: -2})
    if isinstance(config.get(key), list):
        raise UnsupportedModel(
            f"the projector joins several layers of the vision tower ({config.where}: {key})",
            expected="one layer",
        )
    layer = config.integer(key, -layers, layers)
    layer = layer if layer >= 0 else layers + 1 + layer
    if layer < 1:
        raise config.fail(key, f"1 to {layers}, or -1 to -{layers}")
    return layer
