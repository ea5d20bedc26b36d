"""Tokens that a grammar allows: llama.cpp's grammar sampler, kept from ending the process.

llama.cpp ends the process when a token is accepted that the grammar forbids, which is what its own
sampling does where no token is allowed at all. It reads special tokens as the text they are written
with, though they stand for nothing, and takes bytes that are no UTF-8 for characters. And it checks
every token of the vocabulary at each step, which costs more than a step of a small model. So here
the most probable tokens are checked first, and what was drawn is looked at before it is accepted.
"""

from __future__ import annotations

import codecs
import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from astrollava.engine import _logs as logs
from astrollava.engine._native import TextModel
from astrollava.engine.runtime import Bindings
from astrollava.engine.sampling import Sampling, make_sampler
from astrollava.errors import GenerationError, InvalidGrammar

__all__ = ["GrammarSampler"]

#: Tokens checked first; where too few of them are allowed, all are.
_FIRST = 128
#: Characters of a grammar at most: llama.cpp takes a multiple of it as memory.
_LONGEST = 4_000_000

_Row = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class GrammarSampler:
    """Draws tokens one after the other, so that together they are a text of a grammar.

    Use it from one thread, and `free` it.

    Parameters
    ----------
    lib : Bindings
        llama.cpp.
    model : TextModel
        Whose tokens they are.
    grammar : str
        GBNF; the text is one of its rule ``root``.
    sampling : Sampling
        How to choose among the tokens allowed. A repetition penalty falls on the punctuation of a
        grammar, too.

    Raises
    ------
    InvalidGrammar
        llama.cpp refuses the grammar.
    """

    def __init__(self, lib: Bindings, model: TextModel, grammar: str, sampling: Sampling) -> None:
        self._llama = lib.llama
        self._model = model
        # All are wanted where the order among them may still change.
        wanted = 1 if sampling.temperature == 0 else sampling.top_k or model.n_vocab
        self._wanted = wanted if sampling.repeat_penalty == 1.0 else model.n_vocab
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._grammar = _open(lib, model, grammar)
        self._chain = make_sampler(lib, sampling, model.n_vocab)

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """Draw the next token and go on to the state after it.

        Parameters
        ----------
        logits : ndarray of float32, shape (n_vocab,)
            Of the token to draw.

        Returns
        -------
        int
            A token of the grammar; one that ends the text only where the grammar is at its end.

        Raises
        ------
        GenerationError
            No token of the model can follow, or its logits are no numbers.
        """
        everything = np.arange(len(logits))
        pools = [everything]
        if self._wanted < _FIRST < len(logits):
            pools.insert(0, np.argpartition(logits, -_FIRST)[-_FIRST:])
        for pool in pools:
            rows = self._allowed(pool, logits)
            if len(rows) < self._wanted and pool is not everything:
                continue
            while len(rows):
                token = self._drawn(rows.copy())
                if self._takes(token):
                    return token
                rows = rows[rows["id"] != token]
        raise GenerationError(
            "no token of this model can go on with the text as the grammar wants it",
            hint="Its vocabulary lacks a character, or its weights are damaged",
        )

    def _takes(self, token: int) -> bool:
        """Go on to the state after a token that the grammar allows; False if it is none to take."""
        data, ends = self._model.piece(token)
        if not ends:
            # A special token that stands for nothing, though the grammar has read its name.
            if not data:
                return False
            # llama.cpp takes overlong sequences for the characters they would mean.
            before = self._decoder.getstate()
            try:
                self._decoder.decode(data)
            except UnicodeDecodeError:
                self._decoder.setstate(before)
                return False
            self._llama.llama_sampler_accept(self._grammar, token)
        self._llama.llama_sampler_accept(self._chain, token)
        return True

    def _allowed(
        self, tokens: npt.NDArray[np.intp], logits: npt.NDArray[np.float32]
    ) -> npt.NDArray[Any]:
        """Return those the grammar allows, the most probable first; of equals the first."""
        rows = np.zeros(len(tokens), _Row)
        rows["id"] = tokens
        rows["logit"] = logits[tokens]
        rows = rows[np.isfinite(rows["logit"])]
        if len(rows):
            self._apply(self._grammar, rows)
        rows = rows[np.isfinite(rows["logit"])]
        order = np.lexsort((rows["id"], -rows["logit"]))
        ranked: npt.NDArray[Any] = rows[order]
        return ranked

    def _drawn(self, rows: npt.NDArray[Any]) -> int:
        array = self._apply(self._chain, rows)
        # A sampler may cut or sort the rows, in place.
        if not 0 <= array.selected < array.size:
            raise GenerationError("the model gives no numbers to choose a token by")
        return int(array.data[array.selected].id)

    def _apply(self, sampler: Any, rows: npt.NDArray[Any]) -> Any:
        llama = self._llama
        data = rows.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data=data, size=len(rows), selected=-1, sorted=False)
        llama.llama_sampler_apply(sampler, ctypes.byref(array))
        return array

    def free(self) -> None:
        """Release the memory; a second call does nothing."""
        for name in ("_grammar", "_chain"):
            pointer = getattr(self, name)
            if pointer is not None:
                setattr(self, name, None)
                self._llama.llama_sampler_free(pointer)


def _open(lib: Bindings, model: TextModel, grammar: str) -> Any:
    # llama.cpp takes an empty grammar for none, and a zero for the end.
    if not grammar.strip() or "\0" in grammar or len(grammar) > _LONGEST:
        raise InvalidGrammar(
            f"the grammar has {len(grammar)} characters, {grammar.count(chr(0))} of them zero",
            expected=f"GBNF of 1 to {_LONGEST} characters",
        )
    logs.clear()
    with logs.Captured():
        pointer = lib.llama.llama_sampler_init_grammar(
            model.vocab,
            grammar.encode("utf-8", "replace"),
            b"root",
        )
    if not pointer:
        raise InvalidGrammar(
            f"llama.cpp refuses the grammar ({logs.tail()})",
            expected="GBNF with a rule named root, and none that starts with itself",
            hint="What is wrong with its syntax llama.cpp writes to standard error",
        )
    return pointer
