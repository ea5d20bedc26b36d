"""From a checkpoint to the pair of GGUF files llama.cpp reads, without torch."""

from __future__ import annotations

from ._convert import convert, write_pair
from ._staging import ask_for_space, check_free, room, staged
from ._storage import QUANTIZATIONS, Unfit, mmproj_default, pack, row_bytes, stored_type
from .chat import TEMPLATES, chat_template, own_template

__all__ = [
    "QUANTIZATIONS",
    "TEMPLATES",
    "Unfit",
    "ask_for_space",
    "chat_template",
    "check_free",
    "convert",
    "mmproj_default",
    "own_template",
    "pack",
    "room",
    "row_bytes",
    "staged",
    "stored_type",
    "write_pair",
]
