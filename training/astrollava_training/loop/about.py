"""What the report says of a stage beside its numbers: machine, model, data."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from astrollava_training.dataset.corpus import Corpus
from astrollava_training.llava.assemble import Pictures
from astrollava_training.loop.report import thumbnails
from astrollava_training.loop.spread import World
from astrollava_training.recipe import Stage, Train

__all__ = ["describe"]

_LEFT_OUT_SHOWN = 20


def describe(
    path: Path,
    corpus: Corpus,
    stage: Stage,
    how: Train,
    training: NDArray[np.int64],
    held: NDArray[np.int64],
    model: Any,
    world: World,
    *,
    steps: int,
    peak: float,
    peak_from: str,
    pictures: Pictures,
) -> None:
    """Write down what a stage is, once, before its first step.

    Parameters
    ----------
    path : Path
        A JSON file.
    corpus, stage, how, training, held, model, world
        As in `astrollava_training.loop.stage.train_stage`; `training` and `held` are from
        `astrollava_training.loop.stage.split`.
    steps : int
        Of the stage.
    peak : float
        Operations a second that all devices can do.
    peak_from : str
        How that is known.
    pictures : Pictures
    """
    kind = world.device.type
    device = torch.cuda.get_device_name(world.device) if kind == "cuda" else platform.machine()
    shown = sorted({int(n) for n in corpus.pictures[held] if n >= 0})
    about = {
        "machine": f"{world.size} x {device}, {os.cpu_count()} cores",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"Python {platform.python_version()}",
        "trains": ", ".join(stage.trains) + (" by LoRA" if stage.lora else ""),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in model.parameters()),
        "template": stage.template,
        # Weights in fp32 are never rounded, whatever the recipe says.
        "how": f"{how.dtype}, {how.optimizer}, "
        + (f"{how.rounding} rounding, " if how.dtype == "bf16" else "")
        + f"checkpointing {how.checkpointing}, learning rate {stage.lr:g}",
        "steps": steps,
        "batch": stage.batch,
        "peak": peak,
        "peak_from": peak_from,
        "files": ", ".join(stage.data),
        "conversations": len(corpus),
        "pictures": int(np.unique(corpus.pictures[corpus.pictures >= 0]).size),
        "render": f"{pictures.size} x {pictures.size}, rule {pictures.rule}, "
        f"background {list(pictures.background)}",
        "left_out": len(corpus.bad),
        "shortened": len(corpus.shortened),
        "held_out": len(held),
        "set_aside": len(corpus) - len(training) - len(held),
        "first_left_out": [asdict(row) for row in corpus.bad[:_LEFT_OUT_SHOWN]],
        "thumbnails": thumbnails(corpus.shades, shown),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
