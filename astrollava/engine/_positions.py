"""Where the rows of an image stand for the language model: in a line, or on a grid (M-RoPE).

Most models count tokens. Qwen2-VL and its kin give a token three positions: a time, a row and a
column. Those of a text token are all the same number; the rows of an image share the time at which
the image starts, and the text goes on after ``max(rows, columns)`` positions, however many tokens
the image took of the context (Wang et al. 2024, arXiv 2409.12191, section 2.1). So the number of
tokens in a sequence and its next position are two numbers, and llama.cpp, which forgets by
position, cannot forget a part of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EmbeddingBatch", "Piece", "Places", "embedding_batch", "read_places"]


@dataclass(frozen=True, eq=False)
class Places:
    """Positions of an image's rows in a model that gives a token four.

    Attributes
    ----------
    origin : ndarray of int32, shape (4, rows)
        Time, row, column and one that is not used, of an image that starts at position 0.
    moves : ndarray of int32, shape (4, rows)
        1 for those that move with the start of the image, else 0.
    span : int
        Positions taken: the next token stands at the start plus this. 0 for a part of an image
        that is not the last.
    """

    origin: npt.NDArray[np.int32]
    moves: npt.NDArray[np.int32]
    span: int

    def at(self, start: int) -> npt.NDArray[np.int32]:
        """Return the positions, shape (4, rows), of an image that starts at `start`."""
        return self.origin + np.int32(start) * self.moves

    def part(self, start: int, stop: int) -> Places:
        """Return those of rows `start` to `stop`, which are evaluated apart from the others."""
        last = stop == self.origin.shape[1]
        rows = slice(start, stop)
        return Places(self.origin[:, rows], self.moves[:, rows], self.span if last else 0)


def read_places(mtmd: Any, chunk: Any) -> Places:
    """Ask mtmd for the positions of an image chunk."""
    image = mtmd.mtmd_input_chunk_get_tokens_image(chunk)
    n = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))

    def ask(start: int) -> npt.NDArray[np.int32]:
        out = (mtmd.mtmd_decoder_pos * n)()
        mtmd.mtmd_helper_image_get_decoder_pos(image, start, out)
        fields = np.frombuffer(out, np.uint32).reshape(n, 4).astype(np.int32)
        # mtmd's order is time, x, y; a batch's is time, y, x.
        return np.ascontiguousarray(fields[:, [0, 2, 1, 3]].T)

    origin = ask(0)
    return Places(origin, ask(1) - origin, int(mtmd.mtmd_input_chunk_get_n_pos(chunk)))


@dataclass(frozen=True, eq=False)
class Piece:
    """Image rows of one sequence to be evaluated at once.

    Attributes
    ----------
    values : ndarray of float32, shape (rows, n_embd)
        The rows.
    start : int
        The next position of the sequence.
    places : Places or None
        Positions of the rows; None in a model that counts tokens.
    sequence : int
        Number of the sequence.
    """

    values: npt.NDArray[np.float32]
    start: int
    places: Places | None = None
    sequence: int = 0


@dataclass(frozen=True, eq=False)
class EmbeddingBatch:
    """What ``llama_decode`` takes for `pieces` together; its pointers may point into this.

    Attributes
    ----------
    values : ndarray of float32, shape (rows, n_embd)
        All rows.
    positions : ndarray of int32, shape (rows,) or (4 * rows,)
        One position a row; or all times, then all rows, all columns and all zeros.
    sequences : ndarray of int32, shape (rows,)
        The sequence of each row.
    ends : tuple of int
        The next position of each piece's sequence.
    """

    values: npt.NDArray[np.float32]
    positions: npt.NDArray[np.int32]
    sequences: npt.NDArray[np.int32]
    ends: tuple[int, ...]


def embedding_batch(pieces: Sequence[Piece]) -> EmbeddingBatch:
    """Put pieces, all for one model, into one batch."""
    positions, ends = [], []
    for piece in pieces:
        n = len(piece.values)
        if piece.places is None:
            positions.append(np.arange(piece.start, piece.start + n, dtype=np.int32)[None])
            ends.append(piece.start + n)
        else:
            positions.append(piece.places.at(piece.start))
            ends.append(piece.start + piece.places.span)
    values = [piece.values for piece in pieces]
    return EmbeddingBatch(
        values[0] if len(values) == 1 else np.concatenate(values),
        np.concatenate(positions, axis=1).ravel(),
        np.repeat(np.array([p.sequence for p in pieces], np.int32), [len(v) for v in values]),
        tuple(ends),
    )
