"""The examples in docstrings and documents run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def modules_with_examples() -> list[str]:
    found = []
    for top in (ROOT / "astrollava", ROOT / "training" / "astrollava_training"):
        for path in sorted(top.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(top.parent).with_suffix("").parts
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


def documents_with_examples() -> list[Path]:
    return [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str) -> None:
    """An example that prints something else teaches what is not so."""
    outcome = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert outcome.failed == 0


@pytest.mark.parametrize("path", sorted(set(documents_with_examples())), ids=lambda path: path.stem)
def test_examples_in_documents(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a reader copies first must run as it stands, with the bundled image."""
    monkeypatch.chdir(tmp_path)
    # Models that an example unpacks would be listed in all tests that come later.
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S)
    for code in blocks:
        compiled = compile(code, str(path), "exec")
        if ".gguf" in code or "my-llava" in code:  # needs a model that the reader brings
            continue
        if "votes.csv" in code:  # or data
            continue
        if "astrollava_example" in code:  # or a plugin
            continue
        if "fetch=" in code or "hooks.fetching" in code:  # asks a service
            continue
        exec(compiled, {})
