"""What a pair says of itself, and hashes that are taken once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from astrollava.errors import InvalidModelFile, ModelNotFound
from astrollava.models import ModelFacts, ModelFiles, facts, store
from gguf_files import MMPROJS, TEXTS, Model, Tensor
from tiny_pair import write_pair


def facts_of(tmp_path: Path, text: Model, mmproj: Model, **kwargs: Any) -> ModelFacts:
    (tmp_path / "t.gguf").write_bytes(text.write())
    (tmp_path / "m.gguf").write_bytes(mmproj.write())
    return facts(ModelFiles("mine", tmp_path / "t.gguf", tmp_path / "m.gguf", **kwargs))


def test_facts_of_a_tiny_pair(tmp_path: Path) -> None:
    text, mmproj = write_pair(tmp_path)
    found = facts(ModelFiles("mine", text, mmproj))
    assert found.name == "tiny"
    assert found.architecture == "llama"
    assert found.quantization == "F32"
    assert found.projector == "mlp"
    assert found.n_ctx_train == 512
    assert found.image_size == (28, 28)
    assert found.image_tokens == 16
    assert (found.render_rule, found.render_background) == ("pad", (122, 116, 104))
    assert (found.label_temperature, found.label_threshold, found.licence) == (None, None, None)
    assert found.files["text"] == {
        "name": "text.gguf",
        "sha256": hashlib.sha256(text.read_bytes()).hexdigest(),
        "bytes": text.stat().st_size,
    }
    assert json.dumps(dataclasses.asdict(found)), "facts go into provenance as JSON"


def test_what_our_exporter_writes_is_read(tmp_path: Path) -> None:
    text, mmproj = TEXTS["llama"](), MMPROJS["mlp"]()
    text.keys |= {
        "astrollava.model.name": ("str", "astrollava-embedded-v0"),
        "astrollava.labels.temperature": ("f32", 1.5),
        "astrollava.labels.threshold": ("f32", 0.25),
        "astrollava.questions": ("str", "Is there a bar?\nHow many arms?"),
        "general.license": ("str", "mit"),
        "general.file_type": ("u32", 7),
    }
    mmproj.keys |= {
        "astrollava.render.rule": ("str", "crop"),
        "astrollava.render.background": ("[u32]", [1, 2, 3]),
    }
    found = facts_of(tmp_path, text, mmproj)
    assert found.name == "astrollava-embedded-v0"
    assert (found.label_temperature, found.label_threshold) == (1.5, 0.25)
    assert found.questions == ("Is there a bar?", "How many arms?")
    assert found.licence == "mit"
    assert (found.render_rule, found.render_background) == ("crop", (1, 2, 3))
    assert found.quantization == "Q8_0"
    assert facts_of(tmp_path, text, mmproj, licence="apache-2.0").licence == "apache-2.0"


def test_nonsense_in_our_own_keys_falls_back(tmp_path: Path) -> None:
    text, mmproj = TEXTS["llama"](), MMPROJS["internvl"]()
    text.keys |= {
        "astrollava.model.name": ("u32", 5),
        "astrollava.labels.temperature": ("f32", float("nan")),
        "astrollava.labels.threshold": ("str", "high"),
        "astrollava.questions": ("u32", 3),
        "general.file_type": ("u32", 999),
    }
    mmproj.keys |= {
        "astrollava.render.rule": ("str", "squeeze"),
        "astrollava.render.background": ("[u32]", [1, 2]),
    }
    found = facts_of(tmp_path, text, mmproj)
    assert (found.name, found.quantization) == ("tiny", "F32")
    assert (found.label_temperature, found.label_threshold) == (None, None)
    assert found.questions == ()
    assert (found.render_rule, found.render_background) == ("stretch", (122, 116, 104))


def test_a_file_of_many_types_is_mixed(tmp_path: Path) -> None:
    text = TEXTS["llama"]()
    del text.keys["general.file_type"], text.keys["general.name"]
    for name in ("output.weight", "token_embd.weight"):
        text.tensors[name] = Tensor(text.tensors[name].shape, 8)
    found = facts_of(tmp_path, text, MMPROJS["mlp"]())
    assert (found.quantization, found.name) == ("mixed", "mine")


@pytest.mark.parametrize(
    ("kind", "tokens", "rule"),
    [("mlp", 16, "pad"), ("mlp-norm", 16, "pad"), ("idefics3", 4, "stretch"),
     ("internvl", 4, "stretch"), ("gemma3", 4, "stretch"),
     ("qwen2vl", 9, "pad"), ("qwen2.5vl", 9, "pad")],
)  # fmt: skip
def test_image_tokens_and_rules_by_projector(
    tmp_path: Path, kind: str, tokens: int, rule: str
) -> None:
    found = facts_of(tmp_path, TEXTS["llama"](), MMPROJS[kind]())
    assert (found.image_tokens, found.render_rule) == (tokens, rule)


def test_facts_of_no_model(tmp_path: Path) -> None:
    text, mmproj = write_pair(tmp_path)
    with pytest.raises(ModelNotFound):
        facts(ModelFiles("x", tmp_path / "missing.gguf", mmproj))
    text.write_bytes(b"nothing")
    with pytest.raises(InvalidModelFile):
        facts(ModelFiles("x", text, mmproj))


def test_a_hash_is_taken_once_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a spiral")
    taken = []
    digest = store._hash
    monkeypatch.setattr(store, "_hash", lambda *a: taken.append(1) or digest(*a))
    first = store.sha256(path)
    assert first == hashlib.sha256(b"a spiral").hexdigest()
    assert store.sha256(str(path)) == first
    assert len(taken) == 1
    path.write_bytes(b"a bar...")
    os.utime(path, ns=(1, 1))
    assert store.sha256(path) == hashlib.sha256(b"a bar...").hexdigest()
    assert len(taken) == 2
    with pytest.raises(ModelNotFound):
        store.sha256(tmp_path / "missing")
    with pytest.raises(InvalidModelFile):
        store.sha256(tmp_path)
