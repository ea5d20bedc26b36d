"""LLaVA with InternVL's projector, in torch: neighbouring patches become one token.

llama.cpp computes it as its ``internvl`` over a CLIP tower.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn
from transformers import LlavaConfig, LlavaForConditionalGeneration

__all__ = [
    "FRAME",
    "LlavaPixelShuffleForConditionalGeneration",
    "PixelShuffleProjector",
    "model_class",
    "shuffled",
]

FRAME: Final = ("<img>", "</img>")
"""What llama.cpp writes around a picture of such a model, each a text of its own."""


class PixelShuffleProjector(nn.Module):
    """Join patches, normalise, and project through two layers with a GELU between them.

    Parameters
    ----------
    config : LlavaConfig
        ``pixel_shuffle`` is how many patches are joined along each side.
    """

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__()
        self.joined = int(config.pixel_shuffle)
        inner = config.vision_config.hidden_size * self.joined**2
        outer = config.text_config.hidden_size
        self.norm = nn.LayerNorm(inner)
        self.linear_1 = nn.Linear(inner, outer)
        self.act = nn.GELU()
        self.linear_2 = nn.Linear(outer, outer)

    def forward(self, image_features: torch.Tensor) -> torch.Tensor:
        """Project patches in the order of their rows, shape (pictures, patches, width)."""
        joined = self.linear_1(self.norm(shuffled(image_features, self.joined)))
        out: torch.Tensor = self.linear_2(self.act(joined))
        return out


class LlavaPixelShuffleForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """A LLaVA whose projector is `PixelShuffleProjector`; ``pixel_shuffle`` is in its config."""

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.model.multi_modal_projector = PixelShuffleProjector(config)


def model_class(config: LlavaConfig) -> Any:
    """Return the class of models of a configuration."""
    if getattr(config, "pixel_shuffle", None) is None:
        return LlavaForConditionalGeneration
    return LlavaPixelShuffleForConditionalGeneration


def shuffled(patches: torch.Tensor, joined: int) -> torch.Tensor:
    """Lay squares of patches behind each other, as llama.cpp's ``internvl`` does.

    Parameters
    ----------
    patches : Tensor, shape (pictures, side * side, width)
        Row by row.
    joined : int
        Patches along a side of a square; it divides the side.

    Returns
    -------
    Tensor, shape (pictures, (side / joined) ** 2, width * joined ** 2)
        Row by row; within a square, row by row again.
    """
    pictures, count, width = patches.shape
    side = round(count**0.5) // joined
    squares = patches.reshape(pictures, side, joined, side, joined, width)
    return squares.transpose(2, 3).reshape(pictures, side * side, joined * joined * width)
