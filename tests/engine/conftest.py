"""Tiny pairs on disk, and engines over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.engine import Engine
from tiny_pair import TinyPair, write_pair

PairWriter = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> PairWriter:
    """Write a pair once for each set of sizes."""
    written: dict[str, tuple[Path, Path]] = {}

    def write(**sizes: Any) -> tuple[Path, Path]:
        key = repr(sorted(sizes.items()))
        if key not in written:
            written[key] = write_pair(tmp_path_factory.mktemp("pair"), TinyPair(**sizes))
        return written[key]

    return write


@pytest.fixture(scope="session")
def load(pair: PairWriter) -> Callable[..., Engine]:
    """Load a pair on one thread: a test machine may be busy, and the models are tiny."""

    def load(n_ctx: int | None = None, **sizes: Any) -> Engine:
        return Engine(*pair(**sizes), n_ctx=n_ctx, threads=1)

    return load


@pytest.fixture(scope="module")
def engine(load: Callable[..., Engine]) -> Iterator[Engine]:
    with load() as engine:
        yield engine


def picture(engine: Engine, seed: int = 0) -> np.ndarray:
    """An image of the engine's size, another for each seed."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*engine.image_size, 3), dtype=np.uint8)


@pytest.fixture(name="picture", scope="session")
def _picture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(scope="session")
def question() -> Callable[[Engine, str], str]:
    """The prompt for one image and a text."""

    def question(engine: Engine, text: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": text}]
        return engine.format([{"role": "user", "content": content}])

    return question
