"""How probable given continuations of a prompt are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from astrollava.engine._context import MAX_OUTPUTS, Logits
from astrollava.engine._native import TextModel
from astrollava.engine._prompt import Block, Plan, remedy, size_of
from astrollava.engine.branches import BranchingSlot, Continuations
from astrollava.engine.requests import Request, Work
from astrollava.engine.slots import Slot
from astrollava.errors import ContextTooLong, GenerationError, InvalidRequest

__all__ = ["ContinuationScore", "Continued", "Scoring"]


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


class Continued:
    """Turns continuations of prompts into tokens, those of labels once for all images.

    Parameters
    ----------
    model : TextModel
        Its vocabulary may be in use by nobody else meanwhile.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._after = lru_cache(maxsize=32)(partial(_tokens_after, model))

    def tokens(self, plan: Plan, continuations: Sequence[str], n_ctx: int) -> Continuations:
        """Return the tokens of each continuation as they follow the prompt.

        Raises
        ------
        InvalidRequest
            A continuation is empty.
        ContextTooLong
            A continuation does not fit behind the prompt.
        """
        found = self._after(plan.tail, plan.tail_tokens, tuple(continuations), plan.starts)
        for text, tokens in zip(continuations, found, strict=True):
            # The last token is predicted, not evaluated.
            needed = plan.tokens + len(tokens) - 1
            if needed > n_ctx:
                raise ContextTooLong(
                    f"the prompt with the continuation {text!r} has {needed + 1} tokens",
                    expected=f"at most {n_ctx + 1}",
                    hint=remedy(self._model, n_ctx, "Shorten the continuation"),
                )
        return found


def _tokens_after(
    model: TextModel,
    tail: str,
    tail_tokens: tuple[int, ...],
    texts: tuple[str, ...],
    starts: bool,
) -> Continuations:
    """Tokens of texts as they follow `tail`, where a tokenizer may treat a start otherwise."""
    n, found = len(tail_tokens), []
    for text in texts:
        together = model.tokenize(tail + text, start=starts)
        tokens = together[n:] if tuple(together[:n]) == tail_tokens else model.tokenize(text)
        if not tokens:
            raise InvalidRequest(
                f"the continuation {text!r} has no tokens", expected="texts that are not empty"
            )
        found.append(tuple(tokens))
    return tuple(found)


class Scoring(Request[list[ContinuationScore]]):
    """Scores of continuations; what they begin with in common is evaluated once.

    Parameters
    ----------
    plan, client
        As for `Request`.
    continuations : tuple of tuple of int
        Their tokens.
    texts : sequence of str
        The same in words, for an error.
    row_by_row : callable
        Whether tokens must be evaluated one at a time, so that the score of one continuation does
        not depend on the others.
    """

    def __init__(
        self,
        plan: Plan,
        continuations: Continuations,
        texts: Sequence[str],
        *,
        row_by_row: Callable[[], bool],
        client: object = None,
    ) -> None:
        super().__init__(plan, client)
        self._continuations = continuations
        self._texts = texts
        self._row_by_row = row_by_row
        self._totals = np.zeros(len(continuations))

    def fits(self, slot: BranchingSlot) -> bool:
        """Whether `slot` has room for the continuations side by side."""
        return slot.takes(self.plan.tokens, self._continuations)

    def work(self, slot: Slot) -> Work:
        """Evaluate the tree that the continuations make."""
        self._count(range(len(self._continuations)), 0, slot.context.logits()[-1])
        if isinstance(slot, BranchingSlot):
            yield from self._side_by_side(slot)
        else:
            yield from self._walk(slot)
        self._hand_over()

    def _side_by_side(self, slot: BranchingSlot) -> Work:
        with closing(slot.branch(self._continuations)) as batches:
            for batch, logits in batches:
                shares = _log_shares(logits, batch.rows, batch.columns)
                # One after the other, so that a sum does not depend on what is in a batch.
                np.add.at(self._totals, batch.members, shares)
                yield None

    def _walk(self, slot: Slot) -> Work:
        """One branch after the other, depth first."""
        step = 1 if self._row_by_row() else min(MAX_OUTPUTS, slot.context.n_batch)
        everyone = list(range(len(self._continuations)))
        # Continuations equal up to some depth and in the token there, and the blocks that lead
        # there.
        paths: list[tuple[list[int], tuple[Block, ...]]] = [
            (group, ()) for group in self._groups(everyone, 0)
        ]
        while paths:
            members, path = paths.pop()
            yield None
            wanted = (*self.plan.blocks, *path)
            slot.cut(slot.shares(wanted))
            # Nothing, but where this kind of cache cannot forget a part.
            for block in wanted[len(slot.blocks) :]:
                slot.evaluate(block)
            start = size_of(path)
            stop = min(self._parting(members, start), start + step)
            given = self._continuations[members[0]][start:stop]
            slot.evaluate(given, all_logits=True)
            for depth, logits in enumerate(slot.context.logits(), start=start + 1):
                self._count(members, depth, logits)
            paths += [(group, (*path, given)) for group in self._groups(members, stop)]
        slot.cut(len(self.plan.blocks))

    def _count(self, members: Sequence[int], depth: int, logits: Logits) -> None:
        """Add what the tokens at `depth` are worth, given what is before them."""
        columns = np.array([self._continuations[member][depth] for member in members], np.intp)
        shares = _log_shares(logits[None], np.zeros_like(columns), columns)
        self._totals[list(members)] += shares

    def _groups(self, members: Sequence[int], depth: int) -> list[list[int]]:
        """Part members by their token at `depth`; those that end with it are done."""
        groups: dict[int, list[int]] = {}
        for member in members:
            tokens = self._continuations[member]
            if len(tokens) > depth + 1:
                groups.setdefault(tokens[depth], []).append(member)
        return list(groups.values())

    def _parting(self, members: Sequence[int], start: int) -> int:
        """Return up to where members equal at `start` are equal and all have more to come."""
        tokens = [self._continuations[member] for member in members]
        last = min(map(len, tokens)) - 1
        at = start + 1
        while at < last and all(other[at] == tokens[0][at] for other in tokens):
            at += 1
        return at

    def _hand_over(self) -> None:
        totals = self._totals.tolist()
        for text, total in zip(self._texts, totals, strict=True):
            if math.isnan(total):
                raise GenerationError(
                    f"the model gives no number for the continuation {text!r}",
                    hint="Its weights may be damaged: check the file against its published hash",
                )
        self.succeed(
            [
                ContinuationScore(total, len(tokens))
                for total, tokens in zip(totals, self._continuations, strict=True)
            ]
        )


def _log_shares(
    logits: Logits, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Log-probabilities of tokens, in double precision; each row is one distribution."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    whole = np.log(np.exp(shifted).sum(axis=-1))
    found: npt.NDArray[np.float64] = shifted[rows, columns] - whole[rows]
    return found
