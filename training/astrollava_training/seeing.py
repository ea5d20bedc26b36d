"""The tower: trained from scratch on what volunteers saw, then used to encode pictures once.

This warms up what the paper's recipe takes from elsewhere (CLIP).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from transformers import LlavaForConditionalGeneration

from astrollava_training.config import ENCODED_AT_ONCE, Recipe
from astrollava_training.data.facts import GROUPS, LABELS, TARGETS, Facts
from astrollava_training.data.stream import Batch, Pictures, stream
from astrollava_training.model import features
from astrollava_training.train import Log, fit

__all__ = ["Encoded", "Readout", "encode", "label_accuracy", "tower"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features of pictures, float16 (n, tokens, width), and what is known about each."""

    features: NDArray[np.float16]
    facts: list[Facts]


class Readout(nn.Module):
    """Answers to the questions of the tree from the mean patch; dropped after the warm-up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.answers = nn.Linear(width, len(TARGETS))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map features (n, tokens, width) to logits (n, len(TARGETS))."""
        answers: torch.Tensor = self.answers(self.norm(states.mean(1)))
        return answers


def tower(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    train: Pictures,
    val: Pictures,
    log: Log,
    *,
    workers: int = 1,
) -> None:
    """Train the tower to answer the Galaxy Zoo 2 tree, in place.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    recipe : Recipe
    train, val : sequence of (picture, Facts)
        Real pictures to learn from, and to report the accuracy of the readout on.
    log : Log
    workers : int
        Processes that simulate.
    """
    stage = recipe.tower
    # Drawn on the CPU, as the model was: the same weights on every device.
    readout = Readout(recipe.vision.hidden_size).to(model.device)
    batches = stream(
        train,
        count=stage.steps,
        batch_size=stage.batch_size,
        real_share=stage.real,
        size=recipe.vision.image_size,
        seed=recipe.seed_of("tower"),
        workers=workers,
    )

    def loss_of(batch: Batch) -> torch.Tensor:
        vectors = [facts.vector() for facts in batch.facts]
        targets, weights = (
            torch.from_numpy(np.stack(part)).to(model.device) for part in zip(*vectors, strict=True)
        )
        return _tree_loss(readout(features(model, torch.from_numpy(batch.rgb))), targets, weights)

    model.train()
    fit("tower", [model.model.vision_tower, readout], stage, batches, loss_of, log)
    log("tower", val_label_accuracy=label_accuracy(model, readout, val, recipe.vision.image_size))


def _tree_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the voters' fractions, each question as far as it was reached."""
    total = logits.new_zeros(())
    for question, where in GROUPS:
        per_picture = -(targets[:, where] * logits[:, where].log_softmax(-1)).sum(-1)
        emphasis = 2.0 if question == "label" else 1.0
        total = total + emphasis * (per_picture * weights[:, where.start]).mean()
    return total


@torch.inference_mode()
def label_accuracy(
    model: LlavaForConditionalGeneration, readout: nn.Module, pictures: Pictures, size: int
) -> float:
    """Return the share of labelled pictures whose Galaxy10 class the warm-up's readout names.

    Pictures without a label do not count; at least one must have one.
    """
    where = dict(GROUPS)["label"]
    labelled = [(rgb, facts.label) for rgb, facts in pictures if facts.label is not None]
    resized = np.stack(
        [
            np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BOX))
            for rgb, _ in labelled
        ]
    )
    model.eval()
    logits = readout(features(model, torch.from_numpy(resized)))[:, where]
    named = [LABELS[int(i)] for i in logits.argmax(-1)]
    return float(np.mean([name == label for name, (_, label) in zip(named, labelled, strict=True)]))


@torch.inference_mode()
def encode(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    train: Pictures,
    log: Log,
    *,
    workers: int = 1,
) -> Encoded:
    """Encode ``recipe.encoded`` pictures once for the stages that leave the tower alone."""
    count, width = recipe.encoded // ENCODED_AT_ONCE, recipe.vision.hidden_size
    kept = np.empty((count * ENCODED_AT_ONCE, recipe.image_tokens, width), np.float16)
    facts: list[Facts] = []
    model.eval()
    for batch in stream(
        train,
        count=count,
        batch_size=ENCODED_AT_ONCE,
        real_share=recipe.instruct.real,
        size=recipe.vision.image_size,
        seed=recipe.seed_of("encode"),
        workers=workers,
    ):
        states = features(model, torch.from_numpy(batch.rgb)).cpu().numpy()
        kept[len(facts) : len(facts) + ENCODED_AT_ONCE] = states
        facts.extend(batch.facts)
    log("encode", pictures=len(facts))
    return Encoded(kept, facts)
