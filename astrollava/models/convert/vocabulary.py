"""A checkpoint's tokenizer in the words of GGUF."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from astrollava.errors import InvalidCheckpoint, UnsupportedModel

from . import _bpe, _sentencepiece
from ._bpe import BPEFile
from ._sentencepiece import SentencePieceModel
from ._tokenizer_files import AddedToken, TokenizerFolder
from ._vocabulary_rows import BYTE, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Rows

__all__ = ["SPACE_PREFIX", "MetadataValue", "vocabulary"]

#: To be written as: bool, u32, string, and arrays of strings, i32 and f32.
MetadataValue: TypeAlias = bool | int | str | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]

#: Where a tokenizer puts its space, if GGUF has no word for it: ``"first"`` is at the
#: start of the prompt only. Readers that do not know this key put none at all.
SPACE_PREFIX: Final = "astrollava.tokenizer.space_prefix"

_log = logging.getLogger("astrollava")


def vocabulary(
    folder: Path, vocab_size: int, *, in_pieces: bool = False
) -> dict[str, MetadataValue]:
    """Turn a folder's tokenizer into the ``tokenizer.ggml.*`` keys of a GGUF file.

    Read are ``tokenizer.model`` (SentencePiece), ``tokenizer.json`` (BPE), or ``vocab.json`` with
    ``merges.txt``, and what stands beside them: ``tokenizer_config.json``, ``added_tokens.json``,
    ``special_tokens_map.json``, ``generation_config.json``, ``config.json``.

    Parameters
    ----------
    folder : Path
        The checkpoint's folder.
    vocab_size : int
        Rows of the embedding matrix. Rows beyond the tokenizer become unused tokens; added tokens
        beyond the rows are left out, with a warning in the log.
    in_pieces : bool
        True where training split the text before and after an image each on its own, as the
        original LLaVA code does: each then begins with SentencePiece's space.

    Returns
    -------
    dict
        Key -> value. An ``int`` is an u32, arrays are of strings, i32 or f32.

    Raises
    ------
    InvalidCheckpoint
        There is no tokenizer, its files are damaged, or it is that of another model.
    UnsupportedModel
        llama.cpp would split text in another way than this tokenizer does.
    """
    files = TokenizerFolder(folder)
    rows = Rows(vocab_size)
    added = files.added()
    bpe = _bpe.read_bpe(files)
    pieces = None if bpe is not None and bpe.byte_level else files.read("tokenizer.model")
    if pieces is not None:
        model = _sentencepiece.parse(pieces, folder / "tokenizer.model")
        keys = _from_sentencepiece(rows, model, files, bpe)
        defaults = model.special
    elif bpe is None:
        raise InvalidCheckpoint(
            f"{folder} holds no tokenizer",
            expected="tokenizer.model, tokenizer.json, or vocab.json with merges.txt",
            hint="Copy the tokenizer's files of the model's original release into the folder",
        )
    else:
        keys = _byte_level(rows, bpe) if bpe.byte_level else _scored(rows, bpe, files, added)
        defaults = {}
    rows.add(added)
    keys["tokenizer.ggml.tokens"] = rows.finished()
    keys["tokenizer.ggml.token_type"] = tuple(rows.types)
    if keys["tokenizer.ggml.model"] == "llama":
        keys["tokenizer.ggml.scores"] = tuple(rows.scores)
    if in_pieces and SPACE_PREFIX in keys:
        del keys[SPACE_PREFIX]
        keys["tokenizer.ggml.add_space_prefix"] = True
    keys |= _special(rows, files, bpe, defaults)
    keys |= _around(files, bpe, byte_level=keys["tokenizer.ggml.model"] == "gpt2")
    if "tokenizer.ggml.bos_token_id" not in keys:
        # llama.cpp would take token 1 or 11, whatever that is.
        keys["tokenizer.ggml.bos_token_id"] = keys["tokenizer.ggml.eos_token_id"]
        keys["tokenizer.ggml.add_bos_token"] = False
    return keys


def _around(
    files: TokenizerFolder, bpe: BPEFile | None, *, byte_level: bool
) -> dict[str, MetadataValue]:
    """Tell whether tokens are put before and after a text."""
    before, after = files.flag("add_bos_token"), files.flag("add_eos_token")
    if before is None:
        known = bpe is not None and bpe.before is not None
        before = bool(bpe and bpe.before) if known else not byte_level
    if after is None:
        after = bool(bpe and bpe.after)
    return {
        "tokenizer.ggml.add_bos_token": before,
        "tokenizer.ggml.add_eos_token": after,
    }


def _byte_level(rows: Rows, bpe: BPEFile) -> dict[str, MetadataValue]:
    for text, number in bpe.vocabulary.items():
        rows.put(number, text, NORMAL)
    if not bpe.merges:
        raise UnsupportedModel("the tokenizer has no merges", expected="a trained tokenizer")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _bpe.pre_tokenizer(bpe),
        "tokenizer.ggml.merges": tuple(" ".join(pair) for pair in bpe.merges),
    }


def _scored(
    rows: Rows, bpe: BPEFile, files: TokenizerFolder, added: Mapping[int, AddedToken]
) -> dict[str, MetadataValue]:
    """Turn a ``tokenizer.json`` that was made from a SentencePiece model back into one."""
    scores = _bpe.merge_scores(bpe, {token.text for token in added.values()})
    unknown = files.special_text("unk") or "<unk>"
    for text, number in bpe.vocabulary.items():
        if text == unknown:
            rows.put(number, text, UNKNOWN)
        elif len(text) == 6 and text.startswith("<0x"):
            rows.put(number, text, BYTE)
        elif text in scores:
            rows.put(number, text, NORMAL, scores[text])
        else:
            # Letters: the start of all joining. What they score is never asked.
            rows.put(number, text, NORMAL)
    return _spm_keys(_bpe.space_prefix(bpe))


def _from_sentencepiece(
    rows: Rows, model: SentencePieceModel, files: TokenizerFolder, bpe: BPEFile | None
) -> dict[str, MetadataValue]:
    fault = ""
    if model.algorithm != _sentencepiece.BPE:
        fault = f"is of SentencePiece's kind {model.algorithm} (unigram is 1), not BPE (2)"
    elif model.rewrites and model.normalizer != "identity":
        fault = f"normalizes text by {model.normalizer or 'rules of its own'!r:.40}"
    elif model.squeezes_spaces:
        fault = "makes one space of many"
    elif not model.escapes_spaces:
        fault = "leaves spaces as they are"
    elif model.types.count(BYTE) != 256:
        fault = "cannot spell all bytes"
    if fault:
        raise UnsupportedModel(
            f"the tokenizer {fault}",
            expected="SentencePiece as Llama uses it: llama.cpp would split text in another way",
        )
    for number, (text, score, kind) in enumerate(
        zip(model.pieces, model.scores, model.types, strict=True)
    ):
        written = text.replace("▁", " ") if kind == USER_DEFINED else text
        rows.put(number, written, kind, score)
    if USER_DEFINED in model.types and model.dummy_prefix:
        _log.warning(
            "the tokenizer has symbols of its own, such as %r, after which llama.cpp puts a space",
            model.pieces[model.types.index(USER_DEFINED)],
        )
    if bpe is not None:
        return _spm_keys(_bpe.space_prefix(bpe))
    wanted = files.flag("add_prefix_space")
    prefix = "always" if (model.dummy_prefix if wanted is None else wanted) else "never"
    # What transformers calls legacy is a space after each special token, too.
    if prefix == "always" and files.flag("legacy") is False:
        prefix = "first"
    return _spm_keys(prefix)


def _spm_keys(prefix: str) -> dict[str, MetadataValue]:
    keys: dict[str, MetadataValue] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.add_space_prefix": prefix == "always",
    }
    if prefix == "first":
        keys[SPACE_PREFIX] = prefix
    return keys


_KEYS: Final = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
}


def _special(
    rows: Rows, files: TokenizerFolder, bpe: BPEFile | None, defaults: Mapping[str, int]
) -> dict[str, MetadataValue]:
    """Find the tokens with a meaning, those that end a text among them."""
    numbers = {text: number for number, text in enumerate(rows.texts) if text is not None}
    found: dict[str, int] = {}
    for role in _KEYS:
        text = files.special_text(role)
        if text is None and role == "bos" and bpe is not None:
            text = bpe.before
        number = numbers.get(text or "")
        if number is None:
            number = files.configured(role)
        if number is None:
            number = defaults.get(role, -1)
        if 0 <= number < rows.size and rows.types[number] != UNUSED:
            found[role] = number
    stops = [stop for stop in files.stops() if stop < rows.size]
    if "eos" not in found:
        if not stops:
            raise InvalidCheckpoint(
                "the tokenizer names no token that ends a text",
                expected="an eos_token in tokenizer_config.json, or eos_token_id in config.json",
            )
        found["eos"] = stops[0]
    keys: dict[str, MetadataValue] = {_KEYS[role]: number for role, number in found.items()}
    others = [stop for stop in dict.fromkeys(stops) if stop != found["eos"]]
    for name, stop in zip(("eot", "eom"), others, strict=False):
        keys[f"tokenizer.ggml.{name}_token_id"] = stop
    for stop in others[2:]:
        _log.warning("generation also ends at %r, for which GGUF has no place", rows.texts[stop])
    return keys
