"""A run of the from-scratch recipe: stage after stage, each kept, what is frozen proven frozen."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlavaForConditionalGeneration

from astrollava_training import stages
from astrollava_training.config import Recipe
from astrollava_training.data.facts import Facts
from astrollava_training.data.language import conversation
from astrollava_training.data.phrases import ASKED, UNSEEABLE
from astrollava_training.data.simulate import simulate
from astrollava_training.data.stream import load_split
from astrollava_training.data.tokens import train_tokenizer
from astrollava_training.model import PARTS, build, fingerprint
from astrollava_training.train import Log

__all__ = ["load", "run"]

_MOVES = {
    "tower": {"tower"},
    "words": {"language"},
    "align": {"projector"},
    "instruct": {"projector", "language"},
}
"""The parts each stage may change; any other must come out bit for bit as it went in."""


def run(
    recipe: Recipe, votes: str | PathLike[str], out: str | PathLike[str]
) -> tuple[LlavaForConditionalGeneration, Tokenizer]:
    """Train the model of a recipe.

    Parameters
    ----------
    recipe : Recipe
    votes : path
        ``votes.csv`` with the pictures beside it.
    out : path
        Folder for checkpoints and the log. A stage whose checkpoint is there is not run again.

    Returns
    -------
    model, tokenizer

    Raises
    ------
    RuntimeError
        If a stage moved what it had to leave alone, or left alone what it had to train.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    log = Log(folder)
    train, val = load_split(votes, "train"), load_split(votes, "val")
    tokenizer = _tokenizer(recipe, folder, [facts for _, facts in train])
    model = build(recipe, tokenizer)

    def stage(name: str, work: Callable[[], None]) -> None:
        kept = folder / f"{name}.pt"
        if kept.exists():
            model.load_state_dict(torch.load(kept, weights_only=True))
            return
        before = {part: fingerprint(model, part) for part in PARTS}
        work()
        after = {part: fingerprint(model, part) for part in PARTS}
        moved = {part for part in PARTS if before[part] != after[part]}
        if moved != _MOVES[name]:
            raise RuntimeError(
                f"stage {name} moved {sorted(moved)}; it trains {sorted(_MOVES[name])}"
            )
        log(name, frozen=" ".join(sorted(set(PARTS) - moved)) + " unchanged by hash")
        torch.save(model.state_dict(), kept)

    stage("tower", lambda: stages.tower(model, recipe, train, val, log))
    encoded = _encoded(model, recipe, train, folder, log)
    stage("words", lambda: stages.words(model, recipe, tokenizer, encoded.facts, log))
    stage("align", lambda: stages.align(model, recipe, tokenizer, encoded, log))
    stage("instruct", lambda: stages.instruct(model, recipe, tokenizer, encoded, log))
    return model.eval(), tokenizer


def load(
    recipe: Recipe, out: str | PathLike[str]
) -> tuple[LlavaForConditionalGeneration, Tokenizer]:
    """Load the model of a finished run.

    Raises
    ------
    FileNotFoundError
        If the last stage has not been finished in that folder.
    """
    folder = Path(out)
    last = folder / "instruct.pt"
    if not last.exists():
        raise FileNotFoundError(f"{folder} holds no finished run: there is no {last.name} in it")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = build(recipe, tokenizer)
    model.load_state_dict(torch.load(last, weights_only=True))
    return model.eval(), tokenizer


def _tokenizer(recipe: Recipe, folder: Path, facts: Sequence[Facts]) -> Tokenizer:
    kept = folder / "tokenizer.json"
    if kept.exists():
        return Tokenizer.from_file(str(kept))
    rng = np.random.default_rng(recipe.seed)
    known = [*facts, *simulate(512, size=recipe.vision.image_size, seed=recipe.seed)[1]]
    asked = [question for wordings in ASKED.values() for question in wordings] + list(UNSEEABLE)
    texts = [f"USER: \n{question} ASSISTANT:" for question in asked] * 20
    for one in known:
        texts += [f"USER: {q} ASSISTANT: {a}" for q, a in conversation(one, rng)]
    tokenizer = train_tokenizer(texts, recipe.language.vocab_size)
    tokenizer.save(str(kept))
    return tokenizer


def _encoded(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    train: stages.Pictures,
    folder: Path,
    log: Log,
) -> stages.Encoded:
    """Return the encoded pictures of an earlier, interrupted run, or new ones."""
    kept = folder / "encoded.npy"
    known = folder / "facts.pkl"  # written by this very function: not a file to take from others
    if kept.exists() and known.exists():
        return stages.Encoded(np.load(kept, mmap_mode="r"), pickle.loads(known.read_bytes()))  # noqa: S301
    encoded = stages.encode(model, recipe, train, log)
    np.save(kept, encoded.features)
    known.write_bytes(pickle.dumps(encoded.facts))
    return encoded
