"""Made-up images for the disk cache, and a process that reads and writes them without pause.

python cache_worker.py FOLDER LIMIT SECONDS SEED ROWS
"""

from __future__ import annotations

import functools
import json
import random
import sys
import time
from pathlib import Path

import numpy as np

from astrollava.engine.disk_cache import DiskCache
from astrollava.engine.vision import ImageEmbedding

__all__ = ["MADE_BY", "cache", "image", "like"]

MADE_BY = {"projector": "0" * 64, "library": "llama-cpp-python 0.3.36"}
WIDTH = 64
KEYS = 40


def like(rows: int) -> ImageEmbedding:
    """What an image becomes: two pieces with a token of text before each."""
    middle = rows // 2
    layout = ((5,), slice(0, middle), (6, 7), slice(middle, rows))
    return ImageEmbedding(np.zeros((rows, WIDTH), np.float32), "", layout)


@functools.cache
def image(number: int, rows: int) -> ImageEmbedding:
    """An image known by its number."""
    values = np.random.default_rng(number).standard_normal((rows, WIDTH), dtype=np.float32)
    return ImageEmbedding(values, f"{number:064x}", like(rows).layout)


def cache(folder: Path, limit: int, rows: int) -> DiskCache:
    """Open the folder as a process of its own would."""
    return DiskCache(folder, limit, like=like(rows), made_by=MADE_BY)


def main(folder: Path, limit: int, seconds: float, seed: int, rows: int) -> None:
    """Read or write images at random; say what was found."""
    kept = cache(folder, limit, rows)
    draw = random.Random(seed)
    counts = {"hits": 0, "misses": 0, "wrong": 0}
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wanted = image(draw.randrange(KEYS), rows)
        found = kept.get(wanted.key)
        if found is None:
            counts["misses"] += 1
            kept.put(wanted)
        elif np.array_equal(found.values, wanted.values):
            counts["hits"] += 1
        else:
            counts["wrong"] += 1
    print(json.dumps(counts | {"gave_up": not kept.writes}))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    )
