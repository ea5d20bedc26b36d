"""Ways to draw the next token that are more than taking the most probable one."""

from __future__ import annotations

from typing import Protocol

from astrollava.engine._context import Context
from astrollava.engine._native import TextModel
from astrollava.engine.grammar import GrammarSampler
from astrollava.engine.runtime import Bindings
from astrollava.engine.sampling import Sampling, make_sampler

__all__ = ["Chain", "Chooser", "Constrained"]


class Chooser(Protocol):
    """Draws the tokens of one text; made, used and freed in the scheduler's thread."""

    def choose(self, context: Context, row: int) -> int:
        """Draw the token after `row` of the logits kept (-1: the last)."""

    def free(self) -> None:
        """Release llama.cpp's part."""


class Chain:
    """llama.cpp's samplers, one after the other."""

    def __init__(self, lib: Bindings, model: TextModel, sampling: Sampling) -> None:
        self._free = lib.llama.llama_sampler_free
        self._chain = make_sampler(lib, sampling, model.n_vocab)

    def choose(self, context: Context, row: int) -> int:
        """Draw the token after `row` of the logits kept."""
        return context.sample(self._chain, row)

    def free(self) -> None:
        """Release the samplers."""
        self._free(self._chain)


class Constrained:
    """The same among the tokens that a grammar allows."""

    def __init__(self, lib: Bindings, model: TextModel, sampling: Sampling, grammar: str) -> None:
        self._sampler = GrammarSampler(lib, model, grammar, sampling)

    def choose(self, context: Context, row: int) -> int:
        """Draw the token after `row` of the logits kept."""
        return self._sampler.choose(context.logits()[row])

    def free(self) -> None:
        """Release the grammar and the samplers."""
        self._sampler.free()
