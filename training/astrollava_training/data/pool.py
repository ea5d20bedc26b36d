"""Pictures drawn once and shown many times, turned and mirrored: drawing costs more than a turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astrollava_training.data.stream import Batch

__all__ = ["Lesson", "Pool", "fill"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Pictures and how volunteers answered.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (n, size, size, 3)
    targets, weights : ndarray of float32, shape (n, len(TARGETS))
        As of `Facts.vector`.
    """

    rgb: NDArray[np.uint8]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


class Pool(Lesson):
    """All pictures of a pool; those of a file are read as they are needed."""

    def lessons(self, *, count: int, batch_size: int, seed: int) -> Iterator[Lesson]:
        """Yield ``count`` batches in random order, pass after pass.

        Each batch is turned by a random multiple of 90 degrees and mirrored or not: which way up a
        galaxy is says nothing about it.
        """
        rng = np.random.default_rng(seed)
        order = np.empty(0, np.intp)
        for _ in range(count):
            while len(order) < batch_size:
                order = np.concatenate([order, rng.permutation(len(self.rgb))])
            # In the order of the file, which the disk likes.
            chosen, order = np.sort(order[:batch_size]), order[batch_size:]
            rgb = np.rot90(self.rgb[chosen], int(rng.integers(4)), axes=(1, 2))
            if rng.random() < 0.5:
                rgb = rgb[:, :, ::-1]
            yield Lesson(np.ascontiguousarray(rgb), self.targets[chosen], self.weights[chosen])


def fill(
    path: Path, batches: Iterable[Batch], *, pictures: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Write pictures to a file.

    Parameters
    ----------
    path : pathlib.Path
        The file, in numpy's format: uint8 (pictures, size, size, 3).
    batches : iterable of Batch
        With as many pictures in all as are announced.
    pictures, size : int
        Number of pictures, and their side in pixels.

    Returns
    -------
    targets, weights : ndarray of float32, shape (pictures, len(TARGETS))
    """
    with path.open("wb") as stream:
        shape = {"descr": "|u1", "fortran_order": False, "shape": (pictures, size, size, 3)}
        np.lib.format.write_array_header_1_0(stream, shape)
        vectors = []
        for batch in batches:
            stream.write(np.ascontiguousarray(batch.rgb).data)
            vectors += [facts.vector() for facts in batch.facts]
    targets, weights = (np.stack(part) for part in zip(*vectors, strict=True))
    return targets, weights
