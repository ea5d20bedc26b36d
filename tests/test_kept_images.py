"""Images kept on disk by `Describer(cache=...)`: the same answers, whatever happened before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from astrollava import Describer

BATCH = """
import sys
import numpy as np
from astrollava import Describer
random = np.random.default_rng(0)
pictures = [random.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(2000)]
with Describer(cache=sys.argv[1]) as describer:
    for result in describer.describe_many(pictures, max_tokens=4):
        print(result, flush=True)
"""


def pictures(n: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(n)]


def texts(cache: Path | None, n: int) -> list[str]:
    with Describer(cache=cache or False) as describer:
        return [str(each) for each in describer.describe_many(pictures(n), max_tokens=12)]


def test_answers_from_disk_are_those_of_the_image(tmp_path: Path) -> None:
    """A cache that changed a bit would change words."""
    without = texts(None, 20)
    assert texts(tmp_path, 20) == without
    files = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    assert len(files) == 20
    assert texts(tmp_path, 20) == without
    # Written anew they would be other files.
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == files


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_killed_in_the_middle_leaves_a_good_cache(tmp_path: Path) -> None:
    """A half-written entry was read as an image by the next run."""
    words = [sys.executable, "-c", BATCH, str(tmp_path)]
    for enough in (5, 15, 25):
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            for _ in range(enough):
                assert running.stdout.readline()
            running.send_signal(signal.SIGKILL)
    kept = [path for path in tmp_path.iterdir() if path.suffix == ".embedding"]
    assert len(kept) >= 20
    sizes = {path.stat().st_size for path in kept}
    assert len(sizes) == 1, "some are cut short"
    for path in kept:
        os.utime(path, (0, 0))
    assert texts(tmp_path, 30) == texts(None, 30)
    assert sum(path.stat().st_mtime > 0 for path in kept) >= 20, "they were not read"
