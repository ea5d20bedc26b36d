"""The model of the paper's architecture, assembled small: tower, projector, language model."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

from astrollava_training.config import Recipe
from astrollava_training.data.tokens import SPECIAL_TOKENS
from astrollava_training.initial import mimic_trained

__all__ = ["build", "features", "normalise", "states"]


def build(recipe: Recipe, tokenizer: Tokenizer) -> LlavaForConditionalGeneration:
    """Make the untrained model of a recipe, on the CPU, with weights that its seed decides.

    The tower has no class token and is read after its last layer: that is what llama.cpp computes
    exactly (see ``docs/decisions``).
    """
    torch.manual_seed(recipe.seed)
    seen, said = recipe.vision, recipe.language
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=seen.hidden_size,
            intermediate_size=seen.intermediate_size,
            num_hidden_layers=seen.layers,
            num_attention_heads=seen.heads,
            image_size=seen.image_size,
            patch_size=seen.patch_size,
            vision_use_head=False,
        ),
        text_config=LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=said.hidden_size,
            intermediate_size=said.intermediate_size,
            num_hidden_layers=said.layers,
            num_attention_heads=said.heads,
            num_key_value_heads=said.heads,
            max_position_embeddings=said.context_length,
            tie_word_embeddings=False,
            bos_token_id=ids["<s>"],
            eos_token_id=ids["</s>"],
            pad_token_id=ids["<pad>"],
        ),
        image_token_index=ids["<image>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=recipe.image_tokens,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    mimic_trained(model.model.vision_tower, seen.heads)
    return model


def normalise(rgb: torch.Tensor) -> torch.Tensor:
    """Pixels as the tower takes them: uint8 (n, h, w, 3) -> float (n, 3, h, w) in [-1, 1]."""
    return rgb.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def features(model: LlavaForConditionalGeneration, rgb: torch.Tensor) -> torch.Tensor:
    """Encode pictures with the tower, before the projector.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    rgb : Tensor of uint8, shape (n, height, width, 3)
        On any device.

    Returns
    -------
    Tensor of float, shape (n, tokens, width of the tower)
        On the device of the model.
    """
    return states(model, normalise(rgb.to(model.device)))


def states(model: LlavaForConditionalGeneration, pixels: torch.Tensor) -> torch.Tensor:
    """Return what `features` does, of pixels (n, 3, height, width) on the device of the model."""
    outputs = model.model.vision_tower(pixel_values=pixels, output_hidden_states=True)
    found: torch.Tensor = outputs.hidden_states[model.config.vision_feature_layer]
    return found
