"""Checkpoints as training frameworks write them: opened, bounded and read without running them."""

from __future__ import annotations

from ._language import LANGUAGES, Language, Rope, read_language
from ._names import stored_name
from ._open import Checkpoint, open_checkpoint
from ._rendering import Rendering
from ._tensor import READABLE, StoredTensor, Tensor, View, as_float32, numpy_type
from ._vision import ACTIVATIONS, Tower, read_tower

__all__ = [
    "ACTIVATIONS",
    "LANGUAGES",
    "READABLE",
    "Checkpoint",
    "Language",
    "Rendering",
    "Rope",
    "StoredTensor",
    "Tensor",
    "Tower",
    "View",
    "as_float32",
    "numpy_type",
    "open_checkpoint",
    "read_language",
    "read_tower",
    "stored_name",
]
