"""AdamW, with its states in float32, in eight bits, or with a factored second moment.

Bytes that a weight needs beside itself and its gradient: 8 with states in float32, 2 in eight bits,
1 with a factored second moment (Shazeer & Stern 2018, arXiv:1804.04235). With weights and gradients
in bfloat16 and states in eight bits, 6.7 billion weights take 41 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from astrollava_training.loop.rounding import add_rounded, decode, encode, mix, stochastic

__all__ = ["Kind", "Optimizer", "Rounding", "make_optimizer"]

Kind = Literal["adamw", "adamw-8bit", "factored"]
Rounding = Literal["stochastic", "nearest"]

_BETA1, _BETA2 = 0.9, 0.999
_EPSILON = 1e-8
# No gradients let AdamW step further than this many learning rates, by Cauchy and Schwarz; where a
# step is longer, rounding has made its denominator too small.
_LARGEST_STEP = (1 - _BETA1) / (1 - _BETA2) ** 0.5 / (1 - _BETA1**2 / _BETA2) ** 0.5


class Optimizer(Protocol):
    """What moves the parameters that are trained, by gradients that it gathers."""

    def begin(self) -> None:
        """Forget the gradients gathered, for a new step."""

    def norm(self) -> float:
        """Return the norm of all gradients gathered, over all processes."""

    def step(self, rate: float, factor: float) -> None:
        """Move the parameters, with a learning rate and a factor on all gradients."""

    def state(self) -> dict[str, torch.Tensor]:
        """Return what it remembers: the tensors themselves, not copies."""

    def restore(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Remember what `state` gave after a number of steps."""

    def close(self) -> None:
        """Leave the parameters alone."""


def make_optimizer(
    parameters: Sequence[tuple[str, nn.Parameter]],
    *,
    kind: Kind,
    weight_decay: float,
    rounding: Rounding,
    seed: int,
    rank: int = 0,
    compiled: bool = False,
) -> Optimizer:
    """Make the optimizer of a stage.

    Parameters
    ----------
    parameters : sequence of (str, Parameter)
        What is trained; those of FSDP2 are taken by the piece that is here.
    kind : {"adamw", "adamw-8bit", "factored"}
    weight_decay : float
        Of parameters with two axes or more.
    rounding : {"stochastic", "nearest"}
        Of weights in bfloat16 and of sums of their gradients; float32 is never rounded so.
    seed : int
        Of the rounding.
    rank : int
        Of this process: its pieces are rounded by chances of their own.
    compiled : bool
        Whether updates are compiled, which makes one kernel of many.
    """
    if kind == "adamw" and all(p.dtype == torch.float32 for _, p in parameters):
        return _Exact(parameters, weight_decay)
    return _Compact(parameters, kind, weight_decay, rounding == "stochastic", seed, rank, compiled)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return the piece of a tensor that is in this process, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _norm(gradients: Sequence[torch.Tensor], device: torch.device, sharded: bool) -> float:
    gradients = [gradient for gradient in gradients if gradient.numel()]
    total = torch.zeros((), device=device)
    if gradients:
        norms = torch.stack(torch._foreach_norm(gradients, 2, dtype=torch.float32))
        total = norms.square().sum()
    if sharded:
        dist.all_reduce(total)
    return float(total.sqrt())


class _Exact:
    """torch's own AdamW, in one kernel, for weights in float32."""

    def __init__(self, parameters: Sequence[tuple[str, nn.Parameter]], weight_decay: float) -> None:
        self._given = [parameter for _, parameter in parameters]
        self._sharded = any(isinstance(parameter, DTensor) for parameter in self._given)
        self._names = [name for name, _ in parameters]
        # Pieces of FSDP2 as plain tensors: the fused kernel knows no others on a CPU.
        self._moved = [_local(parameter.detach()) for parameter in self._given]
        matrices = [m for m, p in zip(self._moved, self._given, strict=True) if p.dim() > 1]
        others = [m for m, p in zip(self._moved, self._given, strict=True) if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._torch = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            betas=(_BETA1, _BETA2),
            eps=_EPSILON,
            fused=True,
        )

    def begin(self) -> None:
        for parameter, moved in zip(self._given, self._moved, strict=True):
            parameter.grad = moved.grad = None

    def norm(self) -> float:
        return _norm(self._gradients(), self._moved[0].device, self._sharded)

    def step(self, rate: float, factor: float) -> None:
        gradients = self._gradients()
        if factor != 1.0 and gradients:
            torch._foreach_mul_(gradients, factor)
        for group in self._torch.param_groups:
            group["lr"] = rate
        self._torch.step()

    def state(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value
            for name, moved in zip(self._names, self._moved, strict=True)
            for key, value in self._torch.state[moved].items()
        }

    def restore(self, state: dict[str, torch.Tensor], steps: int) -> None:
        for name, moved in zip(self._names, self._moved, strict=True):
            here = {
                key: state[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{name}.{key}" in state
            }  # fmt: skip
            if here:
                self._torch.state[moved] = {
                    key: value.clone() if key == "step" else value.to(moved.device, copy=True)
                    for key, value in here.items()
                }

    def close(self) -> None:
        self.begin()

    def _gradients(self) -> list[torch.Tensor]:
        for parameter, moved in zip(self._given, self._moved, strict=True):
            moved.grad = None if parameter.grad is None else _local(parameter.grad)
        return [moved.grad for moved in self._moved if moved.grad is not None]


class _Compact:
    """AdamW with small states, over weights of any precision.

    Gradients are taken from each parameter as soon as they are there and added up in its own
    precision, stochastically rounded: two sets of gradients never exist, and many additions in
    bfloat16 lose nothing on average.
    """

    def __init__(
        self,
        parameters: Sequence[tuple[str, nn.Parameter]],
        kind: Kind,
        weight_decay: float,
        rounded: bool,
        seed: int,
        rank: int,
        compiled: bool,
    ) -> None:
        self._names = [name for name, _ in parameters]
        self._given = [parameter for _, parameter in parameters]
        self._moved = [_local(parameter.detach()) for parameter in self._given]
        self._sharded = any(isinstance(parameter, DTensor) for parameter in self._given)
        self._decays = [weight_decay if p.dim() > 1 else 0.0 for p in self._given]
        self._rounded = [rounded and p.dtype == torch.bfloat16 for p in self._given]
        self._seed = mix(seed, rank)
        self._steps = 0
        self._gathered = 0
        self._sums: dict[int, torch.Tensor] = {}
        self._states = [
            _new_state(kind, moved, factored=given.dim() == 2)
            for moved, given in zip(self._moved, self._given, strict=True)
        ]
        self._update = torch.compile(_update) if compiled else _update
        self._add = torch.compile(add_rounded) if compiled else add_rounded
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._gather(number)
            )
            for number, parameter in enumerate(self._given)
        ]

    def begin(self) -> None:
        self._sums.clear()

    def norm(self) -> float:
        return _norm(list(self._sums.values()), self._moved[0].device, self._sharded)

    def step(self, rate: float, factor: float) -> None:
        self._steps += 1
        corrections = 1 - _BETA1**self._steps, 1 - _BETA2**self._steps
        for number, gradient in sorted(self._sums.items()):
            moved, state = self._moved[number], self._states[number]
            shrunk = 1 - rate * self._decays[number]
            # Numbers as tensors: a compiled update would be compiled anew for others.
            numbers = torch.tensor(
                [rate, shrunk, factor, *corrections], dtype=torch.float32, device=moved.device
            )
            if "columns" in state:
                _see_columns(state, gradient, factor, sharded=self._sharded)
            self._update(
                moved, gradient, state, numbers, self._seed_of(number, 0, moved.device),
                self._rounded[number],
            )  # fmt: skip
        self.begin()

    def state(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value
            for name, state in zip(self._names, self._states, strict=True)
            for key, value in state.items()
        }

    def restore(self, state: dict[str, torch.Tensor], steps: int) -> None:
        self._steps = steps
        for name, ours in zip(self._names, self._states, strict=True):
            for key, value in ours.items():
                value.copy_(state[f"{name}.{key}"])

    def close(self) -> None:
        self.begin()
        for hook in self._hooks:
            hook.remove()

    def _gather(self, number: int) -> Callable[[torch.Tensor], None]:
        def take(parameter: torch.Tensor) -> None:
            assert parameter.grad is not None
            fresh = _local(parameter.grad)
            parameter.grad = None
            total = self._sums.get(number)
            if total is None:
                self._sums[number] = fresh
            elif self._rounded[number]:
                self._gathered += 1
                seed = self._seed_of(number, self._gathered, fresh.device)
                self._sums[number] = self._add(total, fresh, seed)
            else:
                total.add_(fresh)

        return take

    def _seed_of(self, number: int, use: int, device: torch.device) -> torch.Tensor:
        if use == 0:
            self._gathered = 0
        seed = mix(self._seed, self._steps, number, use)
        return torch.tensor(seed, dtype=torch.int32, device=device)


def _new_state(kind: Kind, like: torch.Tensor, *, factored: bool) -> dict[str, torch.Tensor]:
    zeros = torch.zeros_like(like, dtype=torch.float32)
    if kind == "adamw":
        return {"mean": zeros, "square": zeros.clone()}
    codes, scale = encode(zeros)
    state = {"mean": codes, "mean_scale": scale}
    if kind == "adamw-8bit":
        return state | {"root": codes.clone(), "root_scale": scale.clone()}
    if factored:
        return state | {"rows": zeros.sum(1), "columns": zeros.sum(0)}
    return state | {"square": zeros}


def _see_columns(
    state: dict[str, torch.Tensor], gradient: torch.Tensor, factor: float, *, sharded: bool
) -> None:
    """Move the mean over rows of squared gradients, over all processes, in place."""
    squares = torch.linalg.vector_norm(gradient, dim=0, dtype=torch.float32).square()
    sums = torch.cat([squares, squares.new_tensor([len(gradient)])])
    if sharded:
        dist.all_reduce(sums)
    state["columns"].lerp_(sums[:-1] * (factor**2 / sums[-1]), 1 - _BETA2)


def _update(
    moved: torch.Tensor,
    gradient: torch.Tensor,
    state: dict[str, torch.Tensor],
    numbers: torch.Tensor,
    seed: torch.Tensor,
    rounded: bool,
) -> None:
    """Take one step of AdamW with one parameter, in place of it and its state."""
    rate, shrunk, factor, correct_mean, correct_square = numbers.unbind()
    slope = gradient.float() * factor
    if "mean_scale" in state:
        mean = decode((state["mean"], state["mean_scale"]), slope.shape)
    else:
        mean = state["mean"]
    mean = _BETA1 * mean + (1 - _BETA1) * slope
    if "root" in state:
        # The root is kept: its range is that of the gradients, which eight bits can hold.
        square = decode((state["root"], state["root_scale"]), slope.shape).square()
        square = _BETA2 * square + (1 - _BETA2) * slope.square()
        codes, scale = encode(square.sqrt())
        state["root"].copy_(codes)
        state["root_scale"].copy_(scale)
    elif "rows" in state:
        rows = _BETA2 * state["rows"] + (1 - _BETA2) * slope.square().mean(1)
        state["rows"].copy_(rows)
        columns = state["columns"]
        square = rows[:, None] * (columns / columns.mean().clamp(min=1e-30))
    else:
        square = _BETA2 * state["square"] + (1 - _BETA2) * slope.square()
        state["square"].copy_(square)
    step = (mean / correct_mean) / ((square / correct_square).sqrt() + _EPSILON)
    step = step.clamp(-_LARGEST_STEP, _LARGEST_STEP)
    if "mean_scale" in state:
        codes, scale = encode(mean)
        state["mean"].copy_(codes)
        state["mean_scale"].copy_(scale)
    else:
        state["mean"].copy_(mean)
    now = moved.float() * shrunk - rate * step
    moved.copy_(stochastic(now, seed) if rounded else now)
