"""Continuations of one prompt, side by side in one evaluation.

They make a tree: what several begin with in common stands once. In a cache that all sequences
share, llama.cpp lets a token belong to several of them, so the prompt and each node of the tree are
evaluated once, and a few dozen nodes at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from astrollava.engine._context import MAX_OUTPUTS, Context, Logits, MakeContext
from astrollava.engine.slots import Slot
from astrollava.errors import AstrollavaError

__all__ = ["BRANCHES", "Batch", "BranchingSlot", "Continuations", "Node", "nodes_of"]

#: Continuations evaluated side by side at most; sequence 0 is the prompt, and llama.cpp wants room
#: for a row of logits of each sequence.
BRANCHES = MAX_OUTPUTS - 1

#: Their tokens.
Continuations: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Node:
    """A token that continuations have in common, with all before it.

    Attributes
    ----------
    token, depth : int
        What it is, and how many tokens of the continuations stand before it.
    members : tuple of int
        The continuations it is part of.
    """

    token: int
    depth: int
    members: tuple[int, ...]


def nodes_of(continuations: Continuations) -> list[Node]:
    """Return the tokens to evaluate, each behind those before it; the last of each is not."""
    found: list[Node] = []

    def below(members: Sequence[int], depth: int) -> list[Node]:
        groups: dict[int, list[int]] = {}
        for member in members:
            if len(continuations[member]) > depth + 1:
                groups.setdefault(continuations[member][depth], []).append(member)
        return [Node(token, depth, tuple(group)) for token, group in groups.items()]

    # No recursion: a continuation may be as long as the context.
    left = below(range(len(continuations)), 0)[::-1]
    while left:
        found.append(node := left.pop())
        left += below(node.members, node.depth + 1)[::-1]
    return found


@dataclass(frozen=True, eq=False)
class Batch:
    """Nodes evaluated at once, and what their logits are asked for.

    Attributes
    ----------
    tokens, depths : ndarray of int32, shape (nodes,)
        Those of the nodes.
    owners, sequences : ndarray of int32
        How many sequences each node belongs to, and these one after the other.
    rows, columns, members : ndarray of int, shape (n,)
        The logit at a row and column is of the token with which that continuation goes on.
    """

    tokens: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    sequences: npt.NDArray[np.int32]
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    members: npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Group:
    """Continuations that go side by side.

    Attributes
    ----------
    branches : int
        How many there are.
    nodes : int
        Tokens to evaluate.
    batches : tuple of Batch
        The same, some at a time.
    """

    branches: int
    nodes: int
    batches: tuple[Batch, ...]


# The same labels are scored for image after image.
@lru_cache(maxsize=32)
def _groups(continuations: Continuations) -> tuple[_Group, ...]:
    groups = []
    for first in range(0, len(continuations), BRANCHES):
        chosen = continuations[first : first + BRANCHES]
        nodes = nodes_of(chosen)
        batches = tuple(
            _batch(nodes[start : start + MAX_OUTPUTS], chosen, first)
            for start in range(0, len(nodes), MAX_OUTPUTS)
        )
        groups.append(_Group(len(chosen), len(nodes), batches))
    return tuple(groups)


def _batch(nodes: Sequence[Node], continuations: Continuations, first: int) -> Batch:
    wanted = [
        (row, continuations[member][node.depth + 1], first + member)
        for row, node in enumerate(nodes)
        for member in node.members
    ]
    rows, columns, members = np.array(wanted, np.intp).T.copy()
    return Batch(
        np.array([node.token for node in nodes], np.int32),
        np.array([node.depth for node in nodes], np.int32),
        np.array([len(node.members) for node in nodes], np.int32),
        # Sequence 0 is the prompt.
        np.fromiter(chain.from_iterable(node.members for node in nodes), np.int32) + np.int32(1),
        rows,
        columns,
        members,
    )


class BranchingSlot(Slot):
    """The prompt in sequence 0 of a shared cache, and room for branches behind it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, 0)

    @classmethod
    def made_by(cls, make_context: MakeContext) -> BranchingSlot | None:
        """Make a context for it; None where there is no memory, or its cache cannot forget."""
        try:
            context = make_context(BRANCHES + 1, None, shared=True)
        except AstrollavaError:
            return None
        if context.forgets:
            return cls(context)
        context.free()
        return None

    def takes(self, tokens: int, continuations: Continuations) -> bool:
        """Whether a prompt of so many tokens and these continuations fit in."""
        room = self.context.n_ctx - tokens
        return all(group.nodes <= room for group in _groups(continuations))

    def branch(self, continuations: Continuations) -> Generator[tuple[Batch, Logits], None, None]:
        """Evaluate the nodes behind the prompt, some at a time, with the logits behind each."""
        for group in _groups(continuations):
            try:
                for sequence in range(1, group.branches + 1):
                    self.context.share(0, sequence)
                for batch in group.batches:
                    self.context.decode_branches(
                        batch.tokens, batch.depths + self.position, batch.owners, batch.sequences
                    )
                    yield batch, self.context.logits()
            finally:
                self.context.keep_only(0)
