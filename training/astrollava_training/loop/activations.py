"""Activations kept for the backward pass, or computed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    create_selective_checkpoint_contexts,
)

__all__ = ["arrange"]


def arrange(language: Any, how: Literal["none", "selective", "full"]) -> None:
    """Say what the layers of a language model keep.

    Parameters
    ----------
    language : transformers language model
    how : {"none", "selective", "full"}
        Everything; the results of every second product of matrices and of attention, which cost
        most to compute; or only what goes into each layer.
    """
    if how == "none":
        language.gradient_checkpointing_disable()
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if how == "selective":
        options["context_fn"] = _contexts
    language.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def _contexts() -> Any:
    # One counter for the forward pass and one for computing again: both meet the same products.
    counts = {False: 0, True: 0}
    return create_selective_checkpoint_contexts(  # type: ignore[no-untyped-call]
        partial(_policy, counts)
    )


def _policy(
    counts: dict[bool, int], context: Any, operator: Callable[..., Any], *_: Any, **__: Any
) -> CheckpointPolicy:
    if operator in _PRODUCTS:
        counts[context.is_recompute] += 1
        keep = counts[context.is_recompute] % 2 == 1
    else:
        keep = operator in _attentions()
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


def _attentions() -> tuple[Any, ...]:
    # The operator of variable-length attention exists once its module has been imported.
    varlen = getattr(torch.ops.torch_attn, "_varlen_attn", None)
    return (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        *(() if varlen is None else (varlen.default,)),
    )
