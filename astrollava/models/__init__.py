"""Which model, where its files are, and what is inside them."""

from __future__ import annotations

from .catalog import ModelFiles, resolve
from .facts import ModelFacts, facts

__all__ = ["ModelFacts", "ModelFiles", "facts", "resolve"]
