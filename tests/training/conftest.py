"""One tiny run of the whole recipe, shared by all who need a trained model, on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order: runs are compared to the bit, whichever of them another test made.

    Models this small gain nothing by a second thread.
    """
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of simulated galaxies: 8 to train on, 4 to validate, 4 to test."""
    from voted_galaxies import write_table

    return write_table(tmp_path_factory.mktemp("votes"), {"train": 8, "val": 4, "test": 4})


@pytest.fixture(scope="session")
def tiny_run(tiny_votes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """The folder of a finished run of the tiny recipe, its model and its tokenizer."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from astrollava_training.run import run
    from tiny_recipe import TINY

    folder = tmp_path_factory.mktemp("run")
    return folder, *run(TINY, tiny_votes, folder, workers=1)
