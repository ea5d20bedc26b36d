"""One process or many: what each computes, and what all know together.

Weights, gradients and states are split over the processes by FSDP2, and each computes its share of
a step's sequences. Run it with ``torchrun``; without, there is one process and nothing of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from astrollava.errors import InvalidRequest

__all__ = ["World", "find_device", "joined", "shard"]

_PATIENCE = timedelta(hours=2)  # the first process may decode all pictures while others wait


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    device : torch.device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Add numbers over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def find_device(named: str | None = None) -> torch.device:
    """Return a device on which this process can compute.

    Parameters
    ----------
    named : str, optional
        ``cpu``, ``cuda``, ``cuda:N`` or another of torch's; by default a GPU where there is one. Of
        several processes that ``torchrun`` started each gets a GPU of its own.

    Raises
    ------
    InvalidRequest
        If there is no such device.
    """
    gpus = torch.cuda.device_count()
    kind = named or ("cuda" if gpus else "cpu")
    if kind == "cuda":
        kind = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        chosen = torch.device(kind)
        torch.zeros(1, device=chosen).item()  # what torch knows by name it may not be built for
    except (RuntimeError, AssertionError, NotImplementedError):
        cards = f"cuda, or cuda:0 to cuda:{gpus - 1}" if gpus > 1 else "cuda"
        raise InvalidRequest(
            f"there is no device {named or kind!r}",
            expected=f"cpu or {cards}" if gpus else "cpu: torch finds no GPU here",
        ) from None
    return chosen


@contextmanager
def joined(device: str | None = None) -> Iterator[World]:
    """Join the processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    device : str, optional
        As for `find_device`.

    Raises
    ------
    InvalidRequest
        If there is no such device.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = find_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # Joined already where a caller runs more than one thing.
    ours = size > 1 and not dist.is_initialized()
    if ours:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield World(rank, size, chosen)
    finally:
        if ours:
            dist.destroy_process_group()


def shard(learner: Any, layers: Any, frozen: Any, world: World) -> None:
    """Split a model over the processes, in place.

    Parameters
    ----------
    learner : Learner
        Gathers, in its forward pass, what is in no layer: embeddings, projector, head.
    layers : sequence of nn.Module
        Layers of the language model, each gathered only while it computes.
    frozen : sequence of nn.Module
        What is not split: small, used at once, and without gradients.
    world : World
        Of more than one process.
    """
    mesh = dist.device_mesh.init_device_mesh(world.device.type, (world.size,))
    # Gradients of different processes are added in float32, whatever they are computed in.
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    whole = {parameter for module in frozen for parameter in module.parameters()}
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(learner, mesh=mesh, mp_policy=policy, ignored_params=whole)
