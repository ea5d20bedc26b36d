"""A prompt as the list of blocks llama.cpp evaluates, cut the same way every time.

llama.cpp's kernels depend on how many tokens they are given at once: the logits of one prompt cut
as 100 + 51 or as 64 + 64 + 23 tokens differed by up to 0.4 on a small 8-bit model. A KV cache
reused at an arbitrary place would therefore make an answer depend on what was asked before. Here
a prompt alone decides where it is cut, and only whole blocks are reused, so it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from astrollava.engine._native import TextModel
from astrollava.engine._positions import Places
from astrollava.engine.vision import ImageEmbedding
from astrollava.errors import ContextTooLong, InvalidRequest

__all__ = [
    "IMAGE_MARKER", "Block", "ImageBlock", "Plan", "make_plan", "remedy", "size_of", "span_of",
]  # fmt: skip

#: Stands for an image in a prompt.
IMAGE_MARKER = "<__media__>"

#: Tokens of text evaluated at once. Larger is faster for long prompts, smaller reuses more.
TEXT_BLOCK = 64


@dataclass(frozen=True)
class ImageBlock:
    """Rows of an image's embedding that are evaluated at once."""

    key: str
    start: int
    values: npt.NDArray[np.float32] = field(compare=False, repr=False)
    causal: bool = True
    places: Places | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.values)


#: Text tokens or image rows. Equal blocks after equal blocks leave equal bits in the KV cache.
Block: TypeAlias = tuple[int, ...] | ImageBlock


def size_of(blocks: Sequence[Block]) -> int:
    """Count the tokens in `blocks`."""
    return sum(map(len, blocks))


def span_of(block: Block) -> int:
    """Count the positions `block` takes: its tokens, but for rows of an image on a grid."""
    if isinstance(block, ImageBlock) and block.places is not None:
        return block.places.span
    return len(block)


@dataclass(frozen=True)
class Plan:
    """A prompt ready for evaluation.

    Attributes
    ----------
    blocks : tuple of Block
        What to evaluate, in order.
    tokens : int
        How many tokens that is, image tokens included.
    tail : str
        The text after the last image.
    tail_tokens : tuple of int
        The tokens of `tail`.
    starts : bool
        True where `tail` is the whole prompt.
    """

    blocks: tuple[Block, ...]
    tokens: int
    tail: str
    tail_tokens: tuple[int, ...]
    starts: bool


def make_plan(
    model: TextModel,
    prompt: str,
    images: Sequence[ImageEmbedding],
    *,
    n_ctx: int,
    n_batch: int,
) -> Plan:
    """Cut a prompt into blocks.

    Raises
    ------
    InvalidRequest
        The prompt is empty, or has another number of markers than there are images, or an image
        was encoded for a model of another width.
    ContextTooLong
        No room is left for a single token of an answer.
    """
    texts = prompt.split(IMAGE_MARKER)
    if len(texts) != len(images) + 1:
        raise InvalidRequest(
            f"the prompt has places for {len(texts) - 1} images and {len(images)} were given",
            expected=f"one {IMAGE_MARKER} in the prompt for each image",
        )
    for image in images:
        if image.values.shape[1] != model.n_embd:
            raise InvalidRequest(
                f"an image embedding is {image.values.shape[1]} wide",
                expected=f"{model.n_embd}, the width of this model",
                hint="Encode the image with the engine that is to read it",
            )
    tail = tuple(model.tokenize(texts[-1], start=not images))
    blocks = tuple(_blocks(model, texts, tail, images, n_batch))
    tokens = size_of(blocks)
    if not tokens:
        raise InvalidRequest("the prompt is empty", expected="at least one token of text")
    if tokens >= n_ctx:
        pictures = sum(len(image.values) for image in images)
        raise ContextTooLong(
            f"the prompt has {tokens} tokens, {pictures} of them for images ({len(images)}),"
            f" and the context holds {n_ctx}",
            expected="a prompt that leaves room for an answer",
            hint=remedy(
                model, n_ctx, "Shorten the text, give fewer images or start a new conversation"
            ),
        )
    return Plan(blocks, tokens, texts[-1], tail, starts=not images)


def remedy(model: TextModel, n_ctx: int, first: str) -> str:
    """Say what to do about a text too long; a larger context only where the model knows one."""
    if model.n_ctx_train <= n_ctx:
        return f"{first}: the model was trained for no more than {model.n_ctx_train} tokens"
    return f"{first}; or load the model with a larger n_ctx, up to {model.n_ctx_train}"


def _blocks(
    model: TextModel,
    texts: Sequence[str],
    tail: Sequence[int],
    images: Sequence[ImageEmbedding],
    n_batch: int,
) -> Iterator[Block]:
    pending: list[int] = list(tail) if len(texts) == 1 else model.tokenize(texts[0], start=True)
    if model.adds_bos and pending[:1] != [model.bos]:
        pending.insert(0, model.bos)
    for index, image in enumerate(images, start=1):
        grids = iter(image.places)
        for part in image.layout:
            if isinstance(part, tuple):
                pending += part
                continue
            yield from _text_blocks(pending, n_batch)
            pending = []
            yield from _image_blocks(image, part, next(grids, None), n_batch)
        pending += tail if index == len(images) else model.tokenize(texts[index])
    yield from _text_blocks(pending, n_batch)


def _text_blocks(tokens: Sequence[int], n_batch: int) -> Iterator[Block]:
    step = min(TEXT_BLOCK, n_batch)
    for start in range(0, len(tokens), step):
        yield tuple(tokens[start : start + step])


def _image_blocks(
    image: ImageEmbedding, rows: slice, places: Places | None, n_batch: int
) -> Iterator[Block]:
    for start in range(rows.start, rows.stop, n_batch):
        stop = min(start + n_batch, rows.stop)
        part = places and places.part(start - rows.start, stop - rows.start)
        yield ImageBlock(image.key, start, image.values[start:stop], image.causal, part)
