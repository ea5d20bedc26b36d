"""The cache on disk gives what was put in, stays within its bound, and is in nobody's way."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cache_worker
from astrollava.engine import Engine
from astrollava.engine._positions import Places
from astrollava.engine.disk_cache import DiskCache, entry_key
from cache_worker import MADE_BY, cache, image, like

ROWS = 8
ENTRY = 8 * 64 * 4
WORKER = Path(cache_worker.__file__)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.embedding"))


def held(folder: Path) -> int:
    """Bytes in the folder, of unfinished entries too."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def test_another_process_finds_what_was_put_in(tmp_path: Path) -> None:
    cache(tmp_path, 2**20, ROWS).put(image(1, ROWS))
    found = cache(tmp_path, 2**20, ROWS).get(image(1, ROWS).key)
    assert found is not None
    assert found.values.tobytes() == image(1, ROWS).values.tobytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("what", ["projector", "library", "rendering"])
def test_values_made_otherwise_are_not_found(tmp_path: Path, what: str) -> None:
    """A picture rendered by another rule, or encoded by another release, was taken for the same."""
    cache(tmp_path, 2**20, ROWS).put(image(1, ROWS))
    other = DiskCache(tmp_path, 2**20, like=like(ROWS), made_by={**MADE_BY, what: "changed"})
    assert other.get(image(1, ROWS).key) is None
    other.put(image(1, ROWS))
    assert len(entries(tmp_path)) == 2


def test_the_order_of_what_made_an_entry_does_not_matter() -> None:
    assert entry_key("a", {"x": "1", "y": "2"}) == entry_key("a", {"y": "2", "x": "1"})
    assert entry_key("a", {"x": "1", "y": "2"}) != entry_key("a", {"x": "2", "y": "1"})


def _grid(span: int) -> Places:
    return Places(np.zeros((4, ROWS), np.int32), np.ones((4, ROWS), np.int32), span)


@pytest.mark.parametrize(
    "other",
    [
        replace(like(ROWS), layout=((9,), slice(0, ROWS))),
        replace(like(ROWS), causal=False),
        replace(like(ROWS), places=(_grid(3),)),
        like(ROWS + 1),
    ],
    ids=["layout", "causal", "places", "shape"],
)
def test_a_language_model_that_reads_images_otherwise_finds_nothing(
    tmp_path: Path, other: object
) -> None:
    """One projector serves language models whose tokens around an image differ."""
    cache(tmp_path, 2**20, ROWS).put(image(1, ROWS))
    reader = DiskCache(tmp_path, 2**20, like=other, made_by=MADE_BY)  # type: ignore[arg-type]
    assert reader.get(image(1, ROWS).key) is None


def test_an_image_unlike_the_others_is_not_kept(tmp_path: Path) -> None:
    kept = cache(tmp_path, 2**20, ROWS)
    kept.put(image(1, ROWS + 1))
    assert not entries(tmp_path)
    assert kept.get(image(1, ROWS).key) is None


def test_places_on_a_grid_come_back(tmp_path: Path) -> None:
    blank = replace(like(ROWS), places=(_grid(3), _grid(5)))
    kept = DiskCache(tmp_path, 2**20, like=blank, made_by=MADE_BY)
    kept.put(replace(image(1, ROWS), places=blank.places))
    found = kept.get(image(1, ROWS).key)
    assert found is not None
    assert found.places is blank.places
    moved = DiskCache(
        tmp_path, 2**20, like=replace(blank, places=(_grid(3), _grid(6))), made_by=MADE_BY
    )
    assert moved.get(image(1, ROWS).key) is None


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_a_miss_and_goes(tmp_path: Path, data: st.DataObject) -> None:
    """Any bit of any part: checksum, magic, header, values; too short, too long, or none at all."""
    kept = cache(tmp_path, 2**20, ROWS)
    kept.put(image(1, ROWS))
    path = kept.path(image(1, ROWS).key)
    whole = path.read_bytes()
    start = len(whole) - ENTRY
    kind = data.draw(st.sampled_from(["flip", "cut", "longer", "other", "swap"]))
    if kind == "flip":
        part = data.draw(st.sampled_from([(0, 32), (32, 49), (49, start), (start, len(whole))]))
        at = data.draw(st.integers(part[0], part[1] - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        damaged = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
    elif kind == "cut":
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "longer":
        damaged = whole + data.draw(st.binary(min_size=1, max_size=64))
    elif kind == "other":
        damaged = data.draw(st.binary(max_size=3000))
    else:
        # A sound entry, of another image, under this one's name.
        kept.put(image(2, ROWS))
        damaged = kept.path(image(2, ROWS).key).read_bytes()
    path.write_bytes(damaged)
    assert kept.get(image(1, ROWS).key) is None
    assert not path.exists()
    kept.put(image(1, ROWS))
    assert kept.get(image(1, ROWS).key) is not None


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """It took all memory before its size was looked at."""
    kept = cache(tmp_path, 2**20, ROWS)
    path = kept.path(image(1, ROWS).key)
    with path.open("wb") as file:
        file.truncate(2**40)
    began = time.process_time()
    assert kept.get(image(1, ROWS).key) is None
    # A terabyte takes minutes.
    assert time.process_time() - began < 5
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_a_miss(tmp_path: Path) -> None:
    """Opening a named pipe waits for a writer for ever."""
    kept = cache(tmp_path, 2**20, ROWS)
    path = kept.path(image(1, ROWS).key)
    os.mkfifo(path)
    assert kept.get(image(1, ROWS).key) is None
    path.mkdir()
    assert kept.get(image(1, ROWS).key) is None
    path.rmdir()
    path.symlink_to(path)
    assert kept.get(image(1, ROWS).key) is None


@pytest.mark.parametrize("limit", [8 * 2500, 40 * 2500, 200 * 2500])
def test_the_bound_holds_at_every_step(tmp_path: Path, limit: int) -> None:
    kept = cache(tmp_path, limit, ROWS)
    for number in range(300):
        kept.put(image(number, ROWS))
        assert held(tmp_path) <= limit
    assert held(tmp_path) > limit // 2


def test_those_used_last_stay(tmp_path: Path) -> None:
    kept = cache(tmp_path, 16 * 2500, ROWS)
    for number in range(100):
        kept.put(image(number, ROWS))
        time.sleep(0.002)  # longer than the clock of a file system ticks
        assert kept.get(image(0, ROWS).key) is not None, number
    assert kept.get(image(1, ROWS).key) is None
    assert kept.get(image(99, ROWS).key) is not None


def test_a_new_process_counts_what_was_there(tmp_path: Path) -> None:
    """Short runs, each below the limit, filled the disk together."""
    for number in range(60):
        cache(tmp_path, 16 * 2500, ROWS).put(image(number, ROWS))
        assert held(tmp_path) <= 16 * 2500


def test_an_image_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache(tmp_path, ENTRY, ROWS).put(image(1, ROWS))
    cache(tmp_path, 0, ROWS).put(image(1, ROWS))
    assert not entries(tmp_path)


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """A user may point at a folder that holds more than the cache."""
    others = {"survey.fits", "a.embedding", ".hidden", f"{'0' * 64}.txt", f".{'0' * 64}.part"}
    for name in others:
        (tmp_path / name).write_bytes(bytes(100_000))
        os.utime(tmp_path / name, (0, 0))
    kept = cache(tmp_path, 8 * 2500, ROWS)
    for number in range(40):
        kept.put(image(number, ROWS))
    assert others <= {path.name for path in tmp_path.iterdir()}
    assert entries(tmp_path)


def test_where_nothing_can_be_written_it_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache must not end the run it was to make faster."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    kept = cache(blocked / "cache", 2**20, ROWS)
    with caplog.at_level(logging.WARNING, "astrollava"):
        for number in range(3):
            assert kept.get(image(number, ROWS).key) is None
            kept.put(image(number, ROWS))
    assert len(caplog.records) == 1
    assert "no longer kept" in caplog.text


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_only_be_read_is_read(tmp_path: Path) -> None:
    cache(tmp_path, 2**20, ROWS).put(image(1, ROWS))
    tmp_path.chmod(0o500)
    try:
        kept = cache(tmp_path, 2**20, ROWS)
        kept.put(image(2, ROWS))
        assert kept.get(image(1, ROWS).key) is not None
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_removed_while_in_use_is_made_again(tmp_path: Path) -> None:
    kept = cache(tmp_path / "cache", 2**20, ROWS)
    kept.put(image(1, ROWS))
    entries(tmp_path / "cache")[0].unlink()
    (tmp_path / "cache").rmdir()
    assert kept.get(image(1, ROWS).key) is None
    kept.put(image(1, ROWS))
    assert kept.get(image(1, ROWS).key) is not None


def start(folder: Path, limit: int, seconds: float, seed: int, rows: int) -> subprocess.Popen[str]:
    words = [sys.executable, str(WORKER), str(folder), *map(str, (limit, seconds, seed, rows))]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_four_processes_share_a_folder(tmp_path: Path) -> None:
    """One read what another was writing, or failed on what a third had just removed."""
    limit = 20 * 17_000  # half of what the processes would keep
    workers = [start(tmp_path, limit, 3, seed, 64) for seed in range(4)]
    most = 0
    while any(worker.poll() is None for worker in workers):
        most = max(most, held(tmp_path))
        time.sleep(0.005)
    said = [json.loads((worker.communicate()[0]).splitlines()[-1]) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    assert not any(each["wrong"] or each["gave_up"] for each in said)
    assert all(each["hits"] and each["misses"] for each in said)
    # A look takes a moment: a folder read entry by entry may show an entry and its successor.
    assert most <= limit + 4 * 17_000
    assert held(tmp_path) <= limit
    assert not list(tmp_path.glob(".*"))


def writing(folder: Path, process: int) -> bool:
    """Say whether a process has written a part of an entry, which may be whole the next moment."""
    try:
        return any(path.stat().st_size for path in folder.glob(f".*.{process}-*.part"))
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_killed_while_writing_leaves_only_whole_entries(tmp_path: Path) -> None:
    """Nothing can be cleaned up after SIGKILL: what is left must be sound, and go in time."""
    rows = 20_000  # 5 MB: much of a worker's time is spent writing
    torn = 0
    for seed in range(20):
        with start(tmp_path, 2**30, 60, seed, rows) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            end = time.monotonic() + 30
            while time.monotonic() < end and not writing(tmp_path, worker.pid):
                time.sleep(0.0005)
            worker.send_signal(signal.SIGKILL)
        torn += len(list(tmp_path.glob(f".*.{worker.pid}-*.part")))
        if torn >= 2:
            break
    assert torn, "no process was killed while it wrote"
    kept = cache(tmp_path, 2**30, rows)
    found = [kept.get(image(number, rows).key) for number in range(cache_worker.KEYS)]
    for number, each in enumerate(found):
        if each is not None:
            assert np.array_equal(each.values, image(number, rows).values)
    assert sum(each is not None for each in found) == len(entries(tmp_path))
    kept.put(image(1000, rows))
    assert list(tmp_path.glob(".*.part")), "they may be another process's that still writes"
    for path in tmp_path.glob(".*.part"):
        os.utime(path, (0, 0))
    cache(tmp_path, 2**30, rows).put(image(1001, rows))
    assert not list(tmp_path.glob(".*.part"))


def test_the_answer_is_the_same_with_and_without(
    load: Callable[..., Engine],
    picture: Callable[..., np.ndarray],
    question: Callable[[Engine, str], str],
    tmp_path: Path,
) -> None:
    with load() as engine:
        given = engine.encode_image(picture(engine))
        blank = replace(given, values=np.zeros_like(given.values), key="")
        DiskCache(tmp_path, 2**20, like=blank, made_by=MADE_BY).put(given)
        found = DiskCache(tmp_path, 2**20, like=blank, made_by=MADE_BY).get(given.key)
        assert found is not None
        assert found is not given
        asked = question(engine, "What is this?")
        answers = ["".join(engine.complete(asked, [each])) for each in (given, found)]
        assert answers[0] == answers[1]
        assert engine.score(asked, [given], ["ab", "cd"]) == engine.score(
            asked, [found], ["ab", "cd"]
        )
