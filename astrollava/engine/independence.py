"""Whether a token evaluated beside others has the very logits it has alone.

llama.cpp multiplies one row by other kernels than several, which add in another order. Measured on
the CPU (AVX2 and AVX-512, llama.cpp of August 2026): with Q8_0 weights the bits are the same for
any number of rows; with F32, F16, BF16, Q4_0 and all K-quants they are not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from astrollava.engine._context import Context
from astrollava.errors import AstrollavaError

__all__ = ["rows_are_independent"]

#: Tokens evaluated in each sequence.
_LENGTH = 3


def rows_are_independent(
    make_context: Callable[[int, int | None], Context], sequences: int
) -> bool:
    """Try it with the model itself, in a small context of its own.

    Parameters
    ----------
    make_context : callable
        Number of sequences, tokens each holds -> context.
    sequences : int
        Rows evaluated together at most.
    """
    try:
        context = make_context(sequences, 64)
    except AstrollavaError:
        # No memory to try it.
        return False
    try:
        alone = [_logits(context, [sequence])[0] for sequence in range(sequences)]
        for together in sorted({2, 3, sequences}):
            members = list(range(min(together, sequences)))
            found = _logits(context, members)
            if not all(np.array_equal(alone[s], found[s]) for s in members):
                return False
        return True
    finally:
        context.free()


def _logits(context: Context, sequences: list[int]) -> list[np.ndarray]:
    """Evaluate a few tokens in each sequence, together; return the logits of each."""
    for sequence in sequences:
        context.truncate(sequence, -1)
    found: list[list[np.ndarray]] = [[] for _ in sequences]
    for position in range(_LENGTH):
        # Any tokens do; other ones in each sequence.
        tokens = [(7919 * (_LENGTH * s + position) + 11) % context.n_vocab for s in sequences]
        context.decode_rows(tokens, [position] * len(sequences), sequences)
        for row, logits in zip(found, context.logits(), strict=True):
            row.append(logits.copy())
    return [np.stack(rows) for rows in found]
