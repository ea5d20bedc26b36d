"""What one sequence has evaluated serves every other, of whatever context, and to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from astrollava.engine import Engine, Sampling
from astrollava.engine._prompt import ImageBlock
from astrollava.engine._state import room_for, with_streams
from astrollava.engine.slots import Slot
from engine_state import at_once, forget
from gguf_files import MMPROJS, TEXTS, Tensor

Files = Callable[..., tuple[Path, Path]]
Picture = Callable[..., np.ndarray]
Question = Callable[[Engine, str], str]

ANSWERS = ["round", "rounder", "a spiral", "a spiral with a bar", "edge-on"]
SHORT = Sampling(max_tokens=12)
LONG = Sampling(max_tokens=150)
#: A picture of 64 tokens: worth copying.
SIZES = {"side": 56, "width": 256, "context": 1024}


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Blocks of prompts that were evaluated."""
    seen: list[object] = []
    original = Slot.evaluate

    def evaluate(self: Slot, block: object, **how: bool) -> None:
        seen.append(block)
        original(self, block, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Slot, "evaluate", evaluate)
    return seen


@pytest.fixture(scope="module", params=[1, 4], ids=["alone", "of four"])
def engine(pair: Files, request: pytest.FixtureRequest) -> Iterator[Engine]:
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, **SIZES)
    with Engine(*files, threads=1, parallel=request.param) as engine:
        with at_once(engine):
            begun = [engine.complete("abc", sampling=SHORT).start() for _ in range(4)]
        assert len({completion.run() for completion in begun}) == 1
        assert len(engine._core.scheduler.slots) == request.param
        yield engine


def test_an_image_is_evaluated_once_to_be_described_and_labelled(
    engine: Engine, picture: Picture, question: Question, evaluated: list[object]
) -> None:
    """Labels and texts have caches of two kinds; each would evaluate the image for itself."""
    image = engine.encode_image(picture(engine))
    asked, named = question(engine, "What is it?"), question(engine, "Which kind?")

    def say() -> object:
        completion = engine.complete(asked, [image], sampling=SHORT)
        return completion.run(), completion._request.tokens

    def label() -> object:
        return engine.score(named, [image], ANSWERS)

    def logits() -> object:
        return engine.logits(asked, [image]).tobytes()

    works = (say, label, logits)
    alone = [(forget(engine), work())[1] for work in works]
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)):
        forget(engine)
        del evaluated[:]
        for n in (*order, *order):
            assert works[n]() == alone[n]
        assert sum(isinstance(block, ImageBlock) for block in evaluated) == 1, order


def test_an_image_to_be_labelled_and_described_at_once_is_evaluated_once(
    pair: Files,
    picture: Picture,
    question: Question,
    evaluated: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two at work, in two caches, each with the image before it: one must wait for the other."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, **SIZES)
    with Engine(*files, threads=1, parallel=4) as engine:
        image = engine.encode_image(picture(engine))
        asked, named = question(engine, "What is it?"), question(engine, "Which kind?")
        expected = engine.score(named, [image], ANSWERS)
        text = engine.complete(asked, [image], sampling=SHORT).run()
        forget(engine)
        del evaluated[:]
        scheduler = engine._core.scheduler
        with monkeypatch.context() as patch, at_once(engine):
            patch.setattr(engine, "_done", lambda request: scheduler.submit(request) or request)
            scoring = engine.score(named, [image], ANSWERS)
            completion = engine.complete(asked, [image], sampling=SHORT).start()
        assert completion.run() == text
        assert scoring.wait() == expected
        assert sum(isinstance(block, ImageBlock) for block in evaluated) == 1


def test_an_image_is_not_evaluated_again_when_there_are_first_many(
    pair: Files, picture: Picture, question: Question, evaluated: list[object]
) -> None:
    """A question, then several at once: the sequences of these are in another context."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, **SIZES)
    with Engine(*files, threads=1, parallel=4) as engine:
        image = engine.encode_image(picture(engine))
        prompts = [question(engine, f"What is {n}?") for n in range(4)]
        texts = [engine.complete(each, [image], sampling=LONG).run() for each in prompts]
        assert len(engine._core.scheduler.slots) == 1
        with at_once(engine):
            begun = [engine.complete(each, [image], sampling=LONG).start() for each in prompts]
        assert [completion.run() for completion in begun] == texts
        assert len(engine._core.scheduler.slots) == 4
        assert sum(isinstance(block, ImageBlock) for block in evaluated) == 1


@pytest.mark.parametrize(("streams", "stream", "wanted"), [(1, 0, 4), (4, 2, 1), (4, 3, 2)])
def test_a_state_is_as_the_other_cache_would_have_written_it(
    streams: int, stream: int, wanted: int
) -> None:
    def written(streams: int, stream: int) -> bytes:
        empty = [0] * (streams - 1 - stream)
        return np.array([77, 5, streams, *[0] * stream, 3, 9, 9, *empty], np.uint32).tobytes()

    given = written(streams, stream)
    state = room_for(len(given), wanted)
    state[: len(given)] = np.frombuffer(given, np.uint8)
    moved = with_streams(state, len(given), stream=stream, streams=streams, wanted=wanted)
    assert moved.tobytes() == written(wanted, 0)


class Loud(Tensor):
    """Weights large enough for attention to choose."""

    def bytes(self, random: np.random.Generator) -> bytes:
        return (np.frombuffer(super().bytes(random), np.float32) * np.float32(4)).tobytes()


def test_what_a_window_hides_is_not_lost_behind_a_shorter_beginning(tmp_path: Path) -> None:
    """llama.cpp copies what the last token of a sequence sees; others, before it, see more."""
    text, mmproj = TEXTS["gemma3"](), MMPROJS["gemma3"]()
    text.keys["gemma3.context_length"] = ("u32", 512)
    for name, tensor in text.tensors.items():
        if "norm" in name or "attn_q.w" in name:
            text.tensors[name] = Loud(tensor.shape)
    files = tmp_path / "text.gguf", tmp_path / "mmproj.gguf"
    for path, model in zip(files, (text, mmproj), strict=True):
        path.write_bytes(model.write(seed=4))
    with Engine(*files, threads=1, parallel=3) as engine:
        long, short = "<s>" + "ab cd e" * 60, "<s>" + "ab cd e" * 30
        alone = engine.logits(short)
        begun = [engine.complete(long, sampling=LONG).start() for _ in range(2)]
        while not all(completion._request.tokens for completion in begun):
            time.sleep(0.001)
        assert np.array_equal(engine.logits(short), alone)
        for completion in begun:
            completion.close()
