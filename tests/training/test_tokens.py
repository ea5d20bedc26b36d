"""Tokens: a mask one token off teaches the model to ask instead of to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from astrollava.engine.template import ChatTemplate
from astrollava.errors import InvalidRequest
from astrollava_training.data.language import caption, conversation
from astrollava_training.data.phrases import ASKED, OTHER_KINDS, UNSEEABLE
from astrollava_training.data.tokens import (
    CHAT_TEMPLATE,
    IGNORED,
    SPECIAL_TOKENS,
    Sample,
    collate,
    plain,
    tokenize,
    train_tokenizer,
)
from astrollava_training.export import render_chat
from voted_galaxies import any_facts

CORPUS = [
    *(question for wordings in ASKED.values() for question in wordings),
    *UNSEEABLE,
    *(text for texts in OTHER_KINDS.values() for text in texts),
] * 3

# "<" is left out: what looks like a special token is one, in training as in llama.cpp.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="<"))
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(CORPUS, 420)


def messages(pairs: Sequence[tuple[str, str]], *, picture: bool) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for question, answer in pairs:
        said += [
            {"role": "user", "content": [{"type": "text", "text": question}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]
    if picture:
        said[0]["content"].insert(0, {"type": "image"})
    return said


def spread(ids: Sequence[int], image: int, count: int) -> list[int]:
    """Token ids with every picture as long as it is in training."""
    return [one for token in ids for one in ([image] * count if token == image else [token])]


@given(pairs=PAIRS, count=st.integers(0, 5))
def test_the_exported_template_has_the_tokens_of_training(
    tokenizer: Any, pairs: list[tuple[str, str]], count: int
) -> None:
    """A stray space in it, and every prompt is one the model never saw."""
    written = render_chat(messages(pairs, picture=count > 0), generate=False)
    ids = [SPECIAL_TOKENS.index("<s>"), *tokenizer.encode(written).ids]
    image = SPECIAL_TOKENS.index("<image>")
    assert spread(ids, image, count) == tokenize(pairs, tokenizer, count).ids.tolist()


@given(pairs=PAIRS)
def test_the_engine_asks_the_last_question_as_training_did(
    tokenizer: Any, pairs: list[tuple[str, str]]
) -> None:
    """The engine renders with its own sandbox: what it asks must be a beginning of training's."""
    template = ChatTemplate(CHAT_TEMPLATE, marker="<image>", bos="<s>", eos="</s>")
    asked = template.render(messages(pairs, picture=True)[:-1])
    ids = [0, *tokenizer.encode(asked).ids]
    trained = tokenize(pairs, tokenizer, 1)
    learned = tokenizer.encode(f" {pairs[-1][1]}").ids
    assert ids == trained.ids[: -len(learned) - 1].tolist()


@given(pairs=PAIRS, count=st.integers(0, 5))
def test_the_loss_is_on_the_answers_and_their_ends_and_on_nothing_else(
    tokenizer: Any, pairs: list[tuple[str, str]], count: int
) -> None:
    sample = tokenize(pairs, tokenizer, count)
    assert sample.ids.shape == sample.labels.shape
    assert sample.ids.dtype == sample.labels.dtype == np.int64
    learned = sample.labels != IGNORED
    assert np.array_equal(sample.labels[learned], sample.ids[learned])

    def text(chosen: np.ndarray) -> str:
        return str(tokenizer.decode(sample.ids[chosen].tolist(), skip_special_tokens=False))

    # "Answers" are cut off at the end tokens; none of the pairs holds one.
    assert text(learned).split("</s>") == [*(f" {answer}" for _, answer in pairs), ""]
    prompts = [f"USER: {question} ASSISTANT:" for question, _ in pairs]
    if count:
        prompts[0] = f"USER: {'<image>' * count}\n{pairs[0][0]} ASSISTANT:"
    assert text(~learned) == "<s>" + "".join(prompts)
    # Each answer follows its own question.
    turns = np.flatnonzero(np.diff(learned.astype(int)) == 1)
    assert len(turns) == len(pairs)


@given(facts=any_facts(), seed=st.integers(0, 99))
def test_what_is_taught_fits_a_context_of_a_thousand(tokenizer: Any, facts: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert len(tokenize(conversation(facts, rng), tokenizer, 100).ids) < 1000
    text = caption(facts, rng)
    sample = plain(text, tokenizer, 7)
    assert sample.ids[:8].tolist() == [0] + [SPECIAL_TOKENS.index("<image>")] * 7
    assert (sample.labels[:8] == IGNORED).all()
    assert np.array_equal(sample.labels[8:], sample.ids[8:])
    assert tokenizer.decode(sample.ids[8:].tolist(), skip_special_tokens=False) == f" {text}</s>"


def test_the_special_tokens_come_first_and_every_byte_has_one(tokenizer: Any) -> None:
    """`tokenize` writes their numbers without asking the tokenizer."""
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert len(train_tokenizer(["a"], 300).get_vocab()) == 260
    assert tokenizer.get_vocab_size() == 420


def test_the_same_texts_give_the_same_tokenizer() -> None:
    assert train_tokenizer(CORPUS, 420).to_str() == train_tokenizer(CORPUS, 420).to_str()


def test_a_conversation_of_nothing_is_refused(tokenizer: Any) -> None:
    """Its loss would be the mean of nothing: not a number."""
    with pytest.raises(InvalidRequest, match="without a question"):
        tokenize([], tokenizer, 4)


def sample(length: int) -> Sample:
    return Sample(np.arange(10, 10 + length), np.full(length, 5))


def test_batches_are_padded_on_the_right_with_nothing_to_learn() -> None:
    ids, labels = collate([sample(2), sample(4)])
    assert ids.tolist() == [[10, 11, 2, 2], [10, 11, 12, 13]]
    assert labels.tolist() == [[5, 5, IGNORED, IGNORED], [5, 5, 5, 5]]
    assert ids.dtype == labels.dtype == np.int64


def test_what_is_longer_than_the_context_is_refused_and_not_cut() -> None:
    assert collate([sample(8)], longest=8)[0].shape == (1, 8)
    with pytest.raises(InvalidRequest, match=r"2 conversations of up to 9 tokens.*longer than 8"):
        collate([sample(3), sample(9)], longest=8)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="0 conversations"):
        collate([], longest=8)
