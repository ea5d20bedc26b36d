"""The tower: trained from scratch on what volunteers saw, then used to encode pictures once.

This warms up what the paper's recipe takes from elsewhere (CLIP). A convolutional teacher learns
the pictures first; the tower learns from it, patch by patch, and from the votes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from transformers import LlavaForConditionalGeneration

from astrollava_training.config import ENCODED_AT_ONCE, Recipe
from astrollava_training.data.facts import GROUPS, LABELS, TARGETS, Facts
from astrollava_training.data.pool import Lesson, Pool, fill
from astrollava_training.data.stream import Pictures, stream
from astrollava_training.model import features, normalise, states
from astrollava_training.teacher import Teacher
from astrollava_training.train import Log, fit

__all__ = ["Encoded", "Readout", "encode", "label_accuracy", "pool", "teach", "tower"]

_VOTES = 0.5  # of the answers; the rest is learned from the teacher's, which are less noisy
_PATCHES = 5.0  # on the mean square by which a patch is missed, beside losses of several units
_SPREAD_OVER = 10  # batches


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features of pictures, float16 (n, tokens, width), and what is known about each."""

    features: NDArray[np.float16]
    facts: list[Facts]


class Readout(nn.Module):
    """What the tower is held against while it learns; dropped afterwards.

    Its answers come from the mean patch, its guesses at the teacher's features from each patch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.answers = nn.Linear(width, len(TARGETS))
        self.guesses = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map features (n, tokens, width) to logits (n, len(TARGETS))."""
        answers: torch.Tensor = self.answers(self.norm(states.mean(1)))
        return answers


def pool(
    path: Path, recipe: Recipe, train: Pictures, log: Log, *, workers: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the pictures that teacher and tower learn from into a file, as `fill` does."""
    drawn = recipe.pool
    batches = stream(
        train,
        count=drawn.batches,
        batch_size=ENCODED_AT_ONCE,
        real_share=drawn.real,
        size=recipe.vision.image_size,
        seed=recipe.seed_of("pool"),
        workers=workers,
    )
    answers = fill(path, batches, pictures=drawn.count, size=recipe.vision.image_size)
    log("pool", pictures=drawn.count)
    return answers


def teach(teacher: Teacher, recipe: Recipe, pictures: Pool, val: Pictures, log: Log) -> None:
    """Train the teacher to answer the Galaxy Zoo 2 tree, in place.

    Parameters
    ----------
    teacher : Teacher
    recipe : Recipe
    pictures : Pool
    val : sequence of (picture, Facts)
        Real pictures to report the accuracy on.
    log : Log
    """
    device = teacher.answers.weight.device

    def loss_of(lesson: Lesson) -> torch.Tensor:
        pixels, targets, weights = _tensors(lesson, device)
        return _tree_loss(teacher(pixels).float(), targets, weights)

    stage = recipe.teacher
    lessons = pictures.lessons(
        count=stage.steps, batch_size=stage.batch_size, seed=recipe.seed_of("teacher")
    )
    teacher.train()
    # Not averaged: the statistics of its norms belong to the weights as they are.
    fit("teacher", [teacher], stage, lessons, loss_of, log, average=0.0)
    teacher.eval()
    accuracy = label_accuracy(teacher, val, recipe.vision.image_size, device)
    log("teacher", val_label_accuracy=accuracy)


def tower(
    model: LlavaForConditionalGeneration,
    teacher: Teacher,
    recipe: Recipe,
    pictures: Pool,
    val: Pictures,
    log: Log,
) -> None:
    """Train the tower on what volunteers and the teacher see, in place.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    teacher : Teacher
        Finished; on the device of the model.
    recipe : Recipe
    pictures : Pool
    val : sequence of (picture, Facts)
        Real pictures to report the accuracy of the readout on.
    log : Log
    """
    teacher.eval()
    # Drawn on the CPU, as the model was: the same weights on every device.
    readout = Readout(recipe.vision.hidden_size).to(model.device)
    lessons = partial(pictures.lessons, batch_size=recipe.tower.batch_size)
    mean, scatter = _spread(
        teacher, lessons(count=_SPREAD_OVER, seed=recipe.seed_of("tower")), model.device
    )

    def loss_of(lesson: Lesson) -> torch.Tensor:
        pixels, targets, weights = _tensors(lesson, model.device)
        with torch.no_grad():
            shown = teacher.patches(pixels).float()
            taught = teacher.answers(shown.mean(1)).float()
        seen = states(model, pixels).float()
        answers = readout(seen).float()
        missed = (readout.guesses(seen).float() - (shown - mean) / scatter).square().mean()
        said = _VOTES * _tree_loss(answers, targets, weights) + (1 - _VOTES) * _tree_loss(
            answers, _softened(taught), _asked(weights)
        )
        total: torch.Tensor = _PATCHES * missed + said
        return total

    model.train()
    stage = recipe.tower
    seed = recipe.seed_of("tower")
    fit(
        "tower",
        [model.model.vision_tower, readout],
        stage,
        lessons(count=stage.steps, seed=seed),
        loss_of,
        log,
    )
    model.eval()

    def answer(pixels: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = readout(states(model, pixels))
        return answers

    accuracy = label_accuracy(answer, val, recipe.vision.image_size, model.device)
    log("tower", val_label_accuracy=accuracy)


def _tensors(
    lesson: Lesson, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels as networks take them, targets and weights."""
    pixels = normalise(torch.from_numpy(lesson.rgb).to(device))
    return (
        pixels,
        torch.from_numpy(lesson.targets).to(device),
        torch.from_numpy(lesson.weights).to(device),
    )


@torch.inference_mode()
def _spread(
    teacher: Teacher, lessons: Iterable[Lesson], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and scatter of each of the teacher's features, shape (width,)."""
    shown = torch.cat(
        [teacher.patches(_tensors(lesson, device)[0]).flatten(0, 1) for lesson in lessons]
    )
    # A feature that is always zero would otherwise be blown up to noise.
    return shown.mean(0), shown.std(0) + 1e-3


def _softened(logits: torch.Tensor) -> torch.Tensor:
    """Return the teacher's answers as fractions."""
    return torch.cat([logits[:, where].softmax(-1) for _, where in GROUPS], dim=-1)


def _asked(weights: torch.Tensor) -> torch.Tensor:
    """Return the weights with the class asked of every picture: the teacher always has one."""
    asked = weights.clone()
    asked[:, dict(GROUPS)["label"]] = 1.0
    return asked


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
    answer: Callable[[torch.Tensor], torch.Tensor],
    pictures: Pictures,
    size: int,
    device: torch.device,
) -> float:
    """Return the share of labelled pictures whose Galaxy10 class a network names.

    Pictures without a label do not count; at least one must have one.

    Parameters
    ----------
    answer : callable
        Pixels (n, 3, size, size) -> logits (n, len(TARGETS)).
    pictures : sequence of (picture, Facts)
    size : int
        Side that the network takes, in pixels.
    device : torch.device
        Where it takes them.
    """
    where = dict(GROUPS)["label"]
    labelled = [(rgb, facts.label) for rgb, facts in pictures if facts.label is not None]
    resized = np.stack(
        [
            np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BOX))
            for rgb, _ in labelled
        ]
    )
    logits = answer(normalise(torch.from_numpy(resized).to(device)))[:, where]
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
    """Encode the pictures of ``recipe.encoded`` once for the stages that leave the tower alone."""
    drawn = recipe.encoded
    kept = np.empty((drawn.count, recipe.image_tokens, recipe.vision.hidden_size), np.float16)
    facts: list[Facts] = []
    model.eval()
    for batch in stream(
        train,
        count=drawn.batches,
        batch_size=ENCODED_AT_ONCE,
        real_share=drawn.real,
        size=recipe.vision.image_size,
        seed=recipe.seed_of("encode"),
        workers=workers,
    ):
        states = features(model, torch.from_numpy(batch.rgb)).cpu().numpy()
        kept[len(facts) : len(facts) + ENCODED_AT_ONCE] = states
        facts.extend(batch.facts)
    log("encode", pictures=len(facts))
    return Encoded(kept, facts)
