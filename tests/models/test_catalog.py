"""The table of models: whole, consistent, and closed to what would mislead."""

from __future__ import annotations

import re

import pytest

from astrollava.errors import InvalidRequest, ModelNotFound, UnsupportedModel
from astrollava.models import catalog, facts, resolve, store
from astrollava.models.catalog import Entry, RemoteFile

ENTRIES = catalog.entries()


def made(**changes: object) -> Entry:
    row = {
        "name": "galaxy",
        "title": "A galaxy",
        "licence": "MIT",
        "image_tokens": 4,
        "render_rule": "pad",
        "repo": "space/galaxy",
        "text": RemoteFile("a.gguf"),
        "mmproj": RemoteFile("mmproj.gguf"),
    }
    return Entry(**{**row, **changes})


def test_the_issue_s_models_are_there() -> None:
    names = {entry.name for entry in ENTRIES}
    assert names >= {
        "embedded", "llava-1.5-7b", "llava-1.5-13b", "astrollava-7b", "smolvlm-256m",
        "smolvlm-500m", "smolvlm-2.2b", "internvl3-1b", "internvl3-2b", "qwen2.5-vl-3b",
        "qwen2.5-vl-7b", "gemma-3-4b",
    }  # fmt: skip
    assert len(names) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_an_entry_tells_what_a_user_has_to_know(entry: Entry) -> None:
    """A model whose licence or origin nobody wrote down cannot be recommended."""
    assert entry.title
    assert entry.licence
    assert entry.good_at
    assert entry.needs
    assert re.search(r"20\d\d-\d\d|made here", entry.checked)
    assert entry.name == "embedded" or entry.repo or entry.checkpoint
    for file in entry.files.values():
        assert file.file.endswith(".gguf")
        # Either a size to the byte or one that says it is not.
        assert (file.bytes is None) != (file.about is None)
        assert (file.bytes or file.about or 0) > 10**7
        assert file.sha256 or "no hash found" in entry.checked
    assert "mmproj" not in entry.files["text"].file if entry.files else True
    assert "mmproj" in entry.files["mmproj"].file if entry.files else True


def test_the_embedded_entry_is_what_the_files_say() -> None:
    entry, said = catalog.get("embedded"), facts(resolve())
    assert (entry.licence, entry.image_tokens) == (said.licence, said.image_tokens)
    assert entry.render_rule == said.render_rule


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("llava-1.5-7", "llava-1.5-7b"),
        ("LLaVA-1.5-13", "llava-1.5-13b"),
        ("smolvlm500m", "smolvlm-500m"),
        ("qwen", "qwen2.5-vl-3b"),
        ("gema-3-4b", "gemma-3-4b"),
    ],
)
def test_an_unknown_name_gets_near_ones(asked: str, near: str) -> None:
    with pytest.raises(ModelNotFound, match=f"Did you mean.*{re.escape(near)}"):
        catalog.get(asked)


def test_plugins_add_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_added", {})
    catalog.add(made())
    assert catalog.get("Galaxy").title == "A galaxy"
    assert catalog.entries()[-1].name == "galaxy"
    for taken in (made(), made(name="embedded"), made(name="gemma-3-4b")):
        with pytest.raises(InvalidRequest, match="already"):
            catalog.add(taken)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../etc"},
        {"name": "Galaxy One"},
        {"name": ""},
        {"render_rule": "squash"},
        {"repo": "https://evil.example/x"},
        {"repo": "space"},
        {"checkpoint": "a/b/c"},
        {"revision": "main"},
        {"mmproj": None},
        {"repo": None},
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        made(**changes)


def test_a_hash_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="64 hexadecimal"):
        RemoteFile("a.gguf", sha256="abc")


def test_what_must_be_converted_says_how() -> None:
    with pytest.raises(ModelNotFound, match="UniverseTBD/AstroLLaVA_v3") as caught:
        resolve("astrollava-7b")
    assert "astrollava models convert AstroLLaVA_v3" in str(caught.value)
    assert store.cached("astrollava-7b") is None


def test_what_cannot_run_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes fetched for a model that is then refused would be a bad joke."""
    assert not [entry.name for entry in ENTRIES if entry.unsupported]
    monkeypatch.setattr(catalog, "_added", {})
    catalog.add(made(unsupported="sound in its pictures"))
    with pytest.raises(UnsupportedModel, match=r"(?s)sound in its.*Nothing was downloaded"):
        store.pull("galaxy")
