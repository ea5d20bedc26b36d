"""Activations kept for the backward pass, or computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch._functorch import config as functorch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

__all__ = ["arranged"]

_BUDGET = 0.5


@contextmanager
def arranged(
    language: Any, how: Literal["none", "selective", "full"], compiled: bool
) -> Iterator[None]:
    """Say what the layers of a language model keep, and compile them if asked to.

    Parameters
    ----------
    language : transformers language model
    how : {"none", "selective", "full"}
        Everything; the results of every second product of matrices and of attention, which cost
        most to compute; or only what goes into each layer.
    compiled : bool
        Whether each layer is compiled. The compiler then chooses itself what is computed again,
        within half of the memory that all activations take, for ``selective``.
    """
    budget = functorch.activation_memory_budget
    again = how == "full" or (how == "selective" and not compiled)
    options: dict[str, Any] = {"context_fn": _contexts} if how == "selective" else {}
    for layer in language.layers:
        # What transformers' own switch sets, whose name changes between its versions.
        layer.gradient_checkpointing = again
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, **options)
        if compiled:
            # Conversations fill a sequence to another length each time.
            layer.compile(dynamic=True)
    if how == "selective" and compiled:
        functorch.activation_memory_budget = _BUDGET
    try:
        yield
    finally:
        functorch.activation_memory_budget = budget
        for layer in language.layers:
            layer.gradient_checkpointing = False
            layer._compiled_call_impl = None


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
