"""One stage of training, from where it was left off to its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from astrollava.errors import InvalidRequest, NotEnoughSpace
from astrollava_training.dataset.corpus import Corpus
from astrollava_training.llava.assemble import Pictures
from astrollava_training.loop.about import describe
from astrollava_training.loop.evaluation import evaluate
from astrollava_training.loop.journal import Journal
from astrollava_training.loop.report import ABOUT
from astrollava_training.loop.saving import CHECKPOINTS, Keeper, write_whole
from astrollava_training.loop.spread import World
from astrollava_training.loop.steps import Steps, train_mode
from astrollava_training.parts import whole
from astrollava_training.recipe import Stage, Train

__all__ = ["WEIGHTS", "split", "train_stage"]

WEIGHTS = "weights.safetensors"
"""What a finished stage leaves in its folder: the parameters that it trained, whole."""


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
    if (folder / WEIGHTS).is_file():
        model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
        return
    training, held = split(corpus, held_out, seed)
    steps = Steps(
        model, corpus, training, stage, how, world,
        pictures=pictures, length=length, pack_rows=pack_rows, seed=seed,
    )  # fmt: skip
    with ExitStack() as stack:
        stack.callback(steps.close)
        incidents: list[Callable[[str], None]] = [print]
        keeper = Keeper(
            folder / CHECKPOINTS, world,
            _identity(corpus, stage, how, seed, length, pack_rows, held_out, steps.trained),
            lambda text: incidents[-1](text),
        )  # fmt: skip
        begun = _restore(keeper, steps)
        journal = Journal(folder, steps=steps.count, begun=begun, active=world.first)
        stack.callback(journal.close)
        incidents.append(journal.incident)
        if world.first:
            describe(
                folder / ABOUT, corpus, stage, how, training, held, model, world,
                steps=steps.count, peak=steps.peak, peak_from=steps.peak_from, pictures=pictures,
            )  # fmt: skip
        for step, numbers in steps.run(begun):
            last = step == steps.count
            journal.step(step, asdict(numbers))
            keeper.settle()
            if step % how.save_every == 0 and not last:
                keeper.save(step, _tensors(steps))
            if last or step % how.evaluate_every == 0:
                if len(held):
                    loss, samples = evaluate(
                        steps.learner, corpus, held, tokenizer, pictures.token,
                        plain=stage.template == "plain",
                    )  # fmt: skip
                    journal.evaluation(step, loss, samples)
                    train_mode(model)
                journal.report()
        keeper.settle(wait=True)
        _finish(folder, steps, world)


def split(corpus: Corpus, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what is held out, and leave out of training all that shows the same pictures.

    Returns
    -------
    training, held : ndarray of int64
        Numbers of conversations.

    Raises
    ------
    InvalidRequest
        If nothing is left to train on.
    """
    held = np.sort(np.random.default_rng([seed, 1 << 20]).permutation(len(corpus))[:held_out])
    seen = corpus.pictures[held]
    others = ~np.isin(np.arange(len(corpus)), held)
    others &= (corpus.pictures < 0) | ~np.isin(corpus.pictures, seen)
    if not others.any():
        raise InvalidRequest(
            f"{len(corpus)} conversations about {len({*corpus.pictures.tolist()} - {-1})} "
            f"pictures, of which {held_out} are held out, with all that show the same pictures",
            expected="some to train on",
            hint="Lower data.held_out in the recipe",
        )
    return np.flatnonzero(others), held


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
        "data": corpus.identity,
        "seed": seed,
        "length": length,
        "pack": pack_rows,
        "held_out": held_out,
        "trained parameters": [[name, list(p.shape)] for name, p in trained],
    }


def _tensors(steps: Steps) -> dict[str, torch.Tensor]:
    return {f"weight.{name}": _piece(p) for name, p in steps.trained} | {
        f"memory.{name}": value for name, value in steps.optimizer.state().items()
    }


def _piece(parameter: torch.Tensor) -> torch.Tensor:
    local: Any = getattr(parameter, "to_local", None)
    piece: torch.Tensor = parameter.detach() if local is None else local().detach()
    return piece


def _restore(keeper: Keeper, steps: Steps) -> int:
    """Put back the last checkpoint, if there is one, and return the steps done."""
    found = keeper.load()
    if found is None:
        return 0
    step, tensors = found
    for name, parameter in steps.trained:
        _piece(parameter).copy_(tensors[f"weight.{name}"])
    begins = "memory."
    memory = {n[len(begins) :]: value for n, value in tensors.items() if n.startswith(begins)}
    steps.optimizer.restore(memory, step)
    return step


def _finish(folder: Path, steps: Steps, world: World) -> None:
    """Write what was trained; then no checkpoint is needed."""
    gathered: dict[str, torch.Tensor] = {}
    for name, parameter in steps.trained:
        value = whole(parameter)  # all processes take part in each
        if world.first:
            gathered[name] = value.cpu()
    problem = ""
    if world.first:
        try:
            write_whole(folder / WEIGHTS, gathered)
            shutil.rmtree(folder / CHECKPOINTS)
        except OSError as error:
            problem = str(error) or type(error).__name__
    if world.sum(bool(problem))[0]:
        raise NotEnoughSpace(
            f"the trained weights could not be written to {folder}: {problem}",
            expected="room for them",
            hint="Make room and run the same command again: it goes on from the last checkpoint",
        )
    world.wait()
