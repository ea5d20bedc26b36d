"""Whether a token evaluated beside others has the very logits it has alone.

llama.cpp multiplies one row by other kernels than several, which add in another order. Measured on
the CPU (AVX2 and AVX-512, llama.cpp of August 2026): with Q8_0 weights the bits are the same for
any number of rows; with F32, F16, BF16, Q4_0 and all K-quants they are not.
"""

from __future__ import annotations

import numpy as np

from astrollava.engine._context import Context, MakeContext
from astrollava.errors import AstrollavaError

__all__ = ["rows_are_independent"]

#: Tokens evaluated in each sequence.
_LENGTH = 3
#: Tokens a sequence may hold.
_ROOM = 64
#: Numbers of rows tried, beside the largest: a CPU has kernels for one row and for several, a GPU
#: others for nearly each number up to eight, and for steps from there.
_COUNTS_ON_CPU = (2, 3)
_COUNTS_ON_GPU = (2, 3, 5, 8, 9, 17)


def rows_are_independent(
    make_context: MakeContext, sequences: int, *, shared: bool = False
) -> bool:
    """Try it with the model itself, in a small context of its own.

    Parameters
    ----------
    make_context : MakeContext
        Makes the context.
    sequences : int
        Rows evaluated together at most.
    shared : bool
        Whether the sequences shall share one cache.
    """
    try:
        context = make_context(sequences, _ROOM * (sequences if shared else 1), shared=shared)
    except AstrollavaError:
        # No memory to try it.
        return False
    try:
        alone = [_logits(context, [sequence])[0] for sequence in range(sequences)]
        counts = _COUNTS_ON_GPU if context.on_gpu else _COUNTS_ON_CPU
        for together in sorted({n for n in counts if n < sequences} | {sequences}):
            members = list(range(together))
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
