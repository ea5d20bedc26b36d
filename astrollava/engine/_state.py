"""What a cache holds of a sequence, on its way into another sequence or another context.

llama.cpp writes, for each stream of a cache, how many tokens of the sequence it holds and, where
that is not none, their keys and values. A cache of several sequences has a stream for each, one
that sequences share has a single one, and what was written from the one is refused by the other.
But nothing of a sequence is outside its own stream: taken out from between the empty ones, it is
what a cache of any number of streams would have written.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["room_for", "with_streams"]

#: Bytes before the number of streams: llama.cpp's magic number, and the sequence.
_HEADER = 8
#: Bytes of a number.
_WORD = 4


def room_for(size: int, streams: int) -> npt.NDArray[np.uint8]:
    """Return memory for `size` written bytes that `with_streams` can turn in place."""
    return np.zeros(size + _WORD * streams, np.uint8)


def with_streams(
    state: npt.NDArray[np.uint8], size: int, *, stream: int, streams: int, wanted: int
) -> npt.NDArray[np.uint8]:
    """Turn a sequence as written from one cache into what another would have written.

    Parameters
    ----------
    state : ndarray of uint8
        From `room_for`, then written to; it is changed.
    size : int
        Bytes written.
    stream, streams : int
        The sequence's own stream, and how many there were.
    wanted : int
        How many there shall be, at most those `state` has room for.

    Returns
    -------
    ndarray of uint8
        A part of `state`.
    """
    # Before the sequence's own stream the counts of empty ones make room for the header.
    start = stream * _WORD
    own = size - (streams - 1) * _WORD
    found = state[start : start + own + (wanted - 1) * _WORD]
    found[:_HEADER] = state[:_HEADER].copy()
    found[_HEADER : _HEADER + _WORD] = np.array([wanted], np.uint32).view(np.uint8)
    # Counts of empty streams.
    found[own:] = 0
    return found
