r"""Conversations as tokens, with the label mask built from the very pieces that are encoded.

The template is LLaVA's ``v1`` without a system text::

    <s>USER: <image>\n{question} ASSISTANT: {answer}</s>USER: {question} ASSISTANT: {answer}</s>
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from astrollava.errors import InvalidRequest

__all__ = [
    "CHAT_TEMPLATE",
    "IGNORED",
    "SPECIAL_TOKENS",
    "Sample",
    "collate",
    "plain",
    "tokenize",
    "train_tokenizer",
]

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>", "<image>")
"""The first tokens of every vocabulary of `train_tokenizer`, in this order."""

_BOS, _EOS, _PAD, _IMAGE = range(len(SPECIAL_TOKENS))

IGNORED = -100
"""The label of a token that no loss is taken on, as torch's cross-entropy has it."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{{ message['content'] + ' ' if message['content'] is string"
    " else message['content'][0]['text'] + ' ' }}"
    "{% elif message['role'] == 'user' %}USER: "
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% endif %}"
    "{% elif message['role'] == 'assistant' %} ASSISTANT: "
    "{{ message['content'] if message['content'] is string"
    " else message['content'][0]['text'] }}</s>"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
"""The template in the GGUF: it writes the text that `tokenize` encodes."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Token ids of one conversation, int64 (length,), and the labels the loss is taken on."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer, with GPT-2's pre-tokenizer, which llama.cpp has too.

    Parameters
    ----------
    texts : iterable of str
        What to learn from, in an order that matters: ties are broken by it.
    vocab_size : int
        Tokens at most, the special ones and the 256 bytes among them.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[
                AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS
            ],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return bpe


def tokenize(pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, image_tokens: int) -> Sample:
    """Encode a conversation.

    Parameters
    ----------
    pairs : sequence of (question, answer)
        At least one.
    tokenizer : Tokenizer
        From `train_tokenizer`.
    image_tokens : int
        Tokens a picture takes; 0 leaves the picture out.

    Returns
    -------
    Sample
        Labels are the ids of the answers and of the end token after each; all else is `IGNORED`.

    Raises
    ------
    InvalidRequest
        Without a pair, which would leave nothing to learn.
    """
    if not pairs:
        raise InvalidRequest("a conversation without a question", expected="at least one pair")
    ids: list[int] = [_BOS]
    labels: list[int] = [IGNORED]

    def add(piece: Sequence[int], *, learned: bool) -> None:
        ids.extend(piece)
        labels.extend(piece if learned else [IGNORED] * len(piece))

    for turn, (question, answer) in enumerate(pairs):
        if turn == 0 and image_tokens:
            add(tokenizer.encode("USER: ").ids, learned=False)
            add([_IMAGE] * image_tokens, learned=False)
            add(tokenizer.encode(f"\n{question} ASSISTANT:").ids, learned=False)
        else:
            add(tokenizer.encode(f"USER: {question} ASSISTANT:").ids, learned=False)
        add([*tokenizer.encode(f" {answer}").ids, _EOS], learned=True)
    return Sample(np.array(ids), np.array(labels))


def plain(text: str, tokenizer: Tokenizer, image_tokens: int) -> Sample:
    """Encode a caption with the plain template of stage 1: the picture, then the caption."""
    caption = [*tokenizer.encode(f" {text}").ids, _EOS]
    ids = [_BOS, *[_IMAGE] * image_tokens, *caption]
    return Sample(np.array(ids), np.array([IGNORED] * (1 + image_tokens) + caption))


def collate(
    samples: Sequence[Sample], *, longest: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad to the longest sample on the right.

    Parameters
    ----------
    samples : sequence of Sample
        At least one.
    longest : int, optional
        Tokens the model's context holds.

    Returns
    -------
    ids, labels : ndarray of int64, shape (samples, length)
        Labels of the padding are `IGNORED`.

    Raises
    ------
    InvalidRequest
        Without a sample, or where one does not fit the context: cut short, it would teach the model
        to stop in the middle, or nothing at all.
    """
    length = max((len(sample.ids) for sample in samples), default=0)
    if not length or (longest is not None and length > longest):
        raise InvalidRequest(
            f"{len(samples)} conversations of up to {length} tokens",
            expected=f"at least one, and none longer than {longest}" if longest else "at least one",
            hint="Raise language.context_length in the recipe" if length else "",
        )
    ids = np.full((len(samples), length), _PAD, np.int64)
    labels = np.full((len(samples), length), IGNORED, np.int64)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = sample.ids
        labels[row, : len(sample.ids)] = sample.labels
    return ids, labels
