"""How probable given continuations of a prompt are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from astrollava.engine._native import MAX_OUTPUTS, TextModel
from astrollava.engine._prompt import Plan, remedy
from astrollava.engine.sequence import Turn, exclusively, never
from astrollava.errors import ContextTooLong, GenerationError, InvalidRequest

if TYPE_CHECKING:
    from astrollava.engine._core import Core

__all__ = ["ContinuationScore", "next_logits", "score"]


@dataclass(frozen=True)
class ContinuationScore:
    """The log-probability of a continuation.

    Attributes
    ----------
    logprob : float
        Natural logarithm of the probability that the model continues the prompt with exactly these
        tokens (whatever comes after them): a sum over tokens, at most 0.
    tokens : int
        How many tokens that is.
    """

    logprob: float
    tokens: int


def score(core: Core, plan: Plan, continuations: Sequence[str]) -> list[ContinuationScore]:
    """Score each continuation after the prompt, which is evaluated once.

    Parameters
    ----------
    core : Core
        The engine's parts.
    plan : Plan
        The prompt.
    continuations : sequence of str
        Texts, none empty; a leading space counts.

    Returns
    -------
    list of ContinuationScore
        In the order given; each is the same whatever the others are.

    Raises
    ------
    InvalidRequest
        A continuation is empty.
    ContextTooLong
        A continuation does not fit behind the prompt.
    """
    sequences = [_tokens_after(core.model, plan, text) for text in continuations]
    for text, tokens in zip(continuations, sequences, strict=True):
        # The last token is predicted, not evaluated.
        needed = plan.tokens + len(tokens) - 1
        if needed > core.context.n_ctx:
            raise ContextTooLong(
                f"the prompt with the continuation {text!r} has {needed + 1} tokens",
                expected=f"at most {core.context.n_ctx + 1}",
                hint=remedy(core.model, core.context.n_ctx, "Shorten the continuation"),
            )
    if not sequences:
        return []

    def evaluate() -> list[ContinuationScore]:
        core.cache.prefill(plan.blocks, never)
        first = _log_softmax(core.context.logits(-1))
        scores = []
        for tokens in sequences:
            total = float(first[tokens[0]])
            if len(tokens) > 1:
                total += _rest(core, plan, tokens)
            scores.append(ContinuationScore(total, len(tokens)))
        return scores

    scores = exclusively(core, Turn(), evaluate)
    for text, result in zip(continuations, scores, strict=True):
        if np.isnan(result.logprob):
            raise GenerationError(
                f"the model gives no number for the continuation {text!r}",
                hint="Its weights may be damaged: check the file against its published hash",
            )
    return scores


def next_logits(core: Core, plan: Plan) -> npt.NDArray[np.float32]:
    """Return the logits of the token after the prompt, shape ``(vocabulary,)``."""

    def evaluate() -> npt.NDArray[np.float32]:
        core.cache.prefill(plan.blocks, never)
        return core.context.logits(-1)

    return exclusively(core, Turn(), evaluate)


def _tokens_after(model: TextModel, plan: Plan, text: str) -> list[int]:
    """Tokens of `text` as they follow the prompt, where a tokenizer may treat a start otherwise."""
    n = len(plan.tail_tokens)
    together = model.tokenize(plan.tail + text, start=plan.starts)
    tokens = together[n:] if tuple(together[:n]) == plan.tail_tokens else model.tokenize(text)
    if not tokens:
        raise InvalidRequest(
            f"the continuation {text!r} has no tokens", expected="texts that are not empty"
        )
    return tokens


def _rest(core: Core, plan: Plan, tokens: Sequence[int]) -> float:
    """Sum the log-probabilities of all tokens but the first; the cache is left at the prompt."""
    total = 0.0
    if core.cache.tokens != plan.tokens:
        # A kind of cache that cannot forget a part has lost the prompt with the text scored before.
        core.cache.prefill(plan.blocks, never)
    start = core.cache.position
    step = min(MAX_OUTPUTS, core.context.n_batch)
    try:
        for at in range(0, len(tokens) - 1, step):
            given = tokens[at : min(at + step, len(tokens) - 1)]
            core.context.decode_tokens(given, start + at, all_logits=True)
            rows = _log_softmax(np.stack([core.context.logits(i) for i in range(len(given))]))
            wanted = tokens[at + 1 : at + 1 + len(given)]
            total += float(rows[np.arange(len(given)), wanted].sum())
    finally:
        core.cache.rewind()
    return total


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Log-probabilities over the last axis, in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
