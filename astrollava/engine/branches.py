"""Continuations of one prompt, side by side in one evaluation.

They make a tree: what several begin with in common stands once. In a cache that all sequences
share, llama.cpp lets a token belong to several of them, so the prompt and each node of the tree are
evaluated once, and a few dozen nodes at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from astrollava.engine._context import MAX_OUTPUTS, Context, Logits, MakeContext
from astrollava.engine.slots import Slot
from astrollava.errors import AstrollavaError

__all__ = ["BRANCHES", "BranchingSlot", "Node", "nodes_of"]

#: Continuations evaluated side by side at most; sequence 0 is the prompt, and llama.cpp wants room
#: for a row of logits of each sequence.
BRANCHES = MAX_OUTPUTS - 1

Continuations = Sequence[tuple[int, ...]]


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
        return all(len(nodes_of(group)) <= room for _, group in _groups(continuations))

    def branch(
        self, continuations: Continuations
    ) -> Generator[tuple[list[Node], Logits], None, None]:
        """Evaluate the nodes behind the prompt, some at a time, with the logits behind each."""
        for first, group in _groups(continuations):
            nodes = nodes_of(group)
            sequences = range(1, len(group) + 1)
            try:
                for sequence in sequences:
                    self.context.share(0, sequence)
                for start in range(0, len(nodes), MAX_OUTPUTS):
                    batch = nodes[start : start + MAX_OUTPUTS]
                    self.context.decode_branches(
                        [node.token for node in batch],
                        [self.position + node.depth for node in batch],
                        [[member + 1 for member in node.members] for node in batch],
                    )
                    yield (
                        [
                            replace(node, members=tuple(first + member for member in node.members))
                            for node in batch
                        ],
                        self.context.logits(),
                    )
            finally:
                for sequence in sequences:
                    self.context.truncate(sequence, -1)


def _groups(continuations: Continuations) -> Iterator[tuple[int, Continuations]]:
    for start in range(0, len(continuations), BRANCHES):
        yield start, continuations[start : start + BRANCHES]
