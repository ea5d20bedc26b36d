"""Trains a tiny stage in a process of its own, to be killed or run several at once.

``python train_worker.py FOLDER SETTINGS``: the settings are JSON, see `run`.
"""

from __future__ import annotations

import json
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as here:
        for number, one in enumerate(json.loads(sys.argv[2])):
            run(Path(sys.argv[1]), here, f"stage{number}", **one)
