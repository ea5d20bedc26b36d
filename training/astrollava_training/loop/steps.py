"""Steps of a stage: batches ahead of the device, losses added up, parameters moved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava.errors import ModelError
from astrollava_training.dataset.batches import Batch, ahead, padded, row
from astrollava_training.dataset.corpus import Corpus
from astrollava_training.dataset.packing import Schedule, pack, pad
from astrollava_training.llava.assemble import DTYPES, Pictures
from astrollava_training.loop import activations
from astrollava_training.loop.attention import packed, works_varlen
from astrollava_training.loop.forward import Learner
from astrollava_training.loop.optimizer import make_optimizer
from astrollava_training.loop.pace import Energy, Work, memory_used, peak_operations
from astrollava_training.loop.rounding import mix
from astrollava_training.loop.spread import World, shard
from astrollava_training.recipe import Stage, Train
from astrollava_training.train import schedule

__all__ = ["Numbers", "Steps", "train_mode"]

_ROUND = 128  # tokens; a GPU's products of matrices are fastest with a multiple of this


@dataclass(frozen=True)
class Numbers:
    """What is known of a step once it is done.

    Attributes
    ----------
    loss : float
        Nats a token that is learnt, before the step.
    rate, norm : float
        The learning rate, and the norm of the gradient before it was clipped.
    tokens, learned : int
        Tokens of all processes, without padding, and those a loss is taken on.
    seconds, tokens_per_s, mfu : float
    memory : int
        Bytes, the most so far in this process.
    joules : float or None
        Energy of all GPUs since the process began.
    """

    loss: float
    rate: float
    norm: float
    tokens: int
    learned: int
    seconds: float
    tokens_per_s: float
    mfu: float
    memory: int
    joules: float | None


class Steps:
    """A model made ready for a stage.

    Parameters
    ----------
    model, corpus, stage, how, world, pictures, length, pack_rows, seed
        As in `astrollava_training.loop.stage.train_stage`.
    training : ndarray of int64
        Numbers of the conversations to train on.

    Attributes
    ----------
    count : int
        Steps of the stage.
    learner : Learner
    trained : list of (str, Parameter)
        What is trained, by name; in more than one process, pieces.
    optimizer : Optimizer
    peak : float
        Operations a second that all devices can do.
    peak_from : str
        How that is known.
    """

    def __init__(
        self,
        model: Any,
        corpus: Corpus,
        training: NDArray[np.int64],
        stage: Stage,
        how: Train,
        world: World,
        *,
        pictures: Pictures,
        length: int,
        pack_rows: bool,
        seed: int,
    ) -> None:
        self._corpus, self._training, self._stage, self._how = corpus, training, stage, how
        self._world, self._seed = world, seed
        self._plan = Schedule(len(training), stage.batch, stage.epochs, seed)
        self.count = self._plan.steps
        dtype = DTYPES[how.dtype]
        model.to(world.device)
        for parameter in model.parameters():
            # Not its buffers: angles of positions in bfloat16 would be wrong far from the start.
            parameter.data = parameter.data.to(dtype)
        self._work = Work.of(model, pictures.tokens)
        self._group = (
            partial(pack, capacity=how.rows * length, multiple=world.size)
            if pack_rows
            else partial(pad, rows=how.rows, multiple=world.size)
        )
        self._make = partial(
            row if pack_rows else padded,
            corpus,
            image=pictures.token,
            multiple=_ROUND if world.device.type == "cuda" else 1,
        )
        self._learnable = _learnable(corpus)
        with ExitStack() as stack:
            self.learner = _prepared(model, how, pictures, length, world, stack)
            self.trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
            self.optimizer = make_optimizer(
                self.trained,
                kind=how.optimizer,
                weight_decay=stage.weight_decay,
                rounding=how.rounding,
                seed=seed,
                rank=world.rank,
                compiled=how.compile and _compiles_float8(world.device),
            )
            stack.callback(self.optimizer.close)
            self._close = stack.pop_all()
        peak, self.peak_from = peak_operations(world.device, dtype)
        self.peak = peak * world.size
        self._energy = Energy(world.device)

    def close(self) -> None:
        """Leave the model as it was, trained."""
        self._close.close()

    def run(self, begun: int = 0) -> Iterator[tuple[int, Numbers]]:
        """Do the steps after those that are done; each is done when its numbers are given.

        Yields
        ------
        step, numbers : int, Numbers
            The first step of a stage is step 1.

        Raises
        ------
        ModelError
            If a loss or a gradient is not finite; the parameters are then from before the step.
        """
        batches = ahead(self._pieces(begun))
        for step in range(begun, self.count):
            yield step + 1, self._step(step, batches)

    def _groups(self, step: int) -> tuple[NDArray[np.int64], list[list[int]]]:
        chosen = self._training[self._plan.at(step)]
        return chosen, self._group(self._corpus.lengths[chosen])

    def _pieces(self, begun: int) -> Iterator[Callable[[], Batch]]:
        for step in range(begun, self.count):
            chosen, groups = self._groups(step)
            for group in groups[self._world.rank :: self._world.size]:
                yield partial(self._make, [int(chosen[n]) for n in group])

    def _step(self, step: int, batches: Iterator[Batch]) -> Numbers:
        began = time.monotonic()
        world, corpus = self._world, self._corpus
        chosen, groups = self._groups(step)
        learned = int(self._learnable[chosen].sum())
        # Dropout draws anew from the step: a run that goes on needs no state of it.
        torch.manual_seed(mix(self._seed, step, world.rank))
        self.optimizer.begin()
        total = torch.zeros((), dtype=torch.float64, device=world.device)
        try:
            for _ in range(len(groups) // world.size):
                loss = self.learner(next(batches).to(world.device))
                # FSDP2 takes the mean over processes; what is wanted is the mean over tokens.
                (loss * (world.size / learned)).backward()
                total += loss.detach()
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"step {step + 1} does not fit the memory of {world.device}: {error}",
                expected=f"room for {self._how.rows} sequences at once",
                hint="Lower train.rows, or set train.checkpointing = 'full'; until the first "
                "checkpoint, run --resume takes such a change",
            ) from error
        norm = self.optimizer.norm()
        summed, joules = world.sum(float(total), self._energy.joules() or 0.0)
        if not (math.isfinite(summed) and math.isfinite(norm)):
            raise ModelError(
                f"step {step + 1} has the loss {summed / learned} and a gradient of the norm "
                f"{norm}",
                expected="finite numbers",
                hint="The last checkpoint is from before. Begin again in another folder (--out) "
                "with a lower learning rate, or train.dtype = 'fp32'",
            )
        rate = self._stage.lr * schedule(step, self.count, self._stage.warmup)
        self.optimizer.step(rate, min(1.0, self._how.clip / (norm + 1e-6)))
        if world.device.type == "cuda":
            torch.cuda.synchronize(world.device)
        seconds = time.monotonic() - began
        lengths = corpus.lengths[chosen]
        seen = int(np.count_nonzero(corpus.pictures[chosen] >= 0))
        needed = self._work.operations(lengths.tolist(), learned, seen)
        tokens = int(lengths.sum())
        return Numbers(
            loss=summed / learned,
            rate=rate,
            norm=norm,
            tokens=tokens,
            learned=learned,
            seconds=seconds,
            tokens_per_s=tokens / seconds,
            mfu=needed / seconds / self.peak,
            memory=memory_used(world.device),
            joules=joules or None,
        )


def _prepared(
    model: Any, how: Train, pictures: Pictures, length: int, world: World, stack: ExitStack
) -> Learner:
    """Arrange attention, checkpointing, compilation and processes."""
    inner, said = model.model, model.config.text_config
    width = getattr(said, "head_dim", None) or said.hidden_size // said.num_attention_heads
    heads = said.num_attention_heads, said.num_key_value_heads, width
    learner = Learner(
        model,
        mean=pictures.mean,
        std=pictures.std,
        longest=length,
        varlen=works_varlen(world.device, DTYPES[how.dtype], heads),
        alike=world.size > 1,
    )
    stack.enter_context(packed(inner.language_model))
    compiled = how.compile and world.device.type == "cuda"
    stack.enter_context(activations.arranged(inner.language_model, how.checkpointing, compiled))
    if world.size > 1:
        tower = inner.vision_tower
        frozen = not any(parameter.requires_grad for parameter in tower.parameters())
        shard(learner, inner.language_model.layers, [tower] if frozen else [], world)
    train_mode(model)
    return learner


def _compiles_float8(device: torch.device) -> bool:
    """Whether Triton has kernels for float8 there: GPUs before Ada only convert it."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def train_mode(model: Any) -> None:
    """Let a model learn; a tower that is frozen sees as it always does."""
    model.train()
    if not any(parameter.requires_grad for parameter in model.model.vision_tower.parameters()):
        model.model.vision_tower.eval()


def _learnable(corpus: Corpus) -> NDArray[np.int64]:
    """Count the tokens of each conversation that a loss is taken on."""
    sums = np.concatenate([[0], np.cumsum(corpus.learned)])
    begins = corpus.bounds[:-1]
    # What comes first is predicted from nothing.
    found: NDArray[np.int64] = sums[corpus.bounds[1:]] - sums[begins] - corpus.learned[begins]
    return found
