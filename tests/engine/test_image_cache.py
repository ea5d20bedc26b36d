"""What is kept in memory is bounded, is what was put in, and belongs to no thread alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.engine.image_cache import ImageCache, MemoryCache
from astrollava.engine.vision import ImageEmbedding
from cache_worker import cache, image

SIZE = image(0, 8).values.nbytes


def test_those_used_last_stay() -> None:
    memory = MemoryCache(3 * SIZE)
    for number in (1, 2, 3):
        memory.put(image(number, 8))
    assert memory.get(image(1, 8).key) is not None
    memory.put(image(4, 8))
    there = [n for n in range(1, 5) if memory.get(image(n, 8).key)]
    assert there == [1, 3, 4]
    assert memory.bytes == 3 * SIZE


def test_an_image_too_large_drives_nothing_out() -> None:
    memory = MemoryCache(2 * SIZE)
    memory.put(image(1, 8))
    memory.put(image(2, 80))
    assert [len(memory), memory.bytes] == [1, SIZE]
    MemoryCache(0).put(image(1, 8))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.booleans()), max_size=40))
def test_the_bytes_counted_are_those_held(steps: list[tuple[int, int, bool]]) -> None:
    """An image put in twice, or in another size, was counted twice."""
    memory = MemoryCache(8 * 256)
    for number, rows, forget in steps:
        memory.clear() if forget and number == 0 else memory.put(image(number, rows * 1))
        held = sum(each.values.nbytes for each in memory._entries.values())
        assert memory.bytes == held <= memory.limit_bytes


def test_threads_share_it() -> None:
    memory = MemoryCache(4 * SIZE)
    images = [image(number, 8) for number in range(8)]
    wrong: list[str] = []

    def use(seed: int) -> None:
        random = np.random.default_rng(seed)
        for number in random.integers(0, len(images), 3000):
            found = memory.get(images[number].key)
            if found is None:
                memory.put(images[number])
            elif found is not images[number]:
                wrong.append(found.key)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert memory.bytes == sum(each.values.nbytes for each in memory._entries.values())
    assert memory.bytes <= memory.limit_bytes


def test_what_is_found_on_disk_is_kept_in_memory(tmp_path: Path) -> None:
    """Each question about an image of yesterday read the file again."""
    ImageCache(MemoryCache(0), cache(tmp_path, 2**20, 8)).put(image(1, 8))
    later = ImageCache(MemoryCache(2 * SIZE), cache(tmp_path, 2**20, 8))
    first = later.get(image(1, 8).key)
    assert first is not None
    assert later.get(image(1, 8).key) is first
    assert later.get(image(2, 8).key) is None


@pytest.mark.parametrize("disk", [False, True])
def test_values_come_back_read_only_and_as_they_were(tmp_path: Path, disk: bool) -> None:
    images = ImageCache(MemoryCache(0), cache(tmp_path, 2**20, 8) if disk else None)
    given = image(1, 8)
    images.put(given)
    found = images.get(given.key)
    assert (found is not None) == disk
    if isinstance(found, ImageEmbedding):
        assert found.values.dtype == np.float32
        assert not found.values.flags.writeable
        assert found.values.tobytes() == given.values.tobytes()
        assert (found.key, found.layout, found.causal) == (given.key, given.layout, given.causal)
