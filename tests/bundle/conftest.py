"""A cache of its own for each test, and a bundle to take apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrollava.bundle import create
from tiny_pair import write_pair


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "galaxy"
    write_pair(folder)
    return folder


@pytest.fixture
def made(pair: Path, tmp_path: Path) -> Path:
    """A bundle of the model ``galaxy`` with two cutouts."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(images / name)
    create(tmp_path / "galaxy.zip", pair, cutouts=[images], settings={"n_ctx": 256, "seed": 3})
    return tmp_path / "galaxy.zip"
