"""The loop every stage shares: AdamW, a cosine schedule with warm-up, averaged weights, a log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from astrollava_training.config import Stage

__all__ = ["Log", "fit", "schedule"]

T = TypeVar("T")


class Log:
    """One JSON object a line in ``log.jsonl``, and the same in short on the terminal."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.jsonl"

    def __call__(self, stage: str, **values: float | str) -> None:
        """Record values of a stage."""
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"stage": stage, **values}) + "\n")
        shown = "  ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
        )
        print(f"{stage:>9}  {shown}", flush=True)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate: linear warm-up over a share of the steps, then a cosine to zero."""
    rising = max(round(steps * warmup), 1)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def fit(
    name: str,
    modules: Sequence[nn.Module],
    stage: Stage,
    batches: Iterable[T],
    loss_of: Callable[[T], torch.Tensor],
    log: Log,
    *,
    average: float = 0.998,
) -> None:
    """Train modules in place over batches.

    Parameters
    ----------
    name : str
        Name of the stage in the log.
    modules : sequence of nn.Module
        What is trained; everything else stays as it is.
    stage : Stage
        Pictures, batch size and learning rate; the number of steps is their quotient.
    batches : iterable
        At least as many as there are steps.
    loss_of : callable
        Batch -> scalar loss.
    log : Log
    average : float
        Decay per step of the exponential average of the weights, which replaces them at the end.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    """
    steps = max(stage.pictures // stage.batch_size, 1)
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.dim() > 1]
    plain = [p for p in parameters if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": stage.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=stage.learning_rate,
        betas=(0.9, 0.98),
    )
    averaged = [p.detach().clone() for p in parameters]
    begun, seen = time.monotonic(), 0.0
    for step, batch in enumerate(batches):
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * schedule(step, steps, stage.warmup)
        loss = loss_of(batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of stage {name} is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        # A short memory at the start, so that the average forgets the untrained weights.
        decay = min(average, (step + 1) / (step + 10))
        torch._foreach_lerp_(averaged, parameters, 1.0 - decay)
        seen = loss.item() if step == 0 else 0.98 * seen + 0.02 * loss.item()
        if step % 50 == 49 or step == steps - 1:
            pace = (step + 1) * stage.batch_size / (time.monotonic() - begun)
            left = (steps - step - 1) * stage.batch_size / pace
            log(name, step=step + 1, steps=steps, loss=seen, pictures_per_s=pace, seconds_left=left)
    with torch.no_grad():
        torch._foreach_copy_(parameters, averaged)
