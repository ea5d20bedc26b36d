"""Who may know whom: the arrows of docs/design.md, held against the imports in the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "astrollava"
TRAINING = ROOT / "training" / "astrollava_training"
PLUGINS = ROOT / "plugins" / "astrollava_plugins"

# Room -> the rooms it may import. A new room is added here on purpose, with thought.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "schema": {"errors"},
    "_versions": set(),
    "_plugged": set(),  # what plugins add to a room, which asks here and knows no plugin
    "_aside": set(),  # where what plugins print goes: each room that calls one says so there
    "_standard_streams": set(),  # those that a command was started without
    "_cache": {"errors"},
    "prompts": {"errors"},
    "vocabularies": {"_plugged", "errors"},
    "results": {"errors", "_html"},  # a result draws itself for Jupyter
    "_html": {"errors", "results"},
    "grounding": {"errors", "results"},
    "images": {"_aside", "_plugged", "errors"},
    "engine": {"_cache", "errors"},
    "models": {"_cache", "_plugged", "errors"},
    # The contract: what plugins see of the library, and what is done around a fetcher.
    "hooks": {
        "_aside", "_cache", "_plugged", "errors", "images", "models", "results", "vocabularies",
    },
    "streams": {"engine", "errors", "results"},
    "_flight": {"errors"},
    # What llama.cpp is measured to do, and the files that need it otherwise.
    "faithful": {"engine", "errors", "models"},
    "parity": {"engine", "errors", "faithful", "images", "models"},
    # The front door and what stands behind it: the only place where the three rooms meet.
    "_fetched": {"errors", "hooks", "images", "results"},
    "_session": {
        "_fetched", "_plugged", "_versions", "engine", "errors", "grounding", "images", "models",
        "prompts", "results", "streams", "vocabularies",
    },
    "extraction": {"_session", "engine", "errors", "grounding", "prompts", "results", "schema"},
    "conversation": {"_session", "engine", "prompts", "results", "streams"},
    "_many": {
        "_fetched", "_flight", "_session", "errors", "prompts", "results", "streams",
        "vocabularies",
    },
    "describer": {
        "_cache", "_many", "_session", "_versions", "conversation", "engine", "errors",
        "extraction", "faithful", "models", "prompts", "results",
        "selfcheck", "streams", "vocabularies",
    },
    "selfcheck": {"describer", "images", "results"},
    "doctor": {"_cache", "describer", "engine", "errors", "models"},
    "sheet": {"engine", "models"},
    "convert": {"engine", "errors", "models", "quantize"},
    "quantize": {"engine", "errors", "models"},
    "bundle": {"_cache", "describer", "errors", "models"},
    "cli": {
        "_html", "_standard_streams", "bundle", "conversation", "convert", "describer", "doctor",
        "errors", "faithful", "hooks", "images", "models", "parity", "quantize", "results",
        "sheet", "vocabularies",
    },
    "__main__": {"cli"},
}  # fmt: skip


# What a plugin may import: what anybody's may.
OPEN_TO_PLUGINS = {"errors", "hooks", "images"}


def sources() -> list[Path]:
    return sorted(path for root in (PACKAGE, PLUGINS, TRAINING) for path in root.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names imported anywhere in a file, inside functions and as string literals too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays inside its own room: ruff bans those that climb.
            assert node.level <= 1, f"{path}:{node.lineno}: climbs out of its package"
            if node.level == 0:
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called in {"import_module", "__import__", "find_spec"}:
                names.update(
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                )
    return frozenset(names)


def rooms_imported(path: Path) -> Iterator[str]:
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "astrollava" and len(parts) > 1:
            # `from astrollava import Describer` is the front door by its public name.
            known = parts[1] in ARROWS or parts[1].startswith("_")
            yield parts[1] if known else "describer"


def test_every_room_has_its_arrows() -> None:
    """A room nobody thought about would be allowed to import anything."""
    there = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert there == set(ARROWS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_imports_follow_the_arrows(path: Path) -> None:
    """Rooms that know each other can no longer be understood or replaced alone."""
    here = room(path)
    if here == "__init__":  # the lazily imported public names: anything but the command line
        assert "cli" not in set(rooms_imported(path))
        return
    allowed = ARROWS[here] | {here, "__version__"}
    assert set(rooms_imported(path)) <= allowed


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_only_the_engine_imports_llama_cpp(path: Path) -> None:
    """A second user of the binding would double what each llama.cpp upgrade breaks."""
    uses = any(name.split(".")[0] == "llama_cpp" for name in imported(path))
    assert not uses or PACKAGE / "engine" in path.parents


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_the_library_needs_neither_plugins_nor_training_code(path: Path) -> None:
    """Importing them would make torch, or astroquery, a dependency of every user."""
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"astrollava_plugins", "astrollava_training"}
    # Comparing with the original model is what these are for; only `compare` imports them, late.
    if room(path) != "parity":
        assert not roots & {"safetensors", "tokenizers", "torch", "transformers"}


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_plugin_of_ours_knows_what_anybodys_may(path: Path) -> None:
    """With a door of its own, our plugins would work where nobody else's can."""
    assert set(rooms_imported(path)) <= OPEN_TO_PLUGINS


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    """Files grow until nobody reads them whole: 450 lines is the end."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450
