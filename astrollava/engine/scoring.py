"""How probable given continuations of a prompt are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from astrollava.engine._context import MAX_OUTPUTS, Logits
from astrollava.engine._native import TextModel
from astrollava.engine._prompt import Block, Plan, remedy, size_of
from astrollava.engine.branches import BranchingSlot
from astrollava.engine.requests import Request, Work
from astrollava.engine.slots import Slot
from astrollava.errors import ContextTooLong, GenerationError, InvalidRequest

__all__ = ["ContinuationScore", "Scoring", "tokens_of"]


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


def tokens_of(
    model: TextModel, plan: Plan, continuations: Sequence[str], n_ctx: int
) -> list[tuple[int, ...]]:
    """Return the tokens of each continuation as they follow the prompt.

    Raises
    ------
    InvalidRequest
        A continuation is empty.
    ContextTooLong
        A continuation does not fit behind the prompt.
    """
    found = []
    for text in continuations:
        tokens = _tokens_after(model, plan, text)
        # The last token is predicted, not evaluated.
        needed = plan.tokens + len(tokens) - 1
        if needed > n_ctx:
            raise ContextTooLong(
                f"the prompt with the continuation {text!r} has {needed + 1} tokens",
                expected=f"at most {n_ctx + 1}",
                hint=remedy(model, n_ctx, "Shorten the continuation"),
            )
        found.append(tuple(tokens))
    return found


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


class Scoring(Request[list[ContinuationScore]]):
    """Scores of continuations; what they begin with in common is evaluated once.

    Parameters
    ----------
    plan, client
        As for `Request`.
    continuations : sequence of tuple of int
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
        continuations: Sequence[tuple[int, ...]],
        texts: Sequence[str],
        *,
        row_by_row: Callable[[], bool],
        client: object = None,
    ) -> None:
        super().__init__(plan, client)
        self._continuations = continuations
        self._texts = texts
        self._row_by_row = row_by_row
        self._totals = [0.0] * len(continuations)

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
            for nodes, rows in batches:
                for node, logits in zip(nodes, rows, strict=True):
                    self._count(node.members, node.depth + 1, logits)
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
        shares = _log_softmax(logits)
        for member in members:
            self._totals[member] += float(shares[self._continuations[member][depth]])

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
        for text, total in zip(self._texts, self._totals, strict=True):
            if np.isnan(total):
                raise GenerationError(
                    f"the model gives no number for the continuation {text!r}",
                    hint="Its weights may be damaged: check the file against its published hash",
                )
        self.succeed(
            [
                ContinuationScore(total, len(tokens))
                for total, tokens in zip(self._totals, self._continuations, strict=True)
            ]
        )


def _log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Log-probabilities over the last axis, in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
