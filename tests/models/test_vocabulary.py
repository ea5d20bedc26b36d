"""Tokenizers of checkpoints: llama.cpp must split text as transformers' tokenizers do."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf as gguf_py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.engine import _native as native
from astrollava.engine import runtime
from astrollava.errors import InvalidCheckpoint, ModelError, UnsupportedModel
from astrollava.models import gguf
from astrollava.models.convert import _sentencepiece
from astrollava.models.convert.vocabulary import MetadataValue, vocabulary
from tiny_tokenizers import CORPUS, byte_level, llama, llama_pieces, save, sentencepiece_model

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

ROWS = 512
KINDS = ("gpt2", "smollm", "qwen2", "llama3")
TEXTS = (
    *CORPUS, "Hello World 12345 it's IT'S", "trail  ", "a\n\nb\n", "<0x41>", "ünïcode 銀河 😀", "",
    "x<image>\ny", "</s>USER: hi</s>", "<|im_start|>user\nhi<|im_end|>\n", "a<box>b", "<box>",
)  # fmt: skip
ALPHABET = "aeglrstSxUR '.,:<>|\n\r\t0123éßµα銀河😀_-\u2581\u00a0"


def added() -> list[Any]:
    """An image token and a plain one, as LLaVA checkpoints have them."""
    return [
        tokenizers.AddedToken("<image>", special=True, normalized=False),
        tokenizers.AddedToken("<box>", special=False, normalized=False),
    ]


def write_model(path: Path, keys: Mapping[str, MetadataValue]) -> Path:
    """Write the smallest model that llama.cpp loads, with this vocabulary."""
    out = gguf_py.GGUFWriter(path, "llama")
    rows, width = len(keys["tokenizer.ggml.tokens"]), 32
    out.add_vocab_size(rows)
    out.add_context_length(64)
    out.add_embedding_length(width)
    out.add_feed_forward_length(width)
    out.add_block_count(1)
    out.add_head_count(1)
    out.add_layer_norm_rms_eps(1e-5)
    for key, value in keys.items():
        if isinstance(value, tuple):
            out.add_array(key, list(value))
        elif isinstance(value, bool):
            out.add_bool(key, value)
        elif isinstance(value, int):
            out.add_uint32(key, value)
        else:
            out.add_string(key, value)
    out.add_tensor("token_embd.weight", np.zeros((rows, width), np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        out.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        out.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


Load = Callable[[Path, Mapping[str, MetadataValue]], native.TextModel]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Write a vocabulary to a file, hold it against the header check, and load it."""
    loaded = []

    def load(folder: Path, keys: Mapping[str, MetadataValue]) -> native.TextModel:
        path = write_model(folder / "model.gguf", keys)
        gguf.check_text(gguf.read_header(path))
        loaded.append(native.TextModel(runtime.load(), path, n_gpu_layers=0))
        return loaded[-1]

    yield load
    for model in loaded:
        model.free()


def split(model: native.TextModel, text: str) -> list[int]:
    """The tokens of a whole prompt, as the engine has them."""
    tokens = model.tokenize(text, start=True)
    return [model.bos, *tokens] if model.adds_bos else tokens


Pair = tuple[Any, native.TextModel]


@pytest.fixture(scope="module")
def byte_pairs(load: Load, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    pairs = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        theirs = byte_level(folder, kind, added=added())
        pairs[kind] = theirs, load(folder, vocabulary(folder, ROWS))
    return pairs


@pytest.mark.parametrize("kind", KINDS)
def test_byte_level_tokens_are_those_of_transformers(
    byte_pairs: dict[str, Pair], kind: str
) -> None:
    """A wrong pre-tokenizer gives tokens the model has never seen in such places."""
    theirs, ours = byte_pairs[kind]
    for text in TEXTS:
        assert split(ours, text) == theirs.encode(text).ids, text


@settings(max_examples=60)
@given(st.sampled_from(KINDS), st.text(ALPHABET, max_size=40))
def test_any_text_is_split_the_same_at_byte_level(
    byte_pairs: dict[str, Pair], kind: str, text: str
) -> None:
    """Rare mixtures of digits, spaces and scripts reach the corners of the expressions."""
    theirs, ours = byte_pairs[kind]
    text = unicodedata.normalize("NFC", text)
    assert split(ours, text) == theirs.encode(text).ids


LLAMAS = [(s, f) for s in ("normalizer", "always", "first", "never") for f in ("json", "model")]


@pytest.fixture(scope="module")
def llamas(load: Load, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Pair]:
    pairs = {}
    for scheme, files in LLAMAS:
        folder = tmp_path_factory.mktemp(f"{scheme}-{files}")
        theirs = llama(folder, scheme, files=files, added=added())
        pairs[scheme, files] = theirs, load(folder, vocabulary(folder, ROWS))
    return pairs


@pytest.mark.parametrize("key", LLAMAS, ids="-".join)
def test_sentencepiece_tokens_are_those_of_transformers(
    llamas: dict[tuple[str, str], Pair], key: tuple[str, str]
) -> None:
    """From tokenizer.json the scores must be recovered; llama.cpp's own converter has them all
    equal, which splits nearly every word wrongly."""
    theirs, ours = llamas[key]
    for text in TEXTS:
        # Metaspace puts no second space before one; SentencePiece and llama.cpp do.
        if key[0] != "always" or not text.startswith(" "):
            assert split(ours, text) == theirs.encode(text).ids, text


@settings(max_examples=60)
@given(st.sampled_from(LLAMAS), st.text(ALPHABET.replace("\u2581", ""), max_size=40))
def test_any_text_is_split_the_same_by_sentencepiece(
    llamas: dict[tuple[str, str], Pair], key: tuple[str, str], text: str
) -> None:
    """Overlapping joins, runs of spaces and bytes are where scores and merges could part."""
    theirs, ours = llamas[key]
    text = text.lstrip(" ") if key[0] == "always" else text
    assert split(ours, text) == theirs.encode(text).ids


def test_a_space_comes_first_in_the_prompt_only(llamas: dict[tuple[str, str], Pair]) -> None:
    """Llama's newer tokenizers put no space after an image or a special token."""
    theirs, ours = llamas["first", "json"]
    prompt = "USER: <image>\nIs there a bar?</s>No"
    image = theirs.token_to_id("<image>")
    before, after = prompt.split("<image>")
    ids = theirs.encode(prompt).ids
    assert [*split(ours, before), image, *ours.tokenize(after)] == ids


def test_runs_of_spaces_share_a_score(tmp_path: Path, load: Load) -> None:
    """Llama gives all of them one: their merges then stand mixed in tokenizer.json."""
    runs = {"▁" * n for n in range(2, 9)}
    pieces, scores, types = llama_pieces()
    known = set(pieces)
    pieces += sorted(runs - known)
    types += [1] * (len(pieces) - len(types))
    scores = [*scores, *[0.0] * (len(pieces) - len(scores))]
    scores = [-1e9 if p in runs else s for p, s in zip(pieces, scores, strict=True)]
    theirs = llama(tmp_path, "always", files="json", vocabulary=(pieces, scores, types))
    merges = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "merges"
    ]
    ranks = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), []).append(rank)
    assert ranks["▁" * 8][-1] - ranks["▁" * 8][0] >= len(ranks["▁" * 8])
    model = load(tmp_path, vocabulary(tmp_path, ROWS))
    for text in (*TEXTS[:4], *("a" + " " * n + "b" for n in range(1, 10))):
        if not text.startswith(" "):
            assert split(model, text) == theirs.encode(text).ids, text


def test_text_in_pieces_begins_with_a_space_each(tmp_path: Path, load: Load) -> None:
    """The original LLaVA code splits what follows an image as a text of its own."""
    theirs = llama(tmp_path, "first")
    model = load(tmp_path, vocabulary(tmp_path, ROWS, in_pieces=True))
    assert model.tokenize("\nWhat") == theirs.encode("\nWhat").ids[1:]
    assert model.tokenize("\nWhat", start=True) == model.tokenize("\nWhat")


def test_transformers_own_tokenizer_is_repeated(tmp_path: Path, load: Load) -> None:
    """What transformers makes of a folder, and saves, is the measure; not the files as such."""
    from transformers import AutoTokenizer, Qwen2Tokenizer

    made = byte_level(tmp_path, "qwen2")
    spec = json.loads(made.to_str())["model"]
    merges = [tuple(pair) for pair in spec["merges"]]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Qwen2Tokenizer(
        vocab=spec["vocab"], merges=merges, eos_token=special[2], extra_special_tokens=special[:2]
    )
    saved = tmp_path / "saved"
    tokenizer.save_pretrained(saved)
    again = AutoTokenizer.from_pretrained(saved)
    model = load(saved, vocabulary(saved, ROWS))
    for text in TEXTS:
        assert split(model, text) == again(text)["input_ids"], text
    assert model.eos_text == "<|im_end|>"


def test_old_qwen_files_do(tmp_path: Path, load: Load) -> None:
    """Fine-tuned checkpoints often carry vocab.json and merges.txt alone."""
    theirs = byte_level(tmp_path, "qwen2")
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    save(tmp_path / "vocab.json", spec["model"]["vocab"])
    lines = ["#version: 0.2", *(" ".join(pair) for pair in spec["model"]["merges"])]
    (tmp_path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    save(tmp_path / "added_tokens.json", {t["content"]: t["id"] for t in spec["added_tokens"]})
    special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    save(tmp_path / "special_tokens_map.json", {"additional_special_tokens": special})
    save(
        tmp_path / "tokenizer_config.json",
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"},
    )
    keys = vocabulary(tmp_path, ROWS)
    model = load(tmp_path, keys)
    for text in TEXTS:
        assert split(model, text) == theirs.encode(text).ids, text
    types = dict(zip(keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"], strict=True))
    assert types["<|im_end|>"] == 3


def test_rows_and_roles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Padded embeddings need a token a row; an added token without a row cannot be used."""
    made = llama(tmp_path, "always", added=added())
    size = made.get_vocab_size()
    save(tmp_path / "generation_config.json", {"eos_token_id": [2, size - 2]})
    padded = vocabulary(tmp_path, size + 5)
    assert len(padded["tokenizer.ggml.tokens"]) == len(padded["tokenizer.ggml.scores"]) == size + 5
    assert padded["tokenizer.ggml.tokens"][-1] == f"[PAD{size + 4}]"
    assert padded["tokenizer.ggml.token_type"][-6:] == (4, 5, 5, 5, 5, 5)
    assert padded["tokenizer.ggml.eos_token_id"] == 2
    assert padded["tokenizer.ggml.eot_token_id"] == size - 2
    with caplog.at_level(logging.WARNING, "astrollava"):
        short = vocabulary(tmp_path, size - 1)
    assert "<box>" in caplog.text
    assert "<box>" not in short["tokenizer.ggml.tokens"]
    with pytest.raises(InvalidCheckpoint, match="the model has 300 rows"):
        vocabulary(tmp_path, 300)


def test_a_model_without_a_first_token_gets_none(tmp_path: Path) -> None:
    """llama.cpp would put its default, some token, before every prompt."""
    pieces, scores, types = llama_pieces()
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model(pieces, scores, types, bos=-1))
    keys = vocabulary(tmp_path, ROWS)
    assert keys["tokenizer.ggml.add_bos_token"] is False
    assert keys["tokenizer.ggml.bos_token_id"] == keys["tokenizer.ggml.eos_token_id"] == 2


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"algorithm": 1}, "unigram"),
        ({"normalizer": "nmt_nfkc", "charsmap": b"rules"}, "nmt_nfkc"),
        ({"squeezes_spaces": True}, "one space of many"),
    ],
)
def test_other_sentencepiece_models_are_refused(
    tmp_path: Path, options: dict[str, Any], names: str
) -> None:
    """llama.cpp would load them and split text in another way without a word."""
    data = sentencepiece_model(*llama_pieces(), **options)
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(UnsupportedModel, match=names):
        vocabulary(tmp_path, ROWS)


def _edit(path: Path, **changes: Any) -> None:
    spec = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        part, _, name = key.rpartition("__")
        (spec[part] if part else spec)[name] = value
    save(path, spec)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "ByteLevel True"),
        ({"model__dropout": 0.1}, "dropout"),
        ({"model__type": "Unigram"}, "Unigram"),
        ({"model__ignore_merges": True}, "leaves words that are tokens whole"),
        ({"post_processor": {"type": "RobertaProcessing"}}, "RobertaProcessing"),
    ],
)
def test_other_byte_level_tokenizers_are_refused(
    tmp_path: Path, change: dict[str, Any], names: str
) -> None:
    """The error names the part that llama.cpp has no equal of."""
    byte_level(tmp_path, "gpt2")
    _edit(tmp_path / "tokenizer.json", **change)
    with pytest.raises(UnsupportedModel, match=names):
        vocabulary(tmp_path, ROWS)


def test_merges_that_no_scores_can_repeat_are_refused(tmp_path: Path) -> None:
    """SentencePiece joins any two tokens that make a third: a missing merge has no equal."""
    llama(tmp_path, "always", files="json")
    path = tmp_path / "tokenizer.json"
    merges = json.loads(path.read_text(encoding="utf-8"))["model"]["merges"]
    _edit(path, model__merges=[merges[1], *merges[2:]])
    with pytest.raises(UnsupportedModel, match="no merge of"):
        vocabulary(tmp_path, ROWS)
    _edit(path, model__merges=[*merges[1:], merges[0], merges[1]])
    with pytest.raises(UnsupportedModel, match=r"at two places|no merge of"):
        vocabulary(tmp_path, ROWS)


_SMALL = '{"type": "BPE", "vocab": {"a": 0}, "merges": []}'
_NESTED = '{"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": []}]}'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "[]", "{}", '{"model": 3}', '{"model": {"type": "BPE", "merges": 3}}',
        '{"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}',
        '{"model": {"type": "BPE", "vocab": {"a": true}, "merges": []}}',
        '{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": [["a"]]}}',
        f'{{"model": {_SMALL}, "added_tokens": [{{"id": -1}}]}}',
        f'{{"model": {_SMALL}, "added_tokens": 7}}',
        f'{{"model": {_SMALL}, "pre_tokenizer": [1]}}',
        f'{{"model": {_SMALL}, "normalizer": {_NESTED}}}',
        f'{{"model": {_SMALL.replace("0", "9")}, "pre_tokenizer": {{"type": "ByteLevel"}}}}',
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)  # fmt: skip
def test_damaged_tokenizer_files_are_refused(tmp_path: Path, text: str | bytes) -> None:
    """A checkpoint is not trusted: nothing but our errors may come of it."""
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(ModelError):
        vocabulary(tmp_path, 8)


_MODEL = sentencepiece_model(["<unk>", "<s>", "</s>", "▁a"], [0, 0, 0, -1], [2, 3, 3, 1])


@given(st.data())
def test_any_damage_to_a_sentencepiece_model_is_told(data: st.DataObject) -> None:
    """Lengths and tags of the protocol buffer are read from the file itself."""
    raw = bytearray(_MODEL)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    try:
        model = _sentencepiece.parse(bytes(raw[:cut]), Path("tokenizer.model"))
    except InvalidCheckpoint:
        return
    assert len(model.pieces) == len(model.scores) == len(model.types) > 0


def test_no_tokenizer_is_told(tmp_path: Path) -> None:
    """A folder with weights alone is a common mistake."""
    with pytest.raises(InvalidCheckpoint, match="no tokenizer"):
        vocabulary(tmp_path, 8)
