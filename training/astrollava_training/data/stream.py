"""Pictures for training, simulated and real: batch ``k`` is the same in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from astrollava_training.data.augment import augment
from astrollava_training.data.facts import Facts
from astrollava_training.data.galaxies import read_votes
from astrollava_training.data.simulate import simulate

__all__ = ["Batch", "Pictures", "load_split", "stream"]

Pictures = Sequence[tuple[NDArray[np.uint8], Facts]]
"""Real pictures, uint8 (height, width, 3) and square, with what is known about each."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures as uint8 (n, size, size, 3) and what is known about each."""

    rgb: NDArray[np.uint8]
    facts: list[Facts]


def load_split(votes: str | PathLike[str], split: str) -> list[tuple[NDArray[np.uint8], Facts]]:
    """Read the real pictures of a split: ``"train"``, ``"val"`` or ``"test"``."""
    return [(_opened(path), facts) for path, _, facts in read_votes(votes, split=split)]


def _opened(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


class _Batches(Dataset[Batch]):
    """Batch ``k`` as a function of the seed and ``k`` alone."""

    def __init__(
        self,
        real: Pictures,
        *,
        count: int,
        batch_size: int,
        real_share: float,
        size: int,
        seed: int,
    ) -> None:
        self.real, self.count, self.batch_size = real, count, batch_size
        self.real_share, self.size, self.seed = real_share, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((self.seed, index))
        wanted = rng.binomial(self.batch_size, self.real_share) if self.real else 0
        rgb, facts = simulate(
            self.batch_size - wanted, size=self.size, seed=int(rng.integers(2**31))
        )
        chosen = (
            [self.real[int(i)] for i in rng.integers(len(self.real), size=wanted)] if wanted else []
        )
        augmented = [augment(picture, rng, size=self.size) for picture, _ in chosen]
        return Batch(
            np.concatenate([rgb, np.stack(augmented)]) if augmented else rgb,
            [*facts, *(known for _, known in chosen)],
        )


def _one_thread(_: int) -> None:
    # numpy's matrix products would otherwise fight the training for every core.
    torch.set_num_threads(1)
    threadpool_limits(1)


def _as_is(batch: Any) -> Any:
    return batch


def stream(
    real: Pictures,
    *,
    count: int,
    batch_size: int,
    real_share: float,
    size: int,
    seed: int,
    workers: int = 1,
) -> Iterator[Batch]:
    """Yield ``count`` batches in order, made ahead by worker processes.

    Parameters
    ----------
    real : sequence of (picture, Facts)
        The real pictures to draw from, each augmented anew; may be empty.
    count, batch_size : int
        Batches, and pictures in each.
    real_share : float
        Expected share of real pictures, in [0, 1].
    size : int
        Side of the pictures in pixels.
    seed : int
        Together with the number of a batch it decides all that is in it, whatever ``workers`` is.
    workers : int
        Processes that simulate ahead; 0 simulates in this one.
    """
    batches = _Batches(
        real, count=count, batch_size=batch_size, real_share=real_share, size=size, seed=seed
    )
    loader: DataLoader[Batch] = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=16 if workers else None,
        worker_init_fn=_one_thread,
        collate_fn=_as_is,
    )
    yield from loader
