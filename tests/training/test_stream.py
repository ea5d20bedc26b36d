"""The stream: a batch that depends on the machine would make every run another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voted_galaxies import write_table

pytest.importorskip("torch")

from astrollava_training.data.simulate import simulate
from astrollava_training.data.stream import Batch, load_split, stream

# From Python 3.12 on a fork beside threads warns; the workers here use no thread of the parent.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

SIZE = 32


@pytest.fixture(scope="module")
def real() -> list[tuple[Any, Any]]:
    rgb, facts = simulate(5, 48, seed=99)
    return list(zip(rgb, facts, strict=True))


def batches(real: list[tuple[Any, Any]], **changes: Any) -> list[Batch]:
    asked = {
        "count": 3, "batch_size": 6, "real_share": 0.4, "size": SIZE, "seed": 7, "workers": 0,
    }  # fmt: skip
    return list(stream(real, **(asked | changes)))


def same(first: list[Batch], second: list[Batch]) -> bool:
    return all(
        np.array_equal(a.rgb, b.rgb) and a.facts == b.facts
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(
    real: list[tuple[Any, Any]], workers: int
) -> None:
    assert same(batches(real), batches(real, workers=workers))


def test_batch_k_depends_on_nothing_but_the_seed_and_k(real: list[tuple[Any, Any]]) -> None:
    """An interrupted and a longer run see the same pictures."""
    whole = batches(real)
    assert same(whole[:2], batches(real, count=2))
    assert not same(whole, batches(real, seed=8))
    assert not np.array_equal(whole[0].rgb, whole[1].rgb)


def test_a_batch_has_the_shape_asked_for(real: list[tuple[Any, Any]]) -> None:
    for batch in batches(real):
        assert batch.rgb.shape == (6, SIZE, SIZE, 3)
        assert batch.rgb.dtype == np.uint8
        assert len(batch.facts) == 6


def test_the_share_of_real_pictures_is_kept(real: list[tuple[Any, Any]]) -> None:
    known = [facts for _, facts in real]

    def count(share: float) -> int:
        return sum(
            facts in known
            for batch in batches(real, real_share=share, count=8)
            for facts in batch.facts
        )

    assert count(0.0) == 0
    assert count(1.0) == 48
    assert 8 <= count(0.4) <= 32
    assert count(0.4) > count(0.1)


def test_pictures_keep_their_facts(real: list[tuple[Any, Any]]) -> None:
    """A picture beside another's votes teaches nonsense, and no loss would show why."""
    dark, bright = np.zeros((2, 48, 48, 3), np.uint8)
    bright[14:34, 14:34] = 255
    pictures = [(dark, real[0][1]), (bright, real[1][1])]
    (batch,) = batches(pictures, count=1, batch_size=40, real_share=1.0)
    middle = batch.rgb[:, 12:20, 12:20].mean(axis=(1, 2, 3))
    above = middle - np.median(batch.rgb, axis=(1, 2, 3))
    for picture, facts in pictures:
        heights = [a for a, known in zip(above, batch.facts, strict=True) if known is facts]
        assert len(heights) > 8
        assert (np.median(heights) > 60) == (picture is bright)


def test_without_real_pictures_all_are_simulated() -> None:
    (batch,) = batches([], count=1, real_share=1.0)
    assert len(batch.facts) == 6


def test_splits_are_read_as_the_table_says(tmp_path: Path) -> None:
    """A test picture among those trained on would make every figure a lie."""
    table = write_table(tmp_path, {"train": 4, "val": 2, "test": 3})
    splits = {name: load_split(table, name) for name in ("train", "val", "test")}
    assert {name: len(found) for name, found in splits.items()} == {
        "train": 4, "val": 2, "test": 3,
    }  # fmt: skip
    seen = [rgb.tobytes() for found in splits.values() for rgb, _ in found]
    assert len(set(seen)) == 9
    for rgb, facts in splits["train"]:
        assert rgb.shape == (40, 40, 3)
        assert rgb.dtype == np.uint8
        assert facts.label is not None


def test_the_real_table_gives_square_pictures(shared_data: Path) -> None:
    found = load_split(shared_data / "galaxies" / "votes.csv", "val")
    assert len(found) == 100
    assert {rgb.shape for rgb, _ in found} == {(224, 224, 3)}
