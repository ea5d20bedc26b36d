"""The pool: a picture paired with another's answers teaches the opposite of what is seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")

from astrollava_training.data.facts import TARGETS
from astrollava_training.data.pool import Pool, fill
from astrollava_training.data.simulate import simulate
from astrollava_training.data.stream import Batch

SIZE, COUNT = 24, 12


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    path = tmp_path_factory.mktemp("pool") / "pool.npy"
    rgb, facts = simulate(COUNT, SIZE, seed=4)
    halves = [Batch(rgb[:5], facts[:5]), Batch(rgb[5:], facts[5:])]
    targets, weights = fill(path, halves, pictures=COUNT, size=SIZE)
    kept = np.load(path, mmap_mode="r")
    assert np.array_equal(kept, rgb)
    assert targets.shape == weights.shape == (COUNT, len(TARGETS))
    for i, known in enumerate(facts):
        assert np.array_equal(targets[i], known.vector()[0])
        assert np.array_equal(weights[i], known.vector()[1])
    return Pool(kept, targets, weights)


def turns(rgb: np.ndarray) -> list[bytes]:
    """The eight ways to lay a picture down."""
    return [
        np.ascontiguousarray(np.rot90(one, k)).tobytes()
        for one in (rgb, rgb[:, ::-1])
        for k in range(4)
    ]


def test_each_picture_keeps_its_answers_however_it_is_turned(pool: Pool) -> None:
    whose = {way: i for i in range(COUNT) for way in turns(np.asarray(pool.rgb[i]))}
    ways = set()
    for lesson in pool.lessons(count=40, batch_size=4, seed=1):
        for rgb, target, weight in zip(lesson.rgb, lesson.targets, lesson.weights, strict=True):
            i = whose[rgb.tobytes()]
            assert np.array_equal(target, pool.targets[i])
            assert np.array_equal(weight, pool.weights[i])
            ways.add((i, turns(np.asarray(pool.rgb[i])).index(rgb.tobytes())))
    assert len({way for _, way in ways}) == 8, "some turn is never shown"


def test_every_picture_is_shown_once_a_pass(pool: Pool) -> None:
    """Drawing at random would leave a third of an expensive pool unseen in a pass."""
    whose = {way: i for i in range(COUNT) for way in turns(np.asarray(pool.rgb[i]))}
    shown = [
        whose[rgb.tobytes()]
        for lesson in pool.lessons(count=6, batch_size=6, seed=2)
        for rgb in lesson.rgb
    ]
    assert Counter(shown) == dict.fromkeys(range(COUNT), 3)


def test_the_seed_decides_the_order(pool: Pool) -> None:
    def course(seed: int) -> list[bytes]:
        return [one.rgb.tobytes() for one in pool.lessons(count=4, batch_size=4, seed=seed)]

    assert course(1) == course(1) != course(2)
