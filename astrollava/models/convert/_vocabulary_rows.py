"""The rows of a vocabulary: one text, type and score for each row of the embedding matrix."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from astrollava.errors import InvalidCheckpoint

from ._tokenizer_files import AddedToken

__all__ = ["BYTE", "CONTROL", "NORMAL", "UNKNOWN", "UNUSED", "USER_DEFINED", "Rows"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

#: What the tokens of no merge get, as in llama.cpp's own converter: they are never joined.
_NO_SCORE: Final = -1000.0

_log = logging.getLogger("astrollava")


class Rows:
    """A vocabulary that is being put together.

    Parameters
    ----------
    size : int
        Rows of the embedding matrix.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.texts: list[str | None] = [None] * size
        self.types = [UNUSED] * size
        self.scores = [_NO_SCORE] * size

    def put(self, number: int, text: str, kind: int, score: float = _NO_SCORE) -> None:
        """Fill a row.

        Raises
        ------
        InvalidCheckpoint
            The model has no such row.
        """
        if not 0 <= number < self.size:
            raise InvalidCheckpoint(
                f"the token {text!r:.60} has the number {number}, the model has {self.size} rows",
                expected="the tokenizer of this model",
                hint="The tokenizer's files may be those of another model",
            )
        self.texts[number], self.types[number], self.scores[number] = text, kind, score

    def add(self, added: Mapping[int, AddedToken]) -> None:
        """Put the added tokens over what is there."""
        for number, token in added.items():
            if number >= self.size:
                # Such a token has no embedding: the model cannot have been given it.
                _log.warning("the added token %r has no row in the model: left out", token.text)
                continue
            if token.swallows:
                _log.warning(
                    "the added token %r takes the white space beside it, which llama.cpp does not"
                    " do: text around it may be split in another way",
                    token.text,
                )
            if token.special:
                kind = UNKNOWN if self.types[number] == UNKNOWN else CONTROL
                self.put(number, token.text, kind)
            else:
                # llama.cpp looks for these in the text as it was typed.
                self.put(number, token.text.replace("▁", " "), USER_DEFINED)

    def finished(self) -> tuple[str, ...]:
        """Return the texts, with a name of its own for each row without a token.

        Raises
        ------
        InvalidCheckpoint
            Two rows have the same text.
        """
        known: set[str] = set()
        for text in self.texts:
            if text is not None and text in known:
                raise InvalidCheckpoint(
                    f"the tokenizer has the token {text!r:.60} twice", expected="each token once"
                )
            if text is not None:
                known.add(text)
        names = []
        for number, text in enumerate(self.texts):
            if text is None:
                text = f"[PAD{number}]"
                while text in known:
                    text += "_"
            names.append(text)
        return tuple(names)
