"""Tokenizers of each kind, trained on a few sentences and saved as checkpoints have them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CORPUS = (
    "This is a barred spiral galaxy seen face-on. It has two loosely wound arms and a small bulge.",
    "USER: Is there a bar? ASSISTANT: Yes, there is a bar. No, there isn't one; it's edge-on.",
    "The picture shows 3 arms, 12 sources and 2048 pixels at z=0.034.\n\nThe PSF\tis 1.2''.",
    "    indented code(x, y) {return x + y;}  two  spaces   three\r\n",
    "une galaxie très éloignée; die Größe beträgt 5 µm; 銀河は美しい; αβγ δ Cen",
)

#: Expressions as the models' own tokenizer.json files have them.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def byte_level(
    folder: Path,
    kind: str,
    *,
    size: int = 420,
    settings: Mapping[str, Any] | None = None,
    added: Sequence[Any] = (),
) -> Any:
    """Save a tokenizer like GPT-2's, Qwen2's, Llama 3's or SmolLM's, and return it."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        processors,
        trainers,
    )
    from tokenizers import pre_tokenizers as pre

    specials = {
        "gpt2": ["<|endoftext|>"],
        "smollm": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
    }[kind]
    bpe = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    bytes_only = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    words = pre.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.pre_tokenizer = {
        "gpt2": words,
        "smollm": pre.Sequence([pre.Digits(individual_digits=True), words]),
        "qwen2": pre.Sequence([pre.Split(Regex(QWEN2), "isolated"), bytes_only]),
        "llama3": pre.Sequence([pre.Split(Regex(LLAMA3), "isolated"), bytes_only]),
    }[kind]
    if kind == "qwen2":
        bpe.normalizer = normalizers.NFC()
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(CORPUS * 5, trainer)
    bpe.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    bpe.add_tokens(list(added))
    if kind == "llama3":
        bos = specials[0]
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save(str(folder / "tokenizer.json"))
    save(folder / "tokenizer_config.json", {"eos_token": specials[-1], **(settings or {})})
    return bpe


def llama_pieces(size: int = 460) -> tuple[list[str], list[float], list[int]]:
    """Train a vocabulary as SentencePiece has it: texts, scores and types of its pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False)
    # Letters of one text only: the others are to be spelt in bytes.
    bpe.train_from_iterator([line for line in CORPUS if line.isascii()] * 5, trainer)
    joined = ["".join(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    runs = ["▁▁", "▁▁▁▁"]
    letters = sorted({letter for token in bpe.get_vocab() for letter in token} - {"\n", "\r", "\t"})
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, 3, 3, *[6] * 256]
    rest = [t for t in dict.fromkeys([*joined, *runs]) if not set(t) & set("\n\r\t")] + letters
    scores = [0.0] * len(pieces) + [-float(rank) for rank in range(len(rest))]
    return pieces + rest, scores, types + [1] * len(rest)


def sentencepiece_model(
    pieces: Sequence[str],
    scores: Sequence[float],
    types: Sequence[int],
    *,
    algorithm: int = 2,
    dummy_prefix: bool = True,
    squeezes_spaces: bool = False,
    normalizer: str = "identity",
    charsmap: bytes = b"",
    bos: int = 1,
) -> bytes:
    """Write a ``tokenizer.model`` by hand, as the protocol buffer it is."""
    out = b""
    for text, score, kind in zip(pieces, scores, types, strict=True):
        piece = _bytes(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        out += _bytes(1, piece + (_number(3, kind) if kind != 1 else b""))
    trainer = _number(3, algorithm) + _number(35, 1) + _number(40, 0) + _number(41, bos)
    out += _bytes(2, trainer + _number(42, 2) + _number(43, -1))
    rules = _bytes(1, normalizer.encode()) + (_bytes(2, charsmap) if charsmap else b"")
    out += _bytes(3, rules + _number(3, dummy_prefix) + _number(4, squeezes_spaces) + _number(5, 1))
    return out


def llama(
    folder: Path,
    scheme: str,
    *,
    files: str = "both",
    added: Sequence[Any] = (),
    vocabulary: tuple[list[str], list[float], list[int]] | None = None,
) -> Any:
    """Save a tokenizer like Llama's (``files``: json, model or both) and return it.

    `scheme` says where a space is put: always (as a normalizer or as Metaspace), first or never.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from tokenizers import pre_tokenizers as pre
    from transformers.convert_slow_tokenizer import generate_merges

    pieces, scores, types = vocabulary or llama_pieces()
    vocab = {text: number for number, text in enumerate(pieces)}
    by_text = {t: s for t, s, kind in zip(pieces, scores, types, strict=True) if kind == 1}
    merges = generate_merges(vocab, by_text)
    bpe = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if scheme == "normalizer":
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        bpe.normalizer = normalizers.Sequence(steps)
    else:
        bpe.pre_tokenizer = pre.Metaspace("▁", prepend_scheme=scheme, split=False)
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    bpe.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")]
    )
    bpe.add_tokens(list(added))
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder.mkdir(parents=True, exist_ok=True)
    if files != "model":
        bpe.save(str(folder / "tokenizer.json"))
    if files != "json":
        data = sentencepiece_model(pieces, scores, types, dummy_prefix=scheme != "never")
        (folder / "tokenizer.model").write_bytes(data)
    save(
        folder / "tokenizer_config.json",
        {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "legacy": scheme != "first",
            "added_tokens_decoder": {
                str(bpe.token_to_id(str(t.content))): {"content": t.content, "special": t.special}
                for t in added
            },
        },
    )
    return bpe


def save(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data
