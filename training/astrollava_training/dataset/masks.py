"""Text to tokens, and which of them are learnt: a wrong mask stops the run.

A mask built from offsets of characters is right for any tokenizer, or it is seen to be wrong. A
mask that is empty, covers a part of the prompt or drops a part of an answer trains a model to no
purpose or to a bad one, and is hard to see in a loss curve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.dataset.rows import IMAGE, Row
from astrollava_training.dataset.templates import Template, Written

__all__ = ["MaskError", "Tokens", "TooLong", "Unfit", "Writer"]

_AT_ONCE = 512  # texts given to the tokenizer together


class MaskError(InvalidRequest):
    """The label mask of a conversation is empty, covers a prompt or drops an answer."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """A conversation as tokens.

    Attributes
    ----------
    ids : ndarray of int32, shape (length,)
        With the token of the picture once for each of its features.
    learned : ndarray of bool, shape (length,)
        Whether a loss is taken on the token.
    turns : int
        Turns it has; those that would make it too long are left out.
    """

    ids: NDArray[np.int32]
    learned: NDArray[np.bool_]
    turns: int


@dataclass(frozen=True)
class Unfit:
    """Why a row is not turned into tokens."""

    reason: str


@dataclass(frozen=True)
class TooLong(Unfit):
    """Not even the first answer fits: the tokens that it takes."""

    tokens: int


class Writer:
    """Makes tokens of rows.

    Parameters
    ----------
    template : Template
    tokenizer : transformers tokenizer
        A fast one, which says where in the text its tokens stand, and knows `IMAGE` as one token.
    image : sequence of int
        Tokens that stand for a picture: that of `IMAGE` for each of its features, and what belongs
        before and after them.
    length : int
        Tokens of the longest conversation.

    Raises
    ------
    InvalidRequest
        If the tokenizer has no token for the picture, or says no offsets.
    """

    def __init__(
        self, template: Template, tokenizer: Any, *, image: Sequence[int], length: int
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise InvalidRequest(
                "the tokenizer does not say where in a text its tokens stand",
                expected="a fast tokenizer, with a tokenizer.json",
            )
        if IMAGE not in tokenizer.get_vocab():
            raise InvalidRequest(f"the tokenizer has no token {IMAGE}", expected="one")
        self._image = int(tokenizer.convert_tokens_to_ids(IMAGE))
        self._template = template
        self._tokenizer = tokenizer
        self._picture = np.array(image, np.int32)
        self._length = length
        self._reserved = [
            text
            for text, number in tokenizer.get_added_vocab().items()
            if text.strip() and (number in tokenizer.all_special_ids or text == IMAGE)
        ]
        self._ends = set(tokenizer.all_special_ids)
        bos = tokenizer.bos_token_id
        self._bos = bos if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else None

    def __call__(self, rows: Sequence[Row]) -> Iterator[Tokens | Unfit]:
        """Turn rows into tokens, one result a row, in their order.

        Raises
        ------
        MaskError
            If a mask is wrong; the message shows the conversation and what would be learnt of it.
        TemplateError
            If the template cannot be used.
        """
        for begin in range(0, len(rows), _AT_ONCE):
            part = rows[begin : begin + _AT_ONCE]
            written = [
                None if self._refused(row) else self._template.write(
                    row.turns, picture=row.picture is not None
                )
                for row in part
            ]  # fmt: skip
            encoded = self._encode([text.text for text in written if text is not None])
            for row, text in zip(part, written, strict=True):
                if text is None:
                    yield Unfit(self._refused(row))
                else:
                    yield self._fitted(row, text, *next(encoded))

    def _refused(self, row: Row) -> str:
        """Say why a row cannot be written, or nothing."""
        for question, answer in row.turns:
            for token in self._reserved:
                if token in question or token in answer:
                    return f"a text holds {token!r}, which the tokenizer takes for a control token"
        return self._template.refusal(row.turns, picture=row.picture is not None)

    def _encode(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        if texts:
            found = self._tokenizer(
                list(texts), add_special_tokens=False, return_offsets_mapping=True,
                return_attention_mask=False, truncation=False,
            )  # fmt: skip
            for ids, offsets in zip(found["input_ids"], found["offset_mapping"], strict=True):
                yield np.array(ids, np.int32), np.array(offsets, np.int64).reshape(-1, 2)

    def _fitted(
        self, row: Row, text: Written, ids: NDArray[np.int32], offsets: NDArray[np.int64]
    ) -> Tokens | Unfit:
        turns = len(row.turns)
        while True:
            learned = self._mask(row, turns, text, ids, offsets)
            whole, mask = self._expanded(ids, learned)
            if len(whole) <= self._length:
                return Tokens(whole, mask, turns)
            # Whole turns are left out: an answer cut short teaches to stop in the middle.
            turns -= 1
            if turns == 0:
                return TooLong(f"{len(whole)} tokens, more than {self._length}", len(whole))
            text = self._template.write(row.turns[:turns], picture=row.picture is not None)
            ids, offsets = next(self._encode([text.text]))

    def _mask(
        self,
        row: Row,
        turns: int,
        text: Written,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Say which tokens are learnt, by the characters they stand for, and check it."""
        inside = np.zeros(len(text.text), np.bool_)
        for begin, end in text.answers:
            inside[begin:end] = True
        solid = ~np.fromiter(map(str.isspace, text.text), np.bool_, len(text.text))
        begins, ends = offsets[:, 0], offsets[:, 1]

        def count(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
            sums = np.concatenate([[0], np.cumsum(marks)])
            return np.asarray(sums[ends] - sums[begins])

        learned: NDArray[np.bool_] = count(inside) > 0
        problem = ""
        changes = np.zeros(len(text.text) + 1, np.int64)
        np.add.at(changes, begins[learned], 1)
        np.add.at(changes, ends[learned], -1)
        covered = np.cumsum(changes)[:-1] > 0
        answers = [answer for _, answer in row.turns[:turns]]
        if not learned.any():
            problem = "is empty"
        elif (learned & (count(~inside & solid) > 0)).any():
            problem = "covers a part of the prompt"
        elif (inside & solid & ~covered).any() or any(
            answer not in text.text[begin:end]
            for answer, (begin, end) in zip(answers, text.answers, strict=True)
        ):
            problem = "drops a part of an answer"
        elif self._template.jinja is not None and not all(
            ids[learned & (begins < end) & (ends <= end)][-1] in self._ends
            for _, end in text.answers
        ):
            problem = "has no end token after an answer: the model would never stop"
        elif np.count_nonzero(ids == self._image) != (row.picture is not None):
            problem = f"has not exactly one {IMAGE} for its picture"
        if problem:
            raise MaskError(
                f"the label mask of {row.id!r} ({row.place}) {problem}:\n"
                f"{_shown(text.text, offsets, learned)}\n",
                expected="a mask over every answer and its end token, and over nothing else",
                hint="Marked with ⟦⟧ is what would be learnt; see the template of the recipe",
            )
        return learned

    def _expanded(
        self, ids: NDArray[np.int32], learned: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Put all that stands for a picture where it is, and begin with the first token."""
        for place in np.flatnonzero(ids == self._image)[::-1]:
            after = place + 1
            ids = np.concatenate([ids[:place], self._picture, ids[after:]])
            unlearned = np.zeros(len(self._picture), np.bool_)
            learned = np.concatenate([learned[:place], unlearned, learned[after:]])
        if self._bos is not None and (not len(ids) or ids[0] != self._bos):
            ids = np.concatenate([np.array([self._bos], np.int32), ids])
            learned = np.concatenate([[False], learned])
        return ids, learned


def _shown(text: str, offsets: NDArray[np.int64], learned: NDArray[np.bool_]) -> str:
    """Mark in a text what would be learnt."""
    marked, last = "", 0
    for begin, end in offsets[learned]:
        if begin >= last:
            marked += text[last:begin] + "⟦" + text[begin:end] + "⟧"
            last = int(end)
    return (marked + text[last:]).replace("⟧⟦", "")
