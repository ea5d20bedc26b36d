"""A byte-level BPE tokenizer in the words of GGUF."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava.models.convert.vocabulary import vocabulary

__all__ = ["add_tokenizer"]

_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "image_token": "<image>"}


def add_tokenizer(
    writer: Any, tokenizer: Any, *, vocab_size: int, chat_template: str, add_bos: bool
) -> None:
    """Write the ``tokenizer.*`` keys.

    Parameters
    ----------
    writer : gguf.GGUFWriter
        Open, with nothing written yet.
    tokenizer : tokenizers.Tokenizer
        Byte-level BPE with the special tokens ``<s>``, ``</s>``, ``<pad>`` and ``<image>``.
    vocab_size : int
        Rows of the embedding matrix; rows beyond the vocabulary become unused tokens.
    chat_template : str
        Jinja source.
    add_bos : bool
        Whether training put ``<s>`` before every sequence.

    Raises
    ------
    InvalidRequest
        For a tokenizer without these tokens, or with more tokens than rows.
    UnsupportedModel
        For a tokenizer whose splitting llama.cpp would not repeat.
    """
    for token in _SPECIAL.values():
        if tokenizer.token_to_id(token) is None:
            raise InvalidRequest(
                f"the tokenizer has no token {token}", expected="<s>, </s>, <pad> and <image>"
            )
    if tokenizer.get_vocab_size() > vocab_size:
        raise InvalidRequest(
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens for {vocab_size} rows",
            expected="a tokenizer that fits the model",
            hint="Export with the tokenizer the model was trained with",
        )
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(str(Path(folder, "tokenizer.json")))
        settings = json.dumps({**_SPECIAL, "add_bos_token": add_bos})
        Path(folder, "tokenizer_config.json").write_text(settings, encoding="utf-8")
        keys = vocabulary(Path(folder), vocab_size)
    for key, value in keys.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, list(value))
    writer.add_chat_template(chat_template)
