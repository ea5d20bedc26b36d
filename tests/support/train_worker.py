"""Trains tiny stages in processes of their own, to be killed or run several at once.

``python train_worker.py FOLDER SETTINGS``: the settings are a JSON list, see `run`.

``python train_worker.py JOBS``: the jobs are a JSON list of ``[FOLDER, SETTINGS, STEPS]``, each in
a process of its own, one after another. One with a number of steps is killed when so many are
written down. Prints what each ended with.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

import tiny_corpus
from astrollava_training.llava.stages import prepare
from astrollava_training.loop.spread import World, joined
from astrollava_training.loop.stage import train_stage
from astrollava_training.recipe import Lora, Stage, Train
from self_killing import die_at

__all__ = ["losses", "run"]


def run(folder: Path, world: World, name: str = "stage2", **settings: Any) -> None:
    """Train a stage on 24 conversations; settings are of `Stage` and `Train`, lora a dropout."""
    dropout = settings.pop("lora", None)
    lora = None if dropout is None else Lora(rank=2, alpha=4.0, dropout=dropout)
    kept = {one.name for one in fields(Stage)}
    stage: dict[str, Any] = {
        "data": ("rows.json",), "template": "v1", "trains": ("projector", "language"),
        "lr": 2e-3, "batch": 6, "epochs": 2.0, "lora": lora,
    } | {k: v for k, v in settings.items() if k in kept}  # fmt: skip
    how: dict[str, Any] = {
        "dtype": "fp32", "optimizer": "adamw", "rows": 1, "save_every": 2, "evaluate_every": 4,
        "checkpointing": "none",
    } | {k: v for k, v in settings.items() if k not in kept}  # fmt: skip
    held = how.pop("held_out", 0)
    made = tiny_corpus.model()
    prepare(made, Stage(**stage), 0)
    if world.first:
        corpus = tiny_corpus.corpus(folder, 24)
    world.wait()
    corpus = tiny_corpus.corpus(folder, 24) if not world.first else corpus
    train_stage(
        made, tiny_corpus.tokenizer(), corpus, Stage(**stage), Train(**how), folder / name, world,
        pictures=tiny_corpus.PICTURES, length=512, held_out=held,
    )  # fmt: skip


def losses(folder: Path, name: str = "stage2") -> list[tuple[int, float]]:
    """Return what was written down: steps and their losses."""
    text = (folder / name / "steps.jsonl").read_text()
    return [(line["step"], line["loss"]) for line in map(json.loads, text.splitlines())]


def _train(folder: Path, settings: list[dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as here:
        for number, one in enumerate(settings):
            run(folder, here, f"stage{number}", **one)


def _in_turn(jobs: list[tuple[str, list[dict[str, Any]], int | None]]) -> list[int]:
    """Do jobs in children of this process, which spares each the start; return how they ended."""
    ended = []
    for name, settings, steps in jobs:
        folder = Path(name)
        child = os.fork()
        if child == 0:
            if steps is not None:
                die_at(folder / "stage0" / "steps.jsonl", steps)
            _train(folder, settings)
            os._exit(0)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ended


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(_in_turn(json.loads(sys.argv[1]))))
    else:
        _train(Path(sys.argv[1]), json.loads(sys.argv[2]))
