"""A byte-level BPE tokenizer in the words of GGUF."""

from __future__ import annotations

import json
from typing import Any

import gguf

from astrollava.errors import InvalidRequest

__all__ = ["add_tokenizer"]

# Pre-tokenizers as Hugging Face writes them, and llama.cpp's name for each.
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_PRE = (
    (_BYTE_LEVEL, "gpt-2"),
    ({"type": "Sequence", "pretokenizers": [_BYTE_LEVEL]}, "gpt-2"),
)


def _plain(pre: Any) -> Any:
    """Drop keys that change offsets only, never the tokens."""
    if isinstance(pre, dict):
        return {key: _plain(value) for key, value in pre.items() if key != "trim_offsets"}
    return [_plain(value) for value in pre] if isinstance(pre, list) else pre


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
        For a tokenizer whose splitting llama.cpp would not repeat.
    """
    spec = json.loads(tokenizer.to_str())
    vocabulary = _names(tokenizer, vocab_size)
    added = {entry["id"]: entry for entry in spec["added_tokens"]}
    types = []
    for number, name in enumerate(vocabulary):
        if name is None:
            types.append(gguf.TokenType.UNUSED)
        elif number in added:
            special = added[number]["special"]
            types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_name(spec))
    writer.add_token_list(
        [n if n is not None else f"[UNUSED{i}]" for i, n in enumerate(vocabulary)]
    )
    writer.add_token_types(types)
    merges = spec["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(_id(tokenizer, "<s>"))
    writer.add_eos_token_id(_id(tokenizer, "</s>"))
    writer.add_pad_token_id(_id(tokenizer, "<pad>"))
    writer.add_add_bos_token(add_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(chat_template)


def _names(tokenizer: Any, vocab_size: int) -> list[str | None]:
    names: list[str | None] = [None] * vocab_size
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number >= vocab_size:
            raise InvalidRequest(
                f"token {token!r} has the number {number} but the model has {vocab_size} rows",
                expected="a tokenizer that fits the model",
                hint="Export with the tokenizer the model was trained with",
            )
        names[number] = token
    return names


def _id(tokenizer: Any, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise InvalidRequest(
            f"the tokenizer has no token {token}", expected="<s>, </s>, <pad> and <image>"
        )
    return int(number)


def _pre_name(spec: dict[str, Any]) -> str:
    model, pre = spec["model"], _plain(spec["pre_tokenizer"])
    plain_bpe = model["type"] == "BPE" and not any(
        model.get(key)
        for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    )
    if not plain_bpe or spec["normalizer"] is not None:
        raise InvalidRequest(
            f"a {model['type']} tokenizer with the normalizer {spec['normalizer']}",
            expected="byte-level BPE without normalizer, prefixes, suffixes or dropout",
            hint="llama.cpp would split the text in another way than training did",
        )
    for known, name in _PRE:
        if pre == known:
            return name
    raise InvalidRequest(
        f"the pre-tokenizer is {json.dumps(pre)}",
        expected=f"one of {', '.join(json.dumps(known) for known, _ in _PRE)}",
        hint="Add it to _PRE with llama.cpp's name for it, and to the tokenizer test",
    )
