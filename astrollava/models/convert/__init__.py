"""From a checkpoint to the pair of GGUF files llama.cpp reads, without torch."""

from __future__ import annotations

from ._convert import convert, write_pair
from ._staging import ask_for_space, check_free, room, staged
from ._storage import QUANTIZATIONS

__all__ = [
    "QUANTIZATIONS",
    "ask_for_space",
    "check_free",
    "convert",
    "room",
    "staged",
    "write_pair",
]
