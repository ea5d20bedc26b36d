"""The examples in docstrings and documents run and print what they say."""

from __future__ import annotations

import ast
import builtins
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


def python_in(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S)


def undefined(code: str) -> set[str]:
    """Names that are read in an example and come from nowhere."""
    read, known = set(), {*dir(builtins), "__file__"}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else known).add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            known |= {(name.asname or name.name).partition(".")[0] for name in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            known.add(node.name)
    return read - known


@pytest.mark.parametrize("path", sorted(set(documents_with_examples())), ids=lambda path: path.stem)
def test_names_in_examples_are_defined_in_them(path: Path) -> None:
    """What asks a service is not run here, and took names from the block above or nowhere."""
    # A hook's signature is shown as it stands in the specification, with the types of that.
    blocks = [code for code in python_in(path) if not code.rstrip().endswith(": ...")]
    assert [undefined(code) for code in blocks if undefined(code)] == []


@pytest.mark.parametrize("path", sorted(set(documents_with_examples())), ids=lambda path: path.stem)
def test_examples_in_documents(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a reader copies first must run as it stands, with the bundled image."""
    monkeypatch.chdir(tmp_path)
    # Models that an example unpacks would be listed in all tests that come later.
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    for code in python_in(path):
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
