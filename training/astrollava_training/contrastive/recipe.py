"""The recipe of a tower: ``kind = "tower"``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from astrollava_training.tables import RecipeError, check_name

__all__ = ["Contrast", "Pairs", "TowerRecipe"]


@dataclass(frozen=True)
class Pairs:
    """Pictures and captions.

    Attributes
    ----------
    files : tuple of str
        As ``data`` of `astrollava_training.recipe.Stage`; the caption of a picture is the first
        answer about it.
    images : str
        As in `astrollava_training.recipe.Data`.
    render : {"pad", "crop", "stretch"}
        How pictures are made square.
    corrupt : float
        Largest share of rows and pictures that may be corrupt, in [0, 1).
    held_out : int
        Pictures not trained on, by which the tower is judged before and after.
    """

    files: tuple[str, ...]
    images: str = "."
    render: Literal["pad", "crop", "stretch"] = "pad"
    corrupt: float = 0.01
    held_out: int = 256

    def __post_init__(self) -> None:
        if not self.files:
            raise RecipeError("data.files is empty", expected="one file at least")
        if not 0 <= self.corrupt < 1 or self.held_out < 2:
            raise RecipeError(
                f"data.corrupt is {self.corrupt}, data.held_out {self.held_out}",
                expected="a share in [0, 1), and at least two pictures to tell apart",
            )


@dataclass(frozen=True)
class Contrast:
    """How a tower and its text encoder learn which caption belongs to which picture.

    Attributes
    ----------
    lr : float
        Peak of the learning rate.
    batch : int
        Pairs a step: each picture is told from the captions of all others.
    epochs : float
        Passes over the data.
    warmup : float
        Share of the steps in which the learning rate rises, in [0, 1); it falls along a cosine.
    weight_decay : float
        Of matrices.
    save_every : int
        Steps between checkpoints.
    """

    lr: float = 1e-5
    batch: int = 256
    epochs: float = 5.0
    warmup: float = 0.05
    weight_decay: float = 0.2
    save_every: int = 200

    def __post_init__(self) -> None:
        if self.batch < 2 or self.save_every < 1:
            raise RecipeError(
                f"train.batch is {self.batch}, train.save_every {self.save_every}",
                expected="a batch of two or more, and a step at least between checkpoints",
            )
        if not (self.lr > 0 and self.epochs > 0 and self.weight_decay >= 0):
            raise RecipeError(
                f"lr {self.lr}, epochs {self.epochs}, weight_decay {self.weight_decay}",
                expected="lr and epochs above 0, and no negative decay",
            )
        if not 0 <= self.warmup < 1:
            raise RecipeError(f"warmup is {self.warmup}", expected="warmup in [0, 1)")


@dataclass(frozen=True)
class TowerRecipe:
    """Everything the training of a tower depends on, data and pretrained weights apart.

    Attributes
    ----------
    name : str
        Of the run and its folder.
    start : str
        A CLIP or SigLIP of transformers with its text encoder (a folder, or a repository of the
        hub), or one of open_clip: ``open_clip:NAME:PRETRAINED``, and ``open_clip:NAME`` for weights
        at random. A model with a bias of its logits learns by SigLIP's loss, others by CLIP's.
    data : Pairs
    seed : int
        Decides the order of the data, and weights at random.
    train : Contrast
    """

    name: str
    start: str
    data: Pairs
    seed: int = 0
    train: Contrast = field(default_factory=Contrast)

    def __post_init__(self) -> None:
        check_name(self.name)
