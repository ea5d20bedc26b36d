"""BPE tokenizers of Hugging Face: ``tokenizer.json``, or ``vocab.json`` with ``merges.txt``.

llama.cpp knows two ways to split text with merges. For the byte-level one (GPT-2, Qwen2, Llama 3)
it must be told the *pre-tokenizer* that cuts text into words first, by a name that stands for a
regular expression in its source. The other is SentencePiece's, which knows no merges but scores: a
``tokenizer.json`` made from a SentencePiece model is turned back into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint, UnsupportedModel

from ._tokenizer_files import TokenizerFolder, mapping

__all__ = ["BPEFile", "merge_scores", "pre_tokenizer", "read_bpe", "space_prefix"]

_MAX_TOKENS: Final = 1 << 20
_MAX_MERGES: Final = 1 << 21

# The expressions as the models' tokenizer.json files write them.
_GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_QWEN2 = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"""
    r""" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
_LLAMA3 = _QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")

_Step = tuple[object, ...]
_BYTES: Final[_Step] = ("ByteLevel", False, False)
_BYTES_AND_WORDS: Final[_Step] = ("ByteLevel", False, True)


def _split(expression: str) -> _Step:
    return ("Split", expression, "Isolated", False)


#: Steps, and whether whole words are looked up before merging -> llama.cpp's name.
_PRE_TOKENIZERS: Final[dict[tuple[tuple[_Step, ...], bool], str]] = {
    ((_BYTES_AND_WORDS,), False): "gpt-2",
    ((_split(_GPT2), _BYTES), False): "gpt-2",
    ((("Digits", True), _BYTES_AND_WORDS), False): "smollm",
    ((_split(_QWEN2), _BYTES), False): "qwen2",
    ((_split(_LLAMA3), _BYTES), True): "llama-bpe",
    ((_split(_LLAMA3), _BYTES), False): "smaug-bpe",
}

#: What a class of tokenizers does where only its vocabulary and merges are there.
_CLASSES: Final = {
    "GPT2Tokenizer": (_BYTES_AND_WORDS,),
    "Qwen2Tokenizer": (_split(_QWEN2), _BYTES),
}


@dataclass(frozen=True)
class BPEFile:
    """A BPE tokenizer's parts.

    Attributes
    ----------
    vocabulary : mapping
        Token -> number, without added tokens.
    merges : list of (str, str)
        What is joined, first things first.
    byte_level : bool
        Whether tokens spell bytes as GPT-2 does; else as SentencePiece does, with ``<0x0A>``.
    whole_words : bool
        Whether a word that is a token is left whole, whatever the merges say.
    normalizer, steps : tuple
        What is done to the text first, and how it is cut into words.
    before, after : str or None
        The tokens put before and after the text, empty for none; None where the file does not say.
    """

    vocabulary: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    byte_level: bool
    whole_words: bool = False
    normalizer: tuple[_Step, ...] = ()
    steps: tuple[_Step, ...] = ()
    before: str | None = None
    after: str | None = None


def read_bpe(folder: TokenizerFolder) -> BPEFile | None:
    """Read a folder's BPE tokenizer, None where there is none.

    Raises
    ------
    InvalidCheckpoint
        A file is damaged.
    UnsupportedModel
        It is a tokenizer of another kind, or does what llama.cpp cannot.
    """
    if folder.tokenizer:
        return _from_tokenizer_json(folder.tokenizer)
    merges = folder.read("merges.txt")
    if merges is None:
        return None
    kind = folder.settings.get("tokenizer_class")
    name = kind.removesuffix("Fast") if isinstance(kind, str) else "GPT2Tokenizer"
    if name not in _CLASSES:
        raise UnsupportedModel(
            f"the tokenizer is a {name!r:.60} without a tokenizer.json",
            expected=" or ".join(_CLASSES),
            hint="Save it once with transformers: its tokenizer.json tells how text is split",
        )
    if folder.flag("add_prefix_space"):
        raise _unsupported("puts a space before the text")
    lines = str(merges, "utf-8", "replace").split("\n")
    return BPEFile(
        _vocabulary(folder.json("vocab.json")),
        # The first line may say the version. Real merges may begin with "#", too.
        _merges([line for line in lines if line and not line.startswith("#version")]),
        byte_level=True,
        steps=_CLASSES[name],
    )


def _from_tokenizer_json(spec: Mapping[str, Any]) -> BPEFile:
    model = mapping(spec.get("model"), "tokenizer.json: model")
    kind = model.get("type", "BPE" if "merges" in model else "Unigram")
    if kind != "BPE":
        raise _unsupported(f"is of type {kind!r:.40}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise _unsupported(f"has the {key} {model[key]!r:.40}")
    steps = tuple(_flat(spec.get("pre_tokenizer"), "pretokenizers"))
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise InvalidCheckpoint("tokenizer.json has no list of merges")
    before, after = _post_processor(spec.get("post_processor"))
    return BPEFile(
        _vocabulary(model.get("vocab")),
        _merges(merges),
        byte_level=any(step[0] == "ByteLevel" for step in steps),
        whole_words=model.get("ignore_merges") is True,
        normalizer=tuple(_flat(spec.get("normalizer"), "normalizers")),
        steps=steps,
        before=before,
        after=after,
    )


def _vocabulary(value: Any) -> Mapping[str, int]:
    vocabulary = mapping(value, "the tokenizer's vocabulary")
    if not 0 < len(vocabulary) <= _MAX_TOKENS:
        raise InvalidCheckpoint(
            f"the tokenizer has {len(vocabulary)} tokens", expected=f"from 1 to {_MAX_TOKENS}"
        )
    for text, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool):
            raise InvalidCheckpoint(f"the token {text!r:.60} has the number {number!r:.40}")
    return vocabulary


def _merges(values: Sequence[Any]) -> list[tuple[str, str]]:
    if len(values) > _MAX_MERGES:
        raise InvalidCheckpoint(f"the tokenizer has {len(values)} merges")
    found = []
    for value in values:
        pair = value.split(" ") if isinstance(value, str) else value
        good = isinstance(pair, list) and len(pair) == 2
        if not good or not all(isinstance(part, str) and part for part in pair):
            raise InvalidCheckpoint(f"a merge is {value!r:.60}", expected="two tokens")
        found.append((pair[0], pair[1]))
    return found


def _flat(value: Any, inner: str) -> Iterator[_Step]:
    """Yield the steps of a normalizer or pre-tokenizer as tuples that can be compared."""
    if value is None:
        return
    step = mapping(value, f"tokenizer.json: {inner}")
    kind = step.get("type")
    if kind == "Sequence":
        parts = step.get(inner)
        for part in parts if isinstance(parts, list) else ():
            # One level is what is written; more would be a way to exhaust the stack.
            if isinstance(part, dict) and part.get("type") == "Sequence":
                raise _unsupported("has a sequence inside a sequence")
            yield from _flat(part, inner)
    elif kind == "ByteLevel":
        yield "ByteLevel", step.get("add_prefix_space", True), step.get("use_regex", True)
    elif kind in ("Split", "Replace"):
        pattern = mapping(step.get("pattern"), f"tokenizer.json: {kind}")
        text = pattern.get("Regex", pattern.get("String"))
        if kind == "Replace":
            yield kind, text, step.get("content")
        else:
            yield kind, text, step.get("behavior"), step.get("invert", False)
    elif kind == "Digits":
        yield kind, step.get("individual_digits", False)
    elif kind == "Prepend":
        yield kind, step.get("prepend")
    elif kind == "Metaspace":
        scheme = step.get("prepend_scheme")
        if scheme is None:
            scheme = "always" if step.get("add_prefix_space", True) else "never"
        yield kind, step.get("replacement"), scheme, step.get("split", True)
    else:
        yield (json.dumps(step, sort_keys=True)[:200] if len(step) > 1 else str(kind),)


def _post_processor(value: Any) -> tuple[str | None, str | None]:
    """Return the special tokens that are put before and after a text."""
    if value is None:
        return None, None
    step = mapping(value, "tokenizer.json: post_processor")
    parts = step.get("processors") if step.get("type") == "Sequence" else [step]
    before = after = ""
    for part in parts if isinstance(parts, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "ByteLevel":
            continue
        if kind != "TemplateProcessing" or not isinstance(part.get("single"), list):
            raise _unsupported(f"ends with a {kind!r:.40}")
        pieces = [mapping(piece, "tokenizer.json: post_processor") for piece in part["single"]]
        text = next((i for i, piece in enumerate(pieces) if "Sequence" in piece), -1)
        if text not in (0, 1) or len(pieces) - text > 2:
            raise _unsupported("puts several tokens before or after a text")
        before = _special_name(pieces[0]) if text else before
        after = _special_name(pieces[-1]) if len(pieces) - text == 2 else after
    return before, after


def _special_name(piece: Mapping[str, Any]) -> str:
    token = mapping(piece.get("SpecialToken"), "tokenizer.json: post_processor")
    return str(token.get("id"))


def pre_tokenizer(bpe: BPEFile) -> str:
    """Return llama.cpp's name for the way a byte-level tokenizer cuts text into words.

    Raises
    ------
    UnsupportedModel
        llama.cpp has no name for it.

    Notes
    -----
    Qwen2 brings text into Unicode's normal form C first. llama.cpp does not; text that is not in
    this form (it is rare) is split in another way.
    """
    if any(step != ("NFC",) for step in bpe.normalizer):
        raise _unsupported(f"normalizes text with {bpe.normalizer[0][0]}")
    name = _PRE_TOKENIZERS.get((bpe.steps, bpe.whole_words))
    if name is None:
        shown = " then ".join(" ".join(map(str, step)) for step in bpe.steps)
        raise _unsupported(
            f"cuts text into words by {shown}"
            + (", but leaves words that are tokens whole" if bpe.whole_words else "")
        )
    return name


_SPACES: Final[_Step] = ("Replace", " ", "▁")
_PREFIX: Final[_Step] = ("Prepend", "▁")


def space_prefix(bpe: BPEFile) -> str:
    """Return where a tokenizer of SentencePiece's kind puts a space: always, first or never.

    Raises
    ------
    UnsupportedModel
        It treats spaces in a way that is not SentencePiece's.
    """
    first = bpe.steps[0] if bpe.steps else ()
    if not bpe.steps and bpe.normalizer == (_PREFIX, _SPACES):
        return "always"
    if not bpe.steps and bpe.normalizer == (_SPACES,):
        return "never"
    if len(bpe.steps) == 1 and first[:2] == ("Metaspace", "▁") and not bpe.normalizer:
        scheme, splits = first[2:]
        # Where it cuts at spaces, tokens with a space inside are never made.
        if not splits and scheme in ("always", "first", "never"):
            return str(scheme)
    steps = [" ".join(map(str, step)) for step in (*bpe.normalizer, *bpe.steps)]
    raise _unsupported(f"prepares text by {' then '.join(steps) or 'nothing'}")


def merge_scores(bpe: BPEFile, apart: set[str]) -> dict[str, float]:
    """Return scores with which SentencePiece joins what the merges join, in their order.

    Parameters
    ----------
    bpe : BPEFile
        The tokenizer.
    apart : set of str
        Tokens that are found in text before it is split: added tokens.

    Raises
    ------
    UnsupportedModel
        No scores do that: SentencePiece joins any two tokens that make a third, whichever they are.
    """
    spans: dict[str, tuple[int, int]] = {}
    for rank, (left, right) in enumerate(bpe.merges):
        joined = left + right
        spans[joined] = (spans.get(joined, (rank,))[0], rank)
    scores: dict[str, float] = {}
    first, last, before = 0, -1, ""
    for joined, (begins, ends) in spans.items():
        if begins > last:
            first = begins
        elif set(joined + before) != {"▁"}:
            raise _unsupported(f"makes the token {joined!r:.60} at two places in its merges")
        # Runs of spaces have one score in SentencePiece's models: the leftmost is joined first.
        scores[joined] = -float(first)
        last, before = max(last, ends), joined
    merges = set(bpe.merges)
    known = bpe.vocabulary
    for token in known:
        if token in apart or (len(token) == 6 and token.startswith("<0x")):
            continue
        for cut in range(1, len(token)):
            pair = token[:cut], token[cut:]
            if pair[0] in known and pair[1] in known and pair not in merges:
                raise _unsupported(f"has no merge of {pair[0]!r:.40} and {pair[1]!r:.40}")
    return scores


def _unsupported(what: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the tokenizer {what}",
        expected="a tokenizer of Llama, Llama 3, Qwen2, GPT-2 or SmolLM, whose text llama.cpp"
        " splits in the same way",
    )
