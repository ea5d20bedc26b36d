"""Loading must explain its failures, and everything loaded must be freed."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from astrollava.engine import Engine, Sampling
from astrollava.engine._means import text_means
from astrollava.engine.runtime import physical_cores
from astrollava.errors import (
    ClosedError,
    InvalidRequest,
    ModelLoadFailed,
    ModelNotFound,
    ProjectorMismatch,
)
from engine_state import ENDLESS, WITHOUT_END

PairWriter = Callable[..., tuple[Path, Path]]
Load = Callable[..., Engine]


def test_sizes_are_read_from_the_files(load: Load) -> None:
    with load(side=42, patch=6, width=96, context=300) as engine:
        assert engine.image_size == (42, 42)
        assert engine.image_tokens == 49
        assert engine.n_embd == 96
        assert engine.n_ctx == 300  # though llama.cpp pads it to 512
        assert (engine.architecture, engine.projector) == ("llama", "mlp")


def test_a_long_context_is_bounded_unless_asked_for(load: Load) -> None:
    with load(context=100_000) as engine:
        assert engine.n_ctx == 4096
    with load(context=100_000, n_ctx=5000) as engine:
        assert engine.n_ctx == 5000


def test_a_small_model_gets_one_thread_and_a_large_one_the_cores(
    pair: PairWriter, tmp_path: Path
) -> None:
    text, mmproj = pair()
    with Engine(text, mmproj) as engine:
        assert engine.threads == 1
    large = tmp_path / "large.gguf"
    large.write_bytes(text.read_bytes())
    with large.open("r+b") as file:
        file.truncate(2**33)  # a hole: llama.cpp does not mind what follows the tensors
    means = text_means(large, layers=3, n_gpu_layers=0, threads=None)
    assert means.threads == physical_cores()


def test_a_projector_of_another_model_is_named_as_such(pair: PairWriter) -> None:
    text, _ = pair()
    _, other = pair(projects_to=96)
    with pytest.raises(ProjectorMismatch, match="64"):
        Engine(text, other)


def test_a_mismatch_only_llama_cpp_sees_is_named_too(pair: PairWriter) -> None:
    text, _ = pair()
    _, other = pair(gemma=True, side=56, projects_to=96)
    with pytest.raises(ProjectorMismatch, match="96"):
        Engine(text, other)


def test_swapped_files_are_refused_with_llama_cpps_reason(pair: PairWriter) -> None:
    text, mmproj = pair()
    with pytest.raises(ModelLoadFailed, match="CLIP cannot be used"):
        Engine(mmproj, text)
    with pytest.raises(ModelLoadFailed, match="projector"):
        Engine(text, text)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, pair: PairWriter) -> None:
    text, mmproj = pair()
    wrong = tmp_path / "notes.gguf"
    wrong.write_text("not a model")
    with pytest.raises(ModelLoadFailed, match=r"notes\.gguf"):
        Engine(wrong, mmproj)
    with pytest.raises(ModelLoadFailed, match=r"notes\.gguf"):
        Engine(text, wrong)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(text.read_bytes()[:-5000])
    with pytest.raises(ModelLoadFailed, match=r"cut\.gguf"):
        Engine(cut, mmproj)


def test_a_missing_file_is_named(tmp_path: Path, pair: PairWriter) -> None:
    text, mmproj = pair()
    with pytest.raises(ModelNotFound, match=r"absent\.gguf"):
        Engine(tmp_path / "absent.gguf", mmproj)
    with pytest.raises(ModelNotFound, match="no file at"):
        Engine(text, tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"n_ctx": 0}, {"n_ctx": 2.0}, {"threads": 0}, {"n_gpu_layers": -2}, {"threads": True}]
)
def test_numbers_out_of_range_are_refused_before_llama_cpp_sees_them(
    pair: PairWriter, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Engine(*pair(), **wrong)


def test_paths_outside_ascii_are_opened(tmp_path: Path, pair: PairWriter) -> None:
    folder = tmp_path / "Модель ☉"
    folder.mkdir()
    copies = []
    for path in pair():
        copies.append(folder / path.name)
        copies[-1].write_bytes(path.read_bytes())
    with Engine(*copies, threads=1) as engine:
        assert engine.n_embd == 64


def _rss() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def _use(engine: Engine, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = engine.encode_image(random.integers(0, 256, (*engine.image_size, 3), dtype=np.uint8))
    "".join(engine.complete("<__media__>ab", [image], sampling=Sampling(max_tokens=3)))


# The cache of 4096 positions takes 4 MB: one leaked a time would be 160 MB.
LONG = {"context": 4096, "width": 128}


def test_fifty_loads_and_closes_leave_no_memory_behind(load: Load) -> None:
    sizes = []
    for i in range(50):
        with load(**LONG) as engine:
            _use(engine, i)
        if i in (9, 49):
            sizes.append(_rss())
    assert sizes[1] - sizes[0] < 10, sizes


def test_failed_loads_leave_no_memory_behind(pair: PairWriter) -> None:
    text, _ = pair(width=256, merges=2000)
    _, other = pair(projects_to=96)
    sizes = []
    for i in range(40):
        with pytest.raises(ProjectorMismatch):
            Engine(text, other)
        if i in (9, 39):
            sizes.append(_rss())
    assert sizes[1] - sizes[0] < 10, sizes


def test_a_dropped_engine_frees_its_memory(load: Load) -> None:
    sizes = []
    for i in range(30):
        engine = load(**LONG)
        _use(engine, i)
        core = weakref.ref(engine._core)
        del engine
        if i in (9, 29):
            sizes.append(_rss())
    gc.collect()
    assert core() is None
    assert sizes[1] - sizes[0] < 10, sizes


def test_use_after_close_is_an_error_and_closing_twice_is_not(
    load: Load, picture: Callable[..., np.ndarray]
) -> None:
    engine = load()
    image = engine.encode_image(picture(engine))
    engine.close()
    engine.close()
    assert engine.closed
    for use in (
        lambda: engine.encode_image(picture(engine)),
        lambda: engine.complete("a"),
        lambda: engine.score("<__media__>", [image], ["a"]),
        lambda: engine.format([{"role": "user", "content": "a"}]),
        lambda: engine.__enter__(),
    ):
        with pytest.raises(ClosedError):
            use()


def test_a_text_being_generated_ends_when_the_engine_is_closed(load: Load) -> None:
    engine = load(**ENDLESS)
    completion = engine.complete("abc", sampling=WITHOUT_END)
    next(completion)
    engine.close()
    with pytest.raises(ClosedError):
        list(completion)
    assert completion.finish_reason == "cancelled"
    assert completion.text


def test_closing_while_threads_generate_crashes_nothing(load: Load) -> None:
    for delay in (0.0, 0.003, 0.02):
        engine = load()
        outcomes: list[object] = []

        def work(engine: Engine = engine, outcomes: list[object] = outcomes) -> None:
            try:
                outcomes.append("".join(engine.complete("abc", sampling=Sampling(max_tokens=400))))
            except ClosedError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        threads[0].join(delay)
        engine.close()
        for thread in threads:
            thread.join(60)
        assert len(outcomes) == 4


def test_a_stream_outlives_the_name_of_its_engine(load: Load) -> None:
    expected = "".join(load().complete("abc", sampling=Sampling(max_tokens=20)))
    stream = load().complete("abc", sampling=Sampling(max_tokens=20))
    gc.collect()
    assert "".join(stream) == expected
