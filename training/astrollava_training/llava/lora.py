"""Low-rank adapters of the language model: put in before a stage, merged for the export."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear

from astrollava_training.recipe import Lora

__all__ = ["add_adapters", "merge_adapters"]

_NAME = "default"  # peft's own, under which converters look for it


def add_adapters(model: Any, lora: Lora, seed: int) -> None:
    """Put adapters beside the matrices of the language model, in place.

    They begin as nothing: the model computes what it did before. The language model's own weights
    are frozen by this.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    lora : Lora
    seed : int
        From which they are drawn.
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        bias="none",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model.model.language_model, _NAME)


@torch.no_grad()
def merge_adapters(model: Any) -> None:
    """Add the adapters to the matrices they stand beside, in place, and remove them.

    The sum is taken in float32 and rounded once.
    """
    adapted = [name for name, module in model.named_modules() if isinstance(module, Linear)]
    for name in adapted:
        module = model.get_submodule(name)
        base = module.get_base_layer()
        a, b = (half[_NAME].weight.float() for half in (module.lora_A, module.lora_B))
        delta = (b @ a) * module.scaling[_NAME]
        base.weight.copy_((base.weight.float() + delta).to(base.weight.dtype))
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, base)
