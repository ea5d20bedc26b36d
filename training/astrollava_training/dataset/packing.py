"""What a step computes: the same conversations, however packed and over whom they are split.

A step takes `batch` conversations of a shuffled epoch. Packing only decides which of them lie in
one sequence, so it changes no gradient beyond rounding, nor does the number of processes.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Schedule", "pack", "pad"]


def pack(lengths: NDArray[np.int64], capacity: int, multiple: int = 1) -> list[list[int]]:
    """Put conversations into as few sequences as hold them, all about equally full.

    Parameters
    ----------
    lengths : ndarray of int64, shape (n,)
        Tokens of each, none more than `capacity`.
    capacity : int
        Tokens that a sequence holds.
    multiple : int
        The number of sequences is one of this: each process computes as many as the others.

    Returns
    -------
    list of list of int
        Numbers of the conversations in each sequence, ascending. With fewer conversations than
        processes some are empty.

    Notes
    -----
    The longest goes first into the emptiest sequence (Graham 1969, doi:10.1137/0117039): none is
    padded to the length of another, and no process waits long for the fullest.
    """
    order = np.argsort(-lengths, kind="stable")
    count = max(-(-int(lengths.sum()) // (capacity * multiple)), 1) * multiple
    while True:
        heap = [(0, number) for number in range(count)]
        parts: list[list[int]] = [[] for _ in range(count)]
        for conversation in order.tolist():
            filled, number = heapq.heappop(heap)
            filled += int(lengths[conversation])
            if filled > capacity:
                break
            parts[number].append(conversation)
            heapq.heappush(heap, (filled, number))
        else:
            return [sorted(part) for part in parts]
        count += multiple


def pad(lengths: NDArray[np.int64], rows: int, multiple: int = 1) -> list[list[int]]:
    """Group conversations as they come, `rows` at a time, as is done without packing.

    Returns
    -------
    list of list of int
        As many groups as a multiple of `multiple`; the last ones may be empty.
    """
    groups = [
        list(range(begin, min(begin + rows, len(lengths))))
        for begin in range(0, len(lengths), rows)
    ]
    return groups + [[]] * (-len(groups) % multiple)


@dataclass(frozen=True)
class Schedule:
    """Which conversations each step of a stage learns from.

    Attributes
    ----------
    conversations : int
        In the data.
    batch : int
        Conversations a step; the last step of a stage may have fewer.
    epochs : float
        Passes over the data.
    seed : int
        Of the order, anew in each pass.
    """

    conversations: int
    batch: int
    epochs: float
    seed: int

    @property
    def total(self) -> int:
        """Conversations seen, those seen again counted again."""
        return max(round(self.conversations * self.epochs), 1)

    @property
    def steps(self) -> int:
        """Steps of the stage."""
        return -(-self.total // self.batch)

    def at(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of the conversations of a step, in [0, steps)."""
        begin, end = step * self.batch, min((step + 1) * self.batch, self.total)
        parts = []
        while begin < end:
            epoch, inside = divmod(begin, self.conversations)
            count = min(end - begin, self.conversations - inside)
            # Drawn anew from the seed each time: a run that goes on needs no state of this.
            order = np.random.default_rng([self.seed, epoch]).permutation(self.conversations)
            parts.append(order[inside : inside + count])
            begin += count
        return np.concatenate(parts)
