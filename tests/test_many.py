"""Many images at a time: each as if alone, in order, bounded, and none harmed by another."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import io
import itertools
import os
import pickle
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astrollava import Describer
from astrollava._flight import in_flight
from astrollava.errors import ImageNotFound, InvalidRequest, UnsupportedImage
from astrollava.images import example
from astrollava.results import Answer, Classification, Description
from engine_state import at_rest

QUESTIONS = ["Is there a bar?", "How many arms?", "Is it edge-on?", "Is it merging?", "What is it?"]


@pytest.fixture(scope="module")
def describer() -> Iterator[Describer]:
    with Describer(threads=1, parallel=6) as describer:
        yield describer


def sky(seed: int) -> np.ndarray:
    """Noise and a blob, another each time."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - random.uniform(24, 40, (2, 1, 1))
    width = random.uniform(2, 12)
    ratio = random.uniform(0.3, 1.0)
    blob = 40 * np.exp(-np.hypot(x, y / ratio) / width)
    return (blob + random.normal(0, 1, (64, 64))).astype(np.float32)


def without_time(result: Description | Answer | Classification) -> dict[str, object]:
    """All of a result but when it was made, how fast, and what the cache held."""
    record = result.to_dict()
    provenance = dict(record["provenance"])  # type: ignore[arg-type]
    provenance.pop("created")
    for key in ("seconds", "reused_tokens"):
        provenance["generation"].pop(key, None)
    return {**record, "provenance": provenance}


def test_each_is_described_as_if_it_were_alone(describer: Describer) -> None:
    skies = [sky(seed) for seed in range(24)]
    alone = [without_time(describer.describe(one)) for one in skies]
    assert len({str(one["text"]) for one in alone}) > 3
    for _ in range(2):
        many = list(describer.describe_many(skies, progress=False))
        assert [without_time(one) for one in many] == alone  # type: ignore[arg-type]


def test_each_is_labelled_as_if_it_were_alone(describer: Describer) -> None:
    skies = [sky(seed) for seed in range(10)]
    for labels in ("galaxy10", ["a star", "a galaxy", "nothing"]):
        alone = [without_time(describer.classify(one, labels)) for one in skies]
        many = describer.classify_many(skies, labels, progress=False)
        assert [without_time(one) for one in many] == alone  # type: ignore[arg-type]


def test_questions_at_a_time_are_answered_as_one_by_one(describer: Describer) -> None:
    alone = [without_time(describer.ask(sky(3), question)) for question in QUESTIONS]
    assert [without_time(a) for a in describer.ask_all(sky(3), QUESTIONS)] == alone
    assert describer.ask_all(sky(3), []) == []
    with pytest.raises(InvalidRequest, match="one text"):
        describer.ask_all(sky(3), "Is there a bar?")


def test_a_bad_image_is_given_in_its_place_or_ends_it(describer: Describer) -> None:
    sources = [sky(0), "/there/is/no.fits", sky(1), np.array(["a", "b"]), sky(2)]
    got = list(describer.describe_many(sources, on_error="return", progress=False))
    assert [type(one) for one in got] == [
        Description, ImageNotFound, Description, UnsupportedImage, Description,
    ]  # fmt: skip
    many = describer.describe_many(sources, progress=False)
    assert isinstance(next(many), Description)
    with pytest.raises(ImageNotFound):
        next(many)
    with pytest.raises(StopIteration):
        next(many)
    # What was ahead has been given up.
    at_rest(describer._session.engine)


def test_an_endless_source_is_read_no_further_than_needed(describer: Describer) -> None:
    taken = itertools.count()
    read = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal read
        for read in taken:
            yield sky(read)

    many = describer.describe_many(endless(), progress=False, max_tokens=4)
    for n in range(40):
        assert isinstance(next(many), Description)
        assert read < n + 20
    many.close()
    before = read
    at_rest(describer._session.engine)
    assert read == before


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_an_error_of_the_source_itself_comes_behind_the_results(
    describer: Describer, on_error: str
) -> None:
    """It must not be taken for that of an image; results once were lost with it."""

    def broken() -> Iterator[np.ndarray]:
        yield from map(sky, range(5))
        raise OSError("the list is on a disk that went away")

    got: list[Description] = []
    many = describer.describe_many(broken(), on_error=on_error, progress=False)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="went away"):
        got.extend(many)  # type: ignore[arg-type]
    assert [one.text for one in got] == [describer.describe(sky(n)).text for n in range(5)]
    at_rest(describer._session.engine)


def test_an_array_that_is_used_again_and_a_file_that_is_closed(
    describer: Describer, tmp_path: Path
) -> None:
    """Sources are taken ahead: 30 images once gave the texts of 4, with their hashes."""

    skies = [sky(n) for n in range(12)]
    alone = [without_time(describer.describe(one)) for one in skies]

    def again() -> Iterator[np.ndarray]:
        buffer = np.zeros_like(skies[0])
        for one in skies:
            buffer[:] = one
            yield buffer

    got = describer.describe_many(again(), progress=False)
    assert [without_time(one) for one in got] == alone  # type: ignore[arg-type]
    paths = [tmp_path / f"{n}.fits" for n in range(len(skies))]
    for path, one in zip(paths, skies, strict=True):
        fits.PrimaryHDU(one).writeto(path)

    def opened() -> Iterator[object]:
        for path in paths:
            with fits.open(path) as hdus:
                yield hdus[0]

    assert [one.text for one in describer.describe_many(opened(), progress=False)] == [  # type: ignore[union-attr]
        one["text"] for one in alone
    ]


@pytest.mark.parametrize(
    "sources",
    [
        "one.fits",
        Path("one.fits"),
        b"bytes",
        bytearray(b"bytes"),
        io.BytesIO(b"bytes"),
        5,
        np.zeros((8, 8)),
        np.zeros((3, 8, 8)),
        np.ma.zeros((3, 8, 8)),
        fits.HDUList([fits.PrimaryHDU(np.zeros((8, 8)))]),
    ],
    ids=lambda sources: type(sources).__name__,
)
def test_a_single_source_is_told_so_at_once(describer: Describer, sources: object) -> None:
    """A path is an iterable of letters, and a cube of its planes: three texts for one galaxy."""
    for many in (describer.describe_many, describer.classify_many):
        with pytest.raises(InvalidRequest, match="single"):
            many(sources)  # type: ignore[arg-type,operator]


def test_a_stack_of_cubes_is_many_images(describer: Describer) -> None:
    """What cannot be one image is what it looks like: one image after the other."""
    stack = np.stack([np.stack([sky(seed)] * 3) for seed in range(2)])
    many = list(describer.describe_many(stack, progress=False))
    assert [one.text for one in many] == [describer.describe(one).text for one in stack]  # type: ignore[union-attr]


def test_a_mapping_is_not_taken_for_its_keys(describer: Describer) -> None:
    """Names of objects are no paths: each was "there is no file"."""
    with pytest.raises(InvalidRequest, match=r"list\(sources.values\(\)\)"):
        describer.describe_many({"M 51": "m51.fits"})


def test_who_wants_to_stream_is_told_where(describer: Describer) -> None:
    """ "There is no option 'stream' ... Did you mean 'stretch'?" """
    with pytest.raises(InvalidRequest, match=r"describe\(\.\.\., stream=True\) in a thread"):
        asyncio.run(describer.adescribe(sky(0), stream=True))
    with pytest.raises(InvalidRequest, match=r"ask\(\.\.\., stream=True\) in a thread"):
        asyncio.run(describer.aask(sky(0), "Is there a bar?", stream=True))
    with pytest.raises(InvalidRequest, match="come one by one"):
        describer.describe_many([sky(0)], stream=True)


def test_a_table_without_a_service_is_told_what_is_missing(describer: Describer) -> None:
    """Its rows are no images: "a single Table" sends its reader the wrong way."""
    table = Table({"ra": [150.1], "dec": [2.2]})
    with pytest.raises(InvalidRequest, match=r"(?s)rows become images.*fetch='auto'"):
        describer.describe_many(table)


def test_wrong_options_are_told_before_anything_is_read(describer: Describer) -> None:
    with pytest.raises(InvalidRequest, match="on_error"):
        describer.describe_many([], on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="temprature"):
        describer.describe_many([], temprature=1)
    with pytest.raises(InvalidRequest, match="there is no vocabulary"):
        describer.classify_many([], "galaxy11")


def test_leaving_early_frees_threads_and_sequences(describer: Describer) -> None:
    for n in range(5):
        for got, _ in enumerate(describer.describe_many(map(sky, range(30)), progress=False)):
            if got == n:
                break
        gc.collect()
    at_rest(describer._session.engine)
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("astrollava-prepare") for name in names), names


def test_closing_in_the_middle_ends_it_with_an_error(tmp_path: Path) -> None:
    describer = Describer(threads=1)
    many = describer.describe_many(map(sky, range(100)), progress=False)
    next(many)
    describer.close()
    with pytest.raises(Exception, match="closed"):
        list(many)


def test_tasks_are_served_beside_each_other(describer: Describer) -> None:
    async def ask() -> list[object]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        found = await asyncio.gather(
            *(describer.adescribe(sky(seed)) for seed in range(8)),
            describer.aask(sky(1), QUESTIONS[0]),
            describer.aclassify(sky(1)),
            describer.adescribe("/there/is/no.fits"),
            return_exceptions=True,
        )
        ticking.cancel()
        # The loop went on meanwhile.
        assert ticks > 5
        return list(found)

    *described, answered, labelled, failed = asyncio.run(ask())
    assert [one.text for one in described] == [  # type: ignore[attr-defined]
        describer.describe(sky(seed)).text for seed in range(8)
    ]
    assert answered.text == describer.ask(sky(1), QUESTIONS[0]).text  # type: ignore[attr-defined]
    assert labelled.probabilities == describer.classify(sky(1)).probabilities  # type: ignore[attr-defined]
    assert isinstance(failed, ImageNotFound)


def test_a_cancelled_task_ends_its_text(describer: Describer) -> None:
    async def cancel() -> None:
        # So hot that it does not end by itself soon.
        task = asyncio.create_task(describer.adescribe(sky(1), temperature=5.0, max_tokens=900))
        jobs = describer._session.engine._core.scheduler._jobs
        while not jobs:
            await asyncio.sleep(0.001)
        made.append(next(iter(jobs)).request.tokens)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    made: list[list[int]] = []
    asyncio.run(cancel())
    at_rest(describer._session.engine)
    assert len(made[0]) < 900


def test_encoded_images_are_kept_on_disk_where_asked_for(tmp_path: Path) -> None:
    skies = [sky(seed) for seed in range(4)]
    with Describer(threads=1, cache=tmp_path / "kept") as describer:
        first = [one.text for one in describer.describe_many(skies, progress=False)]  # type: ignore[union-attr]
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(files) == 4
    with Describer(threads=1, cache=tmp_path / "kept") as describer:
        projector = describer._session.engine._core.projector
        projector.encode = None  # type: ignore[method-assign,assignment]
        again = [one.text for one in describer.describe_many(skies, progress=False)]  # type: ignore[union-attr]
    assert again == first


PROGRAM = """
from astrollava import Describer
from astrollava.images import example
with Describer(threads=1) as describer:
    for one in describer.describe_many([example()] * 3):
        print(len(one.text) > 20)
"""


def read_to_the_end(terminal: int) -> bytes:
    """Read what is shown until nobody can show any more, which Linux reports as an error."""
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65536):
            shown += piece
    return shown


def test_a_bar_is_shown_on_a_terminal_only() -> None:
    """A bar in a pipe fills logs."""
    piped = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True
    )
    assert piped.stdout.split() == ["True"] * 3
    assert "describing" not in piped.stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    # Read while it runs: a terminal keeps a few kilobytes, and a slow machine draws more.
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_to_the_end, ours)
        try:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=theirs, timeout=120,
                check=True,
            )  # fmt: skip
        finally:
            os.close(theirs)
        shown = reading.result().decode()
    os.close(ours)
    assert done.stdout.split() == [b"True"] * 3
    assert "describing" in shown
    assert "3/3" in shown


def test_the_example_among_others_is_the_example(describer: Describer) -> None:
    others = [sky(seed) for seed in range(9)]
    alone = describer.describe(example()).text
    got = list(describer.describe_many([*others, example(), *others], progress=False))
    assert got[9].text == alone  # type: ignore[union-attr]


def test_what_a_blank_picture_scores_is_taken_off_where_asked_for(describer: Describer) -> None:
    """The embedded model finds a blank picture empty: its answers there say nothing (measured)."""
    labels = ["a star", "a galaxy"]
    plain = describer.classify(sky(1), labels)
    corrected = describer.classify(sky(1), labels, correct_prior=True)
    assert plain.probabilities != corrected.probabilities
    without = describer.classify(sky(1), labels, correct_prior=False)
    assert without.probabilities == plain.probabilities
    assert plain.provenance.generation["prior_corrected"] is False
    assert corrected.provenance.generation["prior_corrected"] is True
    blank = describer.classify(np.zeros((64, 64, 3), np.uint8), labels, correct_prior=True)
    assert blank.probabilities == pytest.approx(dict.fromkeys(labels, 0.5))
    # Calibrated labels need no correction.
    galaxy10 = describer.classify(sky(1), correct_prior=True)
    assert galaxy10.probabilities == describer.classify(sky(1)).probabilities


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": 5}, "model is 5"),
        ({"cache": 5}, "cache"),
        ({"cache": True, "cache_bytes": -1}, "cache_bytes"),
        ({"exact": "no"}, "exact"),
        ({"parallel": 0}, "parallel"),
    ],
)
def test_wrong_arguments_are_named_as_they_were_given(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Describer(**wrong)  # type: ignore[arg-type]


def test_a_cache_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """It once was a warning in a log that nobody saw, and nothing was kept."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidRequest, match="cache"):
        Describer(cache=tmp_path / "file")


def test_a_describer_that_is_sent_to_a_process_says_what_to_do(describer: Describer) -> None:
    with pytest.raises(TypeError, match="in each process"):
        pickle.dumps(describer)


@pytest.mark.parametrize(("together", "threads"), [(1, 2), (5, 5), (100, 8)])
def test_as_many_are_prepared_as_are_encoded_at_once(together: int, threads: int) -> None:
    """A tower that takes five images at once would be given two."""
    inside = threading.Barrier(threads, timeout=60)

    def begin(source: int) -> int:
        inside.wait()
        return source

    flight = in_flight(
        range(2 * threads),
        lambda source: source,
        begin,
        lambda begun: begun,
        lambda begun: None,
        window=2 * threads,
        together=together,
        on_error="raise",
        progress=False,
        what="test",
    )
    assert list(flight) == list(range(2 * threads))
