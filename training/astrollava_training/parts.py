"""The parts of a LLaVA: which parameter is in which, and what they are, as a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

__all__ = ["ADAPTER", "PARTS", "fingerprint", "part_of", "whole"]

PARTS = {
    "tower": ("model.vision_tower.",),
    "projector": ("model.multi_modal_projector.",),
    "language": ("model.language_model.", "lm_head."),
}
"""Parts of the model and how the names of their parameters begin; every parameter is in one."""

ADAPTER = "adapter"
"""What LoRA adds to the language model: a part of its own, which is not in `PARTS`."""


def part_of(name: str) -> str:
    """Return the part that a parameter is in, by its name.

    Raises
    ------
    KeyError
        For a name of no part.

    Examples
    --------
    >>> part_of("model.language_model.layers.0.mlp.up_proj.lora_A.default.weight")
    'adapter'
    """
    if ".lora_" in name:
        return ADAPTER
    for part, prefixes in PARTS.items():
        if name.startswith(prefixes):
            return part
    raise KeyError(name)


def fingerprint(model: nn.Module, part: str) -> str:
    """SHA-256 over the parameters of a part: proof of what a stage left alone and what it moved.

    The language model's is the same with adapters beside it and without. Where the model is sharded
    over processes, all of them must call this.
    """
    digest = hashlib.sha256()
    for name, value in sorted(_named(model)):
        if part_of(name) == part:
            digest.update(name.encode())
            plain = whole(value).cpu().contiguous()
            # As bytes: numpy knows no bfloat16. A scalar has no rows to look at as such.
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def whole(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor without its shards' cut and without its history."""
    gather: Any = getattr(value, "full_tensor", None)
    gathered: torch.Tensor = value.detach() if gather is None else gather().detach()
    return gathered


def _named(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in model.state_dict().items():
        # peft puts what it adapts one level deeper.
        yield name.replace(".base_layer.", "."), value
