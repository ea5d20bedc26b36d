"""One stage of training, from where it was left off to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest, ModelError, NotEnoughSpace
from astrollava_training.dataset.batches import Batch, ahead, padded, row
from astrollava_training.dataset.corpus import Corpus
from astrollava_training.dataset.packing import Schedule, pack, pad
from astrollava_training.llava.assemble import DTYPES, Pictures
from astrollava_training.loop import activations
from astrollava_training.loop.attention import packed, works_varlen
from astrollava_training.loop.evaluation import evaluate
from astrollava_training.loop.forward import Learner
from astrollava_training.loop.journal import Journal
from astrollava_training.loop.optimizer import make_optimizer
from astrollava_training.loop.pace import Energy, Work, memory_used, peak_operations
from astrollava_training.loop.rounding import mix
from astrollava_training.loop.saving import Keeper, write_whole
from astrollava_training.loop.spread import World, shard
from astrollava_training.parts import whole
from astrollava_training.recipe import Stage, Train
from astrollava_training.train import schedule

__all__ = ["WEIGHTS", "train_stage"]

WEIGHTS = "weights.safetensors"
"""What a finished stage leaves in its folder: the parameters that it trained, whole."""

_ROUND = 128  # tokens; a GPU's products of matrices are fastest with a multiple of this


def train_stage(
    model: Any,
    tokenizer: Any,
    corpus: Corpus,
    stage: Stage,
    how: Train,
    folder: Path,
    world: World,
    *,
    pictures: Pictures,
    length: int,
    pack_rows: bool = True,
    held_out: int = 0,
    seed: int = 0,
) -> None:
    """Train a stage, or what is left of it, and write what it trained.

    Losses are the same to the bit whether the run was killed on the way or not, on the same machine
    with the same versions, threads and number of processes.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        Its parameters with ``requires_grad`` are trained, in place. In more than one process it is
        split, and of no further use afterwards: read `WEIGHTS` into a new one.
    tokenizer : transformers tokenizer
    corpus : Corpus
    stage : Stage
    how : Train
    folder : Path
        Of the stage: ``weights.safetensors`` at its end, checkpoints until then, and the journal.
    world : World
    pictures : Pictures
    length : int
        Tokens of a sequence.
    pack_rows : bool
        Fill each sequence with several conversations; otherwise each is padded to the longest.
    held_out : int
        Conversations, with all others about the same pictures, that are not trained on.
    seed : int
        Of the order, dropout and rounding.

    Raises
    ------
    InvalidRequest
        If the folder holds a checkpoint of another run, or nothing is left to train on.
    ModelError
        If a loss or a gradient is not finite; the last checkpoint is from before.
    NotEnoughSpace
        If the trained weights cannot be written at the end; the last checkpoint is kept.
    """
    if world.first:
        folder.mkdir(parents=True, exist_ok=True)
    world.wait()
    training, held = _split(corpus, held_out, seed)
    plan = Schedule(len(training), stage.batch, stage.epochs, seed)
    dtype = DTYPES[how.dtype]
    model.to(world.device, dtype)
    work = Work.of(model, pictures.tokens)
    with ExitStack() as stack:
        learner = _prepared(model, how, pictures, length, world, stack)
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        optimizer = make_optimizer(
            trained, kind=how.optimizer, weight_decay=stage.weight_decay, rounding=how.rounding,
            seed=seed, rank=world.rank, compiled=how.compile and world.device.type == "cuda",
        )  # fmt: skip
        stack.callback(optimizer.close)
        incidents: list[Callable[[str], None]] = [print]
        keeper = Keeper(
            folder / "checkpoints", world,
            _identity(corpus, stage, how, seed, length, pack_rows, held_out, trained),
            lambda text: incidents[-1](text),
        )  # fmt: skip
        begun = _restore(keeper, trained, optimizer)
        journal = Journal(folder, steps=plan.steps, begun=begun, active=world.first)
        stack.callback(journal.close)
        incidents.append(journal.incident)
        peak, _ = peak_operations(world.device, dtype)
        energy = Energy(world.device)
        learnable = _learnable(corpus)

        def groups(step: int) -> tuple[NDArray[np.int64], list[list[int]]]:
            chosen = training[plan.at(step)]
            lengths = corpus.lengths[chosen]
            if pack_rows:
                return chosen, pack(lengths, how.rows * length, world.size)
            return chosen, pad(lengths, how.rows, world.size)

        make = partial(
            row if pack_rows else padded, corpus, image=pictures.token,
            multiple=_ROUND if world.device.type == "cuda" else 1,
        )  # fmt: skip

        def pieces() -> Iterator[Callable[[], Batch]]:
            for step in range(begun, plan.steps):
                chosen, parts = groups(step)
                for part in parts[world.rank :: world.size]:
                    yield partial(make, [int(chosen[n]) for n in part])

        batches = ahead(pieces())
        for step in range(begun, plan.steps):
            began = time.monotonic()
            chosen, parts = groups(step)
            learned = int(learnable[chosen].sum())
            # Dropout draws anew from the step: a run that goes on needs no state of it.
            torch.manual_seed(mix(seed, step, world.rank))
            optimizer.begin()
            total = torch.zeros((), dtype=torch.float64, device=world.device)
            for _ in range(len(parts) // world.size):
                loss = learner(next(batches).to(world.device))
                # FSDP2 takes the mean over processes; what is wanted is the mean over tokens.
                (loss * (world.size / learned)).backward()
                total += loss.detach()
            norm = optimizer.norm()
            loss_here = float(total)
            summed, spent = world.sum(loss_here, energy.joules() or 0.0)
            if not (math.isfinite(summed) and math.isfinite(norm)):
                raise ModelError(
                    f"step {step + 1} has the loss {summed / learned} and a gradient of the norm "
                    f"{norm}",
                    expected="finite numbers",
                    hint="The last checkpoint is from before. Try a lower learning rate, or "
                    "train.dtype = 'fp32'",
                )
            rate = stage.lr * schedule(step, plan.steps, stage.warmup)
            optimizer.step(rate, min(1.0, how.clip / (norm + 1e-6)))
            keeper.settle()
            last = step + 1 == plan.steps
            if (step + 1) % how.save_every == 0 and not last:
                keeper.save(step + 1, _tensors(trained, optimizer))
            seconds = time.monotonic() - began
            tokens = int(corpus.lengths[chosen].sum())
            needed = work.operations(
                corpus.lengths[chosen].tolist(), learned,
                int(np.count_nonzero(corpus.pictures[chosen] >= 0)),
            )  # fmt: skip
            journal.step(
                step + 1,
                {
                    "loss": summed / learned,
                    "rate": rate,
                    "norm": norm,
                    "tokens": tokens,
                    "learned": learned,
                    "seconds": seconds,
                    "tokens_per_s": tokens / seconds,
                    "mfu": needed / seconds / (peak * world.size),
                    "memory": memory_used(world.device),
                    "joules": spent or None,
                },
            )
            if len(held) and (last or (step + 1) % how.evaluate_every == 0):
                journal.evaluation(
                    step + 1, *evaluate(learner, corpus, held, tokenizer, pictures.token)
                )
                _train_mode(learner.model)
        keeper.settle(wait=True)
        _finish(folder, trained, world)


def _split(corpus: Corpus, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what is held out, and leave out of training all that shows the same pictures."""
    held = np.sort(np.random.default_rng([seed, 1 << 20]).permutation(len(corpus))[:held_out])
    seen = corpus.pictures[held]
    others = ~np.isin(np.arange(len(corpus)), held)
    others &= (corpus.pictures < 0) | ~np.isin(corpus.pictures, seen)
    if not others.any():
        raise InvalidRequest(
            f"{len(corpus)} conversations, of which {held_out} are held out",
            expected="some to train on",
            hint="Lower data.held_out in the recipe",
        )
    return np.flatnonzero(others), held


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
    _train_mode(model)
    return learner


def _train_mode(model: Any) -> None:
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


def _identity(
    corpus: Corpus,
    stage: Stage,
    how: Train,
    seed: int,
    length: int,
    pack_rows: bool,
    held_out: int,
    trained: Sequence[tuple[str, torch.nn.Parameter]],
) -> Mapping[str, Any]:
    # As JSON has it, where tuples are lists; how often something is kept changes no number.
    settings = {**asdict(stage), **asdict(how)}
    for name in ("data", "save_every", "evaluate_every"):
        del settings[name]
    return {
        **{name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        "lora": None if stage.lora is None else repr(stage.lora),
        "corpus": corpus.identity,
        "seed": seed,
        "length": length,
        "pack": pack_rows,
        "held_out": held_out,
        "parameters": [[name, list(p.shape)] for name, p in trained],
    }


def _tensors(
    trained: Sequence[tuple[str, torch.nn.Parameter]], optimizer: Any
) -> dict[str, torch.Tensor]:
    return {f"weight.{name}": _piece(p) for name, p in trained} | {
        f"memory.{name}": value for name, value in optimizer.state().items()
    }


def _piece(parameter: torch.Tensor) -> torch.Tensor:
    local: Any = getattr(parameter, "to_local", None)
    piece: torch.Tensor = parameter.detach() if local is None else local().detach()
    return piece


def _restore(
    keeper: Keeper, trained: Sequence[tuple[str, torch.nn.Parameter]], optimizer: Any
) -> int:
    found = keeper.load()
    if found is None:
        return 0
    step, tensors = found
    for name, parameter in trained:
        _piece(parameter).copy_(tensors[f"weight.{name}"])
    begins = "memory."
    optimizer.restore(
        {n[len(begins) :]: value for n, value in tensors.items() if n.startswith(begins)}, step
    )
    return step


def _finish(folder: Path, trained: Sequence[tuple[str, torch.nn.Parameter]], world: World) -> None:
    gathered: dict[str, torch.Tensor] = {}
    for name, parameter in trained:
        value = whole(parameter)  # all processes take part in each
        if world.first:
            gathered[name] = value.cpu()
    problem = ""
    if world.first:
        try:
            write_whole(folder / WEIGHTS, gathered)
        except OSError as error:
            problem = str(error) or type(error).__name__
    if world.sum(bool(problem))[0]:
        raise NotEnoughSpace(
            f"the trained weights could not be written to {folder}: {problem}",
            expected="room for them",
            hint="Make room and run the same command again: it goes on from the last checkpoint",
        )
    world.wait()
