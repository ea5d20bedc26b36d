"""What a model is computed with decides over bits; what it takes, over the whole machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import psutil
import pytest

from astrollava.engine import Engine, Sampling, runtime
from astrollava.engine._context import MAX_OUTPUTS, Footprint
from astrollava.engine._means import sequences_for, spares, text_means, total_bytes
from astrollava.engine.independence import rows_are_independent
from engine_state import at_once, at_rest

Files = Callable[..., tuple[Path, Path]]
ANSWERS = ["round", "rounder", "spiral", "edge-on"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a size at which two threads share a lone token."""
    path = tmp_path_factory.mktemp("large") / "text.gguf"
    with path.open("wb") as file:
        file.truncate(2**30)
    return path


@pytest.mark.parametrize(
    ("asked", "on_gpu"), [(0, False), (1, False), (32, False), (33, True), (99, True), (-1, True)]
)
def test_a_layer_left_to_the_cpu_is_evaluated_as_its_kernels_need_it(
    large: Path, asked: int, on_gpu: bool
) -> None:
    """Any layer on a GPU was taken for all: texts then differed where two threads cut a token."""
    means = text_means(large, layers=33, n_gpu_layers=asked, threads=2)
    assert (means.on_gpu, means.flash_attention, means.threads) == (on_gpu, on_gpu, 2)


def test_the_output_is_a_layer_to_offload_too(pair: Files) -> None:
    """With all blocks and no more on a GPU, the CPU still computes the logits."""
    with Engine(*pair(layers=3), threads=1) as engine:
        assert engine._core.model.layers == 4
        assert not engine._core.scheduler.context.on_gpu


def test_contexts_take_no_more_memory_than_was_counted(pair: Files) -> None:
    """The one for branches, and what a context has beside its cache, were in no count."""
    files = pair(layers=8, width=256, context=4096, dtype=gguf.GGMLQuantizationType.Q8_0)
    memory = psutil.Process().memory_info
    with Engine(*files, threads=1, parallel=3) as engine:
        one = engine._core.scheduler.context.footprint
        before = memory().rss
        prompt = "word " * 40
        with at_once(engine):
            begun = [
                engine.complete(prompt, sampling=Sampling(max_tokens=200)).start() for _ in range(3)
            ]
        engine.score(prompt, [], ANSWERS)
        assert engine._core.scheduler._branching is not None
        for completion in begun:
            completion.close()
        grown = memory().rss - before
        at_rest(engine)
        assert len(engine._core.scheduler.slots) == 3
        assert grown <= total_bytes(one, 3)
        # Three sequences and the branches, less the first context where it is freed by then.
        assert grown >= 0.8 * 3 * one.cache
        # Keys and values of 256 numbers in 8 layers, of two bytes each.
        assert one.cache == 4096 * 2 * 8 * 256 * 2


def test_all_contexts_together_take_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Footprint(cache=100, rest=10)
    for free in (0, 839, 840, 1679, 1680, 2080, 10**6):
        monkeypatch.setattr(runtime, "available_memory", lambda free=free: free)
        chosen = sequences_for(one)
        assert chosen == 1 or total_bytes(one, chosen) <= free / 4
        assert chosen == 16 or total_bytes(one, chosen + 1) > free / 4


def test_without_memory_to_spare_labels_are_scored_in_turn(
    pair: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second cache as large as the first would have made a small machine swap."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256)
    with Engine(*files, threads=1) as engine:
        expected = engine.score("word", [], ANSWERS)
        assert spares(engine._core.scheduler.context.footprint)
    monkeypatch.setattr(runtime, "available_memory", lambda: 1000)
    with Engine(*files, threads=1) as engine:
        assert engine.score("word", [], ANSWERS) == expected
        assert engine._core.scheduler._branching is None
        assert engine.parallel == 1


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_gpu_is_tried_with_as_many_rows_as_it_will_be_given(pair: Files, on_gpu: bool) -> None:
    """Its kernels change with the number of rows, and branches come by dozens."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256)
    with Engine(*files, threads=1, parallel=2) as engine:
        scheduler = engine._core.scheduler
        # Nothing here has a GPU: what is made then is the same but for that.
        make, made = scheduler._make_context, []

        def note(sequences: int, tokens: int | None, *, shared: bool = False) -> object:
            made.append((sequences, shared))
            context = make(sequences, tokens, shared=shared)
            context.on_gpu = on_gpu
            return context

        scheduler._make_context = note
        scheduler.context.on_gpu = on_gpu
        assert not scheduler.row_by_row
        assert made == [(8, False), *([(MAX_OUTPUTS, True)] if on_gpu else [])]


@pytest.mark.parametrize(("kind", "same"), [("Q8_0", True), ("F16", False)])
def test_rows_are_told_apart_in_a_shared_cache_too(pair: Files, kind: str, same: bool) -> None:
    files = pair(dtype=gguf.GGMLQuantizationType[kind], width=256)
    with Engine(*files, threads=1) as engine:
        make = engine._core.scheduler._make_context
        assert rows_are_independent(make, MAX_OUTPUTS, shared=True) == same
