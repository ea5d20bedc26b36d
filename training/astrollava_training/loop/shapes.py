"""Models of a recipe's shape with random weights, for measuring: no weights are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    Qwen2Config,
    SiglipVisionConfig,
)

from astrollava.errors import ModelNotFound
from astrollava.parity.pixel_shuffle import model_class
from astrollava_training.llava.assemble import DTYPES, Pictures
from astrollava_training.recipe import LlavaRecipe

__all__ = ["random_model", "shape"]

_JOINED: Final = 2  # patches along a side under pixel shuffle


def _llama_7b(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32, max_position_embeddings=4096,
    )  # fmt: skip


def _vit_l(side: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
        image_size=side, patch_size=14,
    )  # fmt: skip


#: Shapes of what the recipes name, as their config.json has them: measuring needs no network.
_KNOWN: Final[dict[str, Callable[[], Any]]] = {
    "lmsys/vicuna-7b-v1.5": lambda: _llama_7b(32_064),
    "llava-hf/llava-1.5-7b-hf": lambda: _llama_7b(32_064),
    "Qwen/Qwen2.5-0.5B-Instruct": lambda: Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, max_position_embeddings=32_768,
        tie_word_embeddings=True,
    ),
    "openai/clip-vit-large-patch14-336": lambda: _vit_l(336),
    "open_clip:ViT-L-14": lambda: _vit_l(224),
    "google/siglip-base-patch16-224": lambda: SiglipVisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        image_size=224, patch_size=16,
    ),
}  # fmt: skip


def shape(recipe: LlavaRecipe, layers: int | None = None) -> LlavaConfig:
    """Return the configuration of a recipe's model.

    Parameters
    ----------
    recipe : LlavaRecipe
    layers : int, optional
        Layers of tower and language model, at most; the tower keeps two at least.

    Raises
    ------
    ModelNotFound
        If what it names is not known here, no folder, and not to be had.
    """
    asked = recipe.model
    language = _config(asked.language or asked.start)
    language = getattr(language, "text_config", language)
    if asked.tower:
        seen = _config(asked.tower)
    elif asked.start in _KNOWN:
        seen = _vit_l(336)
    else:
        seen = _config(asked.start)
    seen = getattr(seen, "vision_config", seen)
    if layers is not None:
        language.num_hidden_layers = min(layers, language.num_hidden_layers)
        seen.num_hidden_layers = min(max(layers, 2), seen.num_hidden_layers)
    joined = _JOINED if asked.projector == "pixel-shuffle" else 1
    clip = "clip" in seen.model_type
    return LlavaConfig(
        vision_config=seen,
        text_config=language,
        image_token_index=language.vocab_size - 1,
        image_seq_length=(seen.image_size // seen.patch_size // joined) ** 2,
        vision_feature_layer=-2 if asked.feature_layer is None else asked.feature_layer,
        vision_feature_select_strategy="default" if clip else "full",
        tie_word_embeddings=bool(language.tie_word_embeddings),
        **({"pixel_shuffle": joined} if joined > 1 else {}),
    )


def random_model(
    recipe: LlavaRecipe, config: LlavaConfig, device: torch.device
) -> tuple[Any, Pictures]:
    """Make the model of a configuration, on a device, with random weights.

    Returns
    -------
    model, pictures
    """
    torch.manual_seed(recipe.seed)
    with device:
        model = model_class(config)._from_config(config, dtype=DTYPES[recipe.train.dtype])
    tokens, token = config.image_seq_length, config.image_token_index
    return model, Pictures(
        size=config.vision_config.image_size,
        rule=recipe.data.render,
        background=(127, 127, 127),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        tokens=tokens,
        token=token,
        ids=(token,) * tokens,
    )


def _config(name: str) -> Any:
    # Which weights a tower of open_clip has does not change its shape.
    known = _KNOWN.get(":".join(name.split(":")[:2]) if name.startswith("open_clip:") else name)
    if known is not None and not Path(name).is_dir():
        return known()
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"the shape of {name!r} is not known: {error}",
            expected="a folder, a repository that can be reached, or a name the recipes have",
        ) from None
