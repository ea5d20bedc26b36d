"""A run of the from-scratch recipe: stage after stage, each kept, what is frozen proven frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

from astrollava.errors import InvalidRequest, ModelError, ModelNotFound
from astrollava_training import seeing, speaking
from astrollava_training.checkpoints import Checkpoints
from astrollava_training.config import Recipe
from astrollava_training.data.facts import Facts
from astrollava_training.data.language import conversation
from astrollava_training.data.phrases import ASKED, UNSEEABLE
from astrollava_training.data.simulate import simulate
from astrollava_training.data.stream import load_split
from astrollava_training.data.tokens import train_tokenizer
from astrollava_training.model import build
from astrollava_training.parts import PARTS, fingerprint
from astrollava_training.teacher import Teacher
from astrollava_training.train import Log

__all__ = ["MOVES", "load", "run"]

MOVES = {
    "tower": {"tower"},
    "words": {"language"},
    "align": {"projector"},
    "instruct": {"projector", "language"},
}
"""The parts each stage may change; any other must come out bit for bit as it went in."""

_LAST = "instruct"


def run(
    recipe: Recipe,
    votes: str | PathLike[str],
    out: str | PathLike[str],
    *,
    device: str | torch.device = "cpu",
    workers: int = 1,
) -> tuple[LlavaForConditionalGeneration, Tokenizer]:
    """Train the model of a recipe.

    On the same machine, with the same versions and number of threads, the same recipe and table
    give the same weights, whether the run was interrupted or not.

    Parameters
    ----------
    recipe : Recipe
    votes : path
        ``votes.csv`` with the pictures beside it.
    out : path
        Folder for checkpoints and the log. A stage whose checkpoint is there is not run again.
    device : str or torch.device
        Where to train; the pictures are simulated on the CPU wherever that is.
    workers : int
        Processes that simulate. What they make does not depend on their number.

    Returns
    -------
    model, tokenizer

    Raises
    ------
    InvalidRequest
        If the table lacks training or labelled validation pictures, or the folder holds a run of
        another recipe or table.
    ModelError
        If a stage moved what it had to leave alone, left alone what it had to train, or met numbers
        that are not finite.
    """
    train, val = load_split(votes, "train"), load_split(votes, "val")
    if not train or all(facts.label is None for _, facts in val):
        raise InvalidRequest(
            f"{votes} has {len(train)} pictures in its split 'train' and "
            f"{sum(facts.label is not None for _, facts in val)} with a class in 'val'",
            expected="at least one of each",
        )
    kept = Checkpoints(Path(out))
    kept.claim(recipe, Path(votes))
    log = Log(kept.folder)
    tokenizer = kept.tokenizer(lambda: _tokenizer(recipe, [facts for _, facts in train]))
    model = build(recipe, tokenizer).to(device)
    teacher = Teacher(recipe.vision)
    # Convolutions on a CPU are fastest with channels last; torch's stubs do not know it here.
    teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stage(name: str, work: Callable[[], None]) -> None:
        if not kept.restore(name, model):
            log(name, frozen=" ".join(_proven(model, name, work)) + " unchanged by hash")
            kept.save(name, model)

    def taught() -> None:
        # Nothing else is to do while the pool is drawn: every core may.
        drawing = max(workers, os.cpu_count() or 1) if workers else 0
        pictures = kept.pool(lambda path: seeing.pool(path, recipe, train, log, workers=drawing))
        if not kept.restore("teacher", teacher):
            seeing.teach(teacher, recipe, pictures, val, log)
            kept.save("teacher", teacher)
        seeing.tower(model, teacher, recipe, pictures, val, log)

    stage("tower", taught)
    seen = kept.encoded(lambda: seeing.encode(model, recipe, train, log, workers=workers))
    stage("words", lambda: speaking.words(model, recipe, tokenizer, seen.facts, log))
    stage("align", lambda: speaking.align(model, recipe, tokenizer, seen, log))
    stage("instruct", lambda: speaking.instruct(model, recipe, tokenizer, seen, log))
    return model.eval(), tokenizer


def load(
    recipe: Recipe, out: str | PathLike[str]
) -> tuple[LlavaForConditionalGeneration, Tokenizer]:
    """Load the model of a finished run, on the CPU.

    Raises
    ------
    ModelNotFound
        If the last stage has not been finished in that folder.
    InvalidRequest
        If the folder is that of another recipe.
    """
    kept = Checkpoints(Path(out))
    kept.check(recipe)
    tokenizer = kept.tokenizer()
    if tokenizer is not None:
        model = build(recipe, tokenizer)
        if kept.restore(_LAST, model):
            return model.eval(), tokenizer
    raise ModelNotFound(
        f"{out} holds no finished run",
        expected=f"the checkpoint of the stage {_LAST!r} and the tokenizer",
        hint="Finish it with astrollava-train run; finished stages are not run again",
    )


def _proven(model: LlavaForConditionalGeneration, name: str, work: Callable[[], None]) -> list[str]:
    """Run a stage and return the parts it left alone, or raise unless they are the right ones."""
    before = {part: fingerprint(model, part) for part in PARTS}
    work()
    moved = {part for part in PARTS if fingerprint(model, part) != before[part]}
    if moved != MOVES[name]:
        raise ModelError(
            f"stage {name} moved {sorted(moved)}", expected=f"{sorted(MOVES[name])}, and all of it"
        )
    return sorted(set(PARTS) - moved)


def _tokenizer(recipe: Recipe, facts: Sequence[Facts]) -> Tokenizer:
    """Train the tokenizer on what the model will be asked and taught."""
    rng = np.random.default_rng(recipe.seed)
    known = [*facts, *simulate(512, size=recipe.vision.image_size, seed=recipe.seed)[1]]
    asked = [question for wordings in ASKED.values() for question in wordings] + list(UNSEEABLE)
    texts = [f"USER: \n{question} ASSISTANT:" for question in asked] * 20
    for one in known:
        texts += [f"USER: {q} ASSISTANT: {a}" for q, a in conversation(one, rng)]
    return train_tokenizer(texts, recipe.language.vocab_size)
