"""A sequence of the KV cache that knows what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from astrollava.engine._context import Context
from astrollava.engine._prompt import Block, ImageBlock, span_of

__all__ = ["Slot"]


class Slot:
    """One sequence and the list of blocks evaluated into it.

    The list is extended after llama.cpp has returned, and the cache is cut to the list before the
    slot is used again: a failure at any point leaves the two consistent.

    Attributes
    ----------
    sequence : int
        Its number in the context.
    blocks : list of Block
        What it holds.
    tokens : int
        How many tokens that is.
    position : int
        Where the next token stands; less than `tokens` where images have places on a grid.
    """

    def __init__(self, context: Context, sequence: int) -> None:
        self.context = context
        self.sequence = sequence
        self.blocks: list[Block] = []
        self.tokens = 0
        self.position = 0

    def shares(self, blocks: Sequence[Block]) -> int:
        """Count the leading blocks it holds already."""
        pairs = zip(self.blocks, blocks, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def keep(self, blocks: Sequence[Block]) -> Sequence[Block]:
        """Forget what is not the start of `blocks`, and return those still to be evaluated.

        That is at least the last one: its logits are wanted.
        """
        self.cut(self.shares(blocks[:-1]))
        # Where this kind of cache cannot forget a part, `cut` has emptied it.
        return blocks[len(self.blocks) :]

    def evaluate(self, block: Block, *, all_logits: bool = False) -> None:
        """Append a block."""
        if isinstance(block, ImageBlock):
            self.context.decode_embeddings(
                block.values,
                self.position,
                self.sequence,
                causal=block.causal,
                places=block.places,
            )
        else:
            self.context.decode_tokens(block, self.position, self.sequence, all_logits=all_logits)
        self.append(block)

    def append(self, block: Block) -> None:
        """Note that a block was evaluated."""
        self.blocks.append(block)
        self.tokens += len(block)
        self.position += span_of(block)

    def append_token(self, token: int) -> None:
        """Note that a token was evaluated by itself, or beside those of others."""
        self.blocks.append((token,))
        self.tokens += 1
        self.position += 1

    def cut(self, blocks: int) -> None:
        """Forget all but the first `blocks` blocks, and what an interrupted call left behind."""
        del self.blocks[blocks:]
        # Rows of an image on a grid share one time: what is behind them cannot be told from them.
        while self.blocks and not span_of(self.blocks[-1]):
            del self.blocks[-1]
        self.tokens = sum(map(len, self.blocks))
        self.position = sum(map(span_of, self.blocks))
        if not self.context.truncate(self.sequence, self.position if self.tokens else -1):
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.blocks.clear()
        self.tokens = self.position = 0
        self.context.truncate(self.sequence, -1)

    def copy_from(self, other: Slot) -> bool:
        """Hold what another slot holds; empty, and False, where llama.cpp cannot copy it."""
        self.clear()
        if not self.context.take(self.sequence, other.context, other.sequence):
            self.clear()
            return False
        self.blocks = list(other.blocks)
        self.tokens, self.position = other.tokens, other.position
        return True
