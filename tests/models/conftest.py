"""A hub that tests can break, with one pair of files on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from astrollava.models import _hub
from loopback_hub import Hub, serving, use
from tiny_pair import write_pair


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the repository ``space/galaxy-GGUF``; the cache is ``tmp_path / "hub"``."""
    text, mmproj = write_pair(tmp_path / "pair")
    with serving() as hub:
        hub.repositories["space/galaxy-GGUF"] = {
            "README.md": b"a galaxy",
            "galaxy-Q8_0.gguf": text.read_bytes(),
            "mmproj-galaxy-F16.gguf": mmproj.read_bytes(),
        }
        use(monkeypatch, hub, tmp_path / "hub")
        monkeypatch.setattr(_hub, "_WAITS", (0.01,) * 4)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "own"))
        yield hub
