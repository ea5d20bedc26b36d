"""Which model, where its files are, and what is inside them."""

from __future__ import annotations

from .catalog import ModelFiles
from .facts import ModelFacts, facts
from .finding import resolve

__all__ = ["ModelFacts", "ModelFiles", "facts", "resolve"]
