"""SentencePiece's ``tokenizer.model``, read without its package.

The file is a protocol buffer (``sentencepiece_model.proto`` of google/sentencepiece). A handful of
its fields decide how text is split; they are read here with the format's four wire types, from
bytes that are not trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidCheckpoint

__all__ = ["BPE", "SentencePieceModel", "parse"]

#: ``TrainerSpec.ModelType``: pieces joined by their scores. The default is 1, UNIGRAM.
BPE: Final = 2

_MAX_PIECES: Final = 1 << 20
_HINT: Final = "Download the file again"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass
class SentencePieceModel:
    """What of a ``tokenizer.model`` decides how text is split.

    Attributes
    ----------
    pieces : list of str
        Token texts, by number; a space is written ▁ (U+2581).
    scores : list of float
        The pair whose joined piece has the highest score is joined first.
    types : list of int
        1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: GGUF's numbers, too.
    algorithm : int
        1 unigram, 2 BPE, 3 word, 4 char.
    special : dict
        ``"unk"``, ``"bos"``, ``"eos"`` and ``"pad"`` -> token, -1 for none.
    dummy_prefix : bool
        Whether a space is put before the text.
    squeezes_spaces : bool
        Whether runs of spaces become one.
    escapes_spaces : bool
        Whether a space becomes ▁.
    normalizer : str
        Name of the normalization; ``"identity"`` does nothing.
    rewrites : bool
        Whether the normalization has rules.
    """

    pieces: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    algorithm: int = 1
    special: dict[str, int] = field(
        default_factory=lambda: {"unk": 0, "bos": 1, "eos": 2, "pad": -1}
    )
    dummy_prefix: bool = True
    squeezes_spaces: bool = True
    escapes_spaces: bool = True
    normalizer: str = ""
    rewrites: bool = False


def parse(data: bytes, path: Path) -> SentencePieceModel:
    """Read the bytes of a ``tokenizer.model``.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : Path
        Its name, for errors.

    Raises
    ------
    InvalidCheckpoint
        It is no sound SentencePiece model.
    """
    model = SentencePieceModel()
    try:
        for number, value in _fields(memoryview(data)):
            if number == 1 and isinstance(value, memoryview):
                _piece(model, value)
            elif number == 2 and isinstance(value, memoryview):
                _trainer(model, value)
            elif number == 3 and isinstance(value, memoryview):
                _normalizer(model, value)
    except (ValueError, IndexError, struct.error) as error:
        raise InvalidCheckpoint(
            f"{path} is no sound SentencePiece model ({error})", hint=_HINT
        ) from None
    if not model.pieces:
        raise InvalidCheckpoint(f"{path} holds no tokens", hint=_HINT)
    return model


def _piece(model: SentencePieceModel, data: memoryview) -> None:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            text = str(value, "utf-8")
        elif number == 2 and isinstance(value, float):
            score = value
        elif number == 3 and isinstance(value, int):
            kind = value
    if not text or not 1 <= kind <= 6 or score != score:
        raise ValueError(f"token {len(model.pieces)} is {text!r:.40} of type {kind}")
    if len(model.pieces) >= _MAX_PIECES:
        raise ValueError(f"more than {_MAX_PIECES} tokens")
    model.pieces.append(text)
    model.scores.append(score)
    model.types.append(kind)


_SPECIAL: Final = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}


def _trainer(model: SentencePieceModel, data: memoryview) -> None:
    for number, value in _fields(data):
        if not isinstance(value, int):
            continue
        if number == 3:
            model.algorithm = value
        elif number in _SPECIAL:
            # Negative numbers are written as 64 bits.
            model.special[_SPECIAL[number]] = value - (1 << 64) if value >> 63 else value


def _normalizer(model: SentencePieceModel, data: memoryview) -> None:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            model.normalizer = str(value, "utf-8")
        elif number in (2, 6) and isinstance(value, memoryview):
            model.rewrites |= bool(value)
        elif number == 3:
            model.dummy_prefix = bool(value)
        elif number == 4:
            model.squeezes_spaces = bool(value)
        elif number == 5:
            model.escapes_spaces = bool(value)


def _fields(data: memoryview) -> Iterator[tuple[int, int | float | memoryview]]:
    """Yield the number and value of each field of a message; ``IndexError`` past its end."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | float | memoryview
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError(f"a field of {size} bytes where {len(data) - at} are left")
            value = data[at : at + size]
            at += size
        elif wire == _FIXED32:
            value = struct.unpack_from("<f", data, at)[0]
            at += 4
        elif wire == _FIXED64:
            value = struct.unpack_from("<q", data, at)[0]
            at += 8
        else:
            raise ValueError(f"a field of the unknown wire type {wire}")
        yield number, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number of more than ten bytes")
