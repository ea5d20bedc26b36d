"""The exported pair: its keys, its tokenizer, its bytes, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")

import gguf  # noqa: E402

import tiny_llava  # noqa: E402
from astrollava.engine import runtime  # noqa: E402
from astrollava.errors import (  # noqa: E402
    InvalidRequest,
    ModelError,
    UnsupportedModel,
)
from astrollava_training.data.language import conversation  # noqa: E402
from astrollava_training.data.phrases import ASKED, UNSEEABLE  # noqa: E402
from astrollava_training.data.tokens import tokenize, train_tokenizer  # noqa: E402
from astrollava_training.export import (  # noqa: E402
    About,
    export,
    render_chat,
)

TEXTS = (
    "",
    " ",
    "\n",
    "  two  spaces\tand a tab\n\nand lines ",
    "It's we've I'd they'll isn't ISN'T",
    "edge-on, 3.5 arcsec; (z=0.02) 100% M31 & NGC1234!?",
    "Σέρσικ n=4, 30″×20″, µm, naïve, 銀河, 🌌",
    "trailing space ",
    "USER: Is there a bar? ASSISTANT: Yes.</s>USER: Why?",
    "</s><s><pad>",
    "< / s >",
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    asked = [question for wordings in ASKED.values() for question in wordings]
    return train_tokenizer([*asked, *UNSEEABLE] * 4, 480)


@pytest.fixture(scope="module")
def net(tokenizer: Any) -> Any:
    return tiny_llava.model(tokenizer.get_vocab_size(), layers=1)


@pytest.fixture(scope="module")
def pair(net: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    about = About(author="us", description="tiny", label_temperature=1.5, label_threshold=0.25)
    return export(net, tokenizer, tmp_path_factory.mktemp("pair"), name="tiny", about=about)


@pytest.fixture(scope="module")
def spelled(pair: tuple[Path, Path]) -> Iterator[Any]:
    """How llama.cpp tokenizes by the text file; special tokens are parsed, none is added."""
    llama = runtime.load().llama
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(str(pair[0]).encode(), params)
    vocabulary = llama.llama_model_get_vocab(model)

    def tokens(text: str, *, add_special: bool = False) -> list[int]:
        raw = text.encode()
        room = (llama.llama_token * (len(raw) + 8))()
        count = llama.llama_tokenize(vocabulary, raw, len(raw), room, len(room), add_special, True)
        assert count >= 0
        return list(room[:count])

    yield tokens
    llama.llama_model_free(model)


def fields(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def test_the_keys_astrollava_reads_are_there(pair: tuple[Path, Path]) -> None:
    text, mmproj = (fields(path) for path in pair)
    assert [path.name for path in pair] == ["tiny-text.gguf", "tiny-mmproj.gguf"]
    assert text["astrollava.model.name"] == text["general.name"] == "tiny"
    assert text["astrollava.labels.temperature"] == 1.5
    assert text["astrollava.labels.threshold"] == 0.25
    assert text["general.license"] == mmproj["general.license"] == "MIT"
    assert text["tokenizer.ggml.add_bos_token"] is True
    assert text["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert text["llama.rope.freq_base"] == 5000.0
    assert mmproj["astrollava.render.rule"] == "pad"
    assert mmproj["astrollava.render.background"] == [0, 0, 0]
    assert mmproj["astrollava.render.version"] == 1
    assert mmproj["clip.vision.image_size"] == 120
    assert mmproj["clip.vision.patch_size"] == 12
    assert mmproj["clip.vision.image_mean"] == [0.5, 0.5, 0.5]
    assert mmproj["clip.vision.feature_layer"] == [1]
    background = gguf.GGUFReader(pair[1]).fields["astrollava.render.background"]
    assert background.types == [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT32]


def test_only_what_is_safe_to_quantize_is(pair: tuple[Path, Path]) -> None:
    """Norms and biases of few bits ruin a model; a quantized convolution stops llama.cpp."""
    kinds = {t.name: t.tensor_type.name for path in pair for t in gguf.GGUFReader(path).tensors}
    assert kinds.pop("v.patch_embd.weight") == "F32"
    assert kinds.pop("v.position_embd.weight") == "F32"
    assert "v.post_ln.weight" not in kinds
    for name, kind in kinds.items():
        small = "norm" in name or "ln" in name or name.endswith("bias")
        assert kind == ("F32" if small else "Q8_0"), name


def test_rows_that_fill_no_block_are_f16(tokenizer: Any, tmp_path: Path) -> None:
    odd = tiny_llava.model(
        tokenizer.get_vocab_size(), layers=1, hidden=80, text_hidden=80, heads=2, key_value_heads=2
    )
    text, _ = export(odd, tokenizer, tmp_path, name="odd")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(text).tensors}
    assert kinds["blk.0.attn_q.weight"] == "F16"
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # its rows are 160 long


def test_the_same_model_gives_the_same_bytes(
    net: Any, tokenizer: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    about = About(author="us", description="tiny", label_temperature=1.5, label_threshold=0.25)
    again = export(net, tokenizer, tmp_path, name="tiny", about=about)
    for first, second in zip(pair, again, strict=True):
        assert first.read_bytes() == second.read_bytes()
    by_llama_cpp = [
        export(net, tokenizer, tmp_path / turn, name="tiny", quantize="q4_k_m")[0].read_bytes()
        for turn in "ab"
    ]
    assert by_llama_cpp[0] == by_llama_cpp[1]
    assert not list(tmp_path.rglob("*.part"))


def test_checksums_are_those_of_the_files(pair: tuple[Path, Path]) -> None:
    lines = (pair[0].parent / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(pair)
    ]


def test_only_what_was_fitted_is_called_calibrated(
    net: Any, tokenizer: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """A temperature nobody fitted would pass guesses off as calibrated probabilities."""
    bare, _ = export(net, tokenizer, tmp_path, name="tiny", about=About(author="us"))
    assert not [key for key in fields(bare) if key.startswith("astrollava.labels.")]
    told = fields(pair[0])
    assert told["astrollava.labels.temperature"] == 1.5
    assert told["astrollava.labels.threshold"] == 0.25
    weights = [{t.name: t.data for t in gguf.GGUFReader(path).tensors} for path in (bare, pair[0])]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_tokenized_as_in_training(text: str, tokenizer: Any, spelled: Any) -> None:
    assert spelled(text) == tokenizer.encode(text, add_special_tokens=False).ids


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"])))
def test_any_text_is_tokenized_as_in_training(text: str, tokenizer: Any, spelled: Any) -> None:
    assert spelled(text) == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_chat_has_the_tokens_of_training(tokenizer: Any, spelled: Any, shared_data: Path) -> None:
    """One stray space in the template, and every prompt is one the model never saw."""
    from astrollava_training.data.galaxies import read_votes

    rng = np.random.default_rng(0)
    for _, _, facts in read_votes(shared_data / "galaxies" / "votes.csv", split="val")[:20]:
        pairs = conversation(facts, rng)
        messages: list[dict[str, Any]] = []
        for question, answer in pairs:
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        messages[0]["content"] = [{"type": "image"}, {"type": "text", "text": pairs[0][0]}]
        written = render_chat(messages, generate=False)
        before, after = written.split("<image>")
        image = tokenizer.token_to_id("<image>")
        ours = [*spelled(before, add_special=True), *[image] * 100, *spelled(after)]
        assert ours == tokenize(pairs, tokenizer, 100).ids.tolist()
    asked = render_chat(messages[:1])
    assert written.startswith(asked)


def test_a_picture_comes_before_the_words_wherever_it_was_put() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image"}]
    system = {"role": "system", "content": "Be brief."}
    assert render_chat([system, {"role": "user", "content": parts}]) == (
        "Be brief. USER: <image>\nWhat is this? ASSISTANT:"
    )


def change(net: Any, part: str = "", **values: Any) -> Any:
    other = tiny_llava.model(net.config.text_config.vocab_size, layers=1)
    config = getattr(other.config, part) if part else other.config
    for name, value in values.items():
        setattr(config, name, value)
    return other


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("", {"vision_feature_select_strategy": "default"}, "select strategy is 'default'"),
        ("", {"vision_feature_layer": [-1, -2]}, "vision_feature_layer is 'list'"),
        ("", {"vision_feature_layer": -3}, "vision_feature_layer -3 of a tower with 1 layers"),
        ("", {"projector_hidden_act": "relu"}, "activation of the projector is 'relu'"),
        ("vision_config", {"hidden_act": "quick_gelu"}, "activation of the tower"),
        ("text_config", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'yarn'"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    part: str, values: dict[str, Any], message: str, net: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """A file that loads and answers a little wrong is worse than none."""
    with pytest.raises(InvalidRequest, match=message):
        export(change(net, part, **values), tokenizer, tmp_path, name="tiny")
    assert not list(tmp_path.glob("*mmproj*"))


def test_weights_that_are_not_finite_are_refused(net: Any, tokenizer: Any, tmp_path: Path) -> None:
    broken = change(net)
    with torch.no_grad():
        broken.lm_head.weight[3, 3] = float("nan")
    with pytest.raises(ModelError, match=r"output\.weight.*not finite"):
        export(broken, tokenizer, tmp_path, name="tiny")
    with torch.no_grad():
        broken.lm_head.weight[3, 3] = 1e6
    with pytest.raises(ModelError, match="exceed what F16 can hold"):
        export(broken, tokenizer, tmp_path, name="tiny", quantize="f16")


def test_another_tokenizer_is_refused(net: Any, tokenizer: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    spec = json.loads(tokenizer.to_str())
    spec["pre_tokenizer"]["add_prefix_space"] = True
    with pytest.raises(UnsupportedModel, match="cuts text into words"):
        export(net, Tokenizer.from_str(json.dumps(spec)), tmp_path, name="tiny")
    spec = json.loads(tokenizer.to_str()) | {"normalizer": {"type": "Lowercase"}}
    with pytest.raises(UnsupportedModel, match="Lowercase"):
        export(net, Tokenizer.from_str(json.dumps(spec)), tmp_path, name="tiny")
    larger = Tokenizer.from_str(tokenizer.to_str())
    larger.add_special_tokens(["<one-more>"])
    with pytest.raises(InvalidRequest, match=f"{tokenizer.get_vocab_size()} rows"):
        export(net, larger, tmp_path, name="tiny")


@pytest.mark.parametrize(
    "wrong",
    [{"quantize": "q3"}, {"mmproj_quantize": "fp8"}, {"mmproj_quantize": "q2_k"}, {"quantize": ""}],
)
def test_an_unknown_quantization_is_named(
    wrong: dict[str, Any], net: Any, tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=r"no storage type.*q8_0"):
        export(net, tokenizer, tmp_path, name="tiny", **wrong)


def test_files_of_two_types_go_together(net: Any, tokenizer: Any, tmp_path: Path) -> None:
    text, mmproj = export(
        net, tokenizer, tmp_path, name="tiny", quantize="Q4_K_M", mmproj_quantize="f16"
    )
    assert fields(text)["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert fields(mmproj)["general.file_type"] == gguf.LlamaFileType.MOSTLY_F16
    assert fields(text)["astrollava.model.name"] == "tiny"


@pytest.mark.parametrize(
    "wrong",
    [
        {"render_rule": "squash"},
        {"render_background": (0, 0, 256)},
        {"label_temperature": -1.0},
        {"label_threshold": 1.0},
    ],
)
def test_facts_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        About(**wrong)
