"""Sequences of a step as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from astrollava_training.dataset.corpus import Corpus

__all__ = ["IGNORED", "Batch", "ahead", "padded", "row"]

IGNORED = -100
"""The target of a token that no loss is taken on."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batch:
    """What is computed at once on one device.

    Attributes
    ----------
    ids : Tensor of int64, shape (rows, tokens)
        Zero where the picture's features or the padding are.
    targets : Tensor of int64, shape (rows, tokens)
        The token to be said next, or `IGNORED`.
    positions : Tensor of int64, shape (rows, tokens)
        From zero in each conversation.
    bounds : tuple of int
        Where each conversation begins in the rows laid end to end, and the last one ends; padding
        counts as conversations of its own.
    features : Tensor of int64, shape (features,)
        Places, in the rows laid end to end, of the pictures' features.
    shades : Tensor of uint8, shape (pictures, size, size, 3)
    tokens : int
        Without padding.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor
    bounds: tuple[int, ...]
    features: torch.Tensor
    shades: torch.Tensor
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """Copy it to a device, without waiting where the memory is pinned."""
        if device.type == "cpu":
            return self
        moved = {
            name: value.pin_memory().to(device, non_blocking=True)
            for name, value in self.__dict__.items()
            if isinstance(value, torch.Tensor)
        }
        return Batch(**(self.__dict__ | moved))

    def first(self, count: int) -> Batch:
        """Return the first tokens of its only conversation, up to where an answer begins."""
        kept = self.features[self.features < count]
        shown = self.shades if len(kept) else self.shades[:0]
        ids, targets, positions = (
            part[:, :count] for part in (self.ids, self.targets, self.positions)
        )
        return Batch(ids, targets, positions, (0, count), kept, shown, count)


def row(corpus: Corpus, chosen: Sequence[int], image: int, *, multiple: int = 1) -> Batch:
    """Lay conversations end to end in one row.

    Parameters
    ----------
    corpus : Corpus
    chosen : sequence of int
        Their numbers.
    image : int
        The token of the picture.
    multiple : int
        The row is padded to a multiple of this; at least one token is there.
    """
    length = int(sum(corpus.lengths[n] for n in chosen))
    return _batch(corpus, [list(chosen)], max(-(-length // multiple), 1) * multiple, image)


def padded(corpus: Corpus, chosen: Sequence[int], image: int, *, multiple: int = 1) -> Batch:
    """Lay each conversation in a row of its own, padded to the longest."""
    longest = int(max((corpus.lengths[n] for n in chosen), default=1))
    rows = [[n] for n in chosen] or [[]]
    return _batch(corpus, rows, -(-longest // multiple) * multiple, image)


def _batch(corpus: Corpus, rows: Sequence[Sequence[int]], width: int, image: int) -> Batch:
    ids = np.zeros((len(rows), width), np.int64)
    targets = np.full((len(rows), width), IGNORED, np.int64)
    positions = np.zeros((len(rows), width), np.int64)
    bounds: list[int] = []
    pictures: list[int] = []
    tokens = 0
    for number, chosen in enumerate(rows):
        place = 0
        for conversation in chosen:
            begin, end = corpus.bounds[conversation], corpus.bounds[conversation + 1]
            here = slice(place, place + end - begin)
            said = corpus.ids[begin:end]
            ids[number, here] = said
            positions[number, here] = np.arange(end - begin)
            # The first token is nobody's target: it would be that of the conversation before.
            targets[number, here][:-1] = np.where(corpus.learned[begin:end], said, IGNORED)[1:]
            bounds.append(number * width + place)
            if corpus.pictures[conversation] >= 0:
                pictures.append(int(corpus.pictures[conversation]))
            place = here.stop
        tokens += place
        if place < width:
            bounds.append(number * width + place)
            positions[number, place:] = np.arange(width - place)
    features = np.flatnonzero(ids.reshape(-1) == image)
    ids.reshape(-1)[features] = 0
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(targets),
        torch.from_numpy(positions),
        (*bounds, len(rows) * width),
        torch.from_numpy(features),
        torch.from_numpy(np.ascontiguousarray(corpus.shades[pictures])),
        tokens,
    )


def ahead(work: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Do pieces of work in a thread, one ahead of who takes the results, in their order."""
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for piece in work:
            coming = thread.submit(piece)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
