"""Images encoded at once: each must be its own, whoever waits for it and whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from astrollava.engine import Engine
from astrollava.engine._towers import Towers
from astrollava.errors import GenerationError

Files = Callable[..., tuple[object, object]]
Picture = Callable[..., np.ndarray]

INTERNVL = {"joins": 2, "tower_width": 64, "side": 56}


@pytest.fixture
def engine(pair: Files) -> Iterator[Engine]:
    with Engine(*pair(**INTERNVL), threads=1) as engine:
        yield engine


def encode_at_once(engine: Engine, pictures: list[np.ndarray]) -> list[object]:
    """One thread for each, all waiting while the tower is taken; what each got, or its error."""
    found: list[object] = [None] * len(pictures)

    def work(i: int) -> None:
        try:
            found[i] = engine.encode_image(pictures[i]).values
        except GenerationError as error:
            found[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(pictures))]
    towers: Towers = engine._core.towers
    with towers.at_work:
        for thread in threads:
            thread.start()
        while len(towers._waiting) < len({p.tobytes() for p in pictures}):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return found


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the tower was for."""
    projector = engine._core.projector
    calls: list[int] = []
    alone, together = projector.encode, projector.encode_together

    def encode(rgb: np.ndarray, key: str) -> object:
        calls.append(1)
        return alone(rgb, key)

    def encode_together(rgbs: list[np.ndarray], keys: list[str]) -> object:
        calls.append(len(rgbs))
        return together(rgbs, keys)

    monkeypatch.setattr(projector, "encode", encode)
    monkeypatch.setattr(projector, "encode_together", encode_together)
    return calls


def test_only_towers_that_can_are_asked_for_several(pair: Files, engine: Engine) -> None:
    assert engine.images_together > 1
    with Engine(*pair(), threads=1) as other:
        assert other.images_together == 1


def test_images_waiting_are_encoded_at_once_each_as_alone(
    engine: Engine, pair: Files, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another order or with other bits, a picture's words would be those of its neighbour."""
    pictures = [picture(engine, seed) for seed in range(12)]
    with Engine(*pair(**INTERNVL), threads=1) as other:
        expected = [other.encode_image(rgb).values for rgb in pictures]
    calls = counted(engine, monkeypatch)
    found = encode_at_once(engine, pictures[:5])
    assert all(map(np.array_equal, found, expected[:5]))
    # The first time they are encoded alone, too, to compare the bits.
    assert sorted(calls)[-1] > 1
    if engine.images_together > 1:
        calls.clear()
        found = encode_at_once(engine, pictures[5:])
        assert all(map(np.array_equal, found, expected[5:]))
        assert len(calls) < len(pictures[5:])


def test_what_is_not_the_same_at_once_is_encoded_alone(
    engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue would depend on how many images happened to wait."""
    projector = engine._core.projector
    together = projector.encode_together

    def otherwise(rgbs: list[np.ndarray], keys: list[str]) -> list[object]:
        found = together(rgbs, keys)
        for image in found:
            image.values.setflags(write=True)
            image.values[0, 0] += np.float32(1e-3)
        return found

    monkeypatch.setattr(projector, "encode_together", otherwise)
    pictures = [picture(engine, seed) for seed in range(4)]
    alone = [projector.encode(rgb, "").values for rgb in pictures]
    assert all(map(np.array_equal, encode_at_once(engine, pictures), alone))
    assert engine.images_together == 1


def test_an_image_asked_for_twice_is_encoded_once(
    engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(engine, monkeypatch)
    found = encode_at_once(engine, [picture(engine)] * 4)
    assert calls == [1]
    assert all(np.array_equal(found[0], values) for values in found)


def test_an_image_that_fails_fails_alone(
    engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose fault it is cannot be told of several at once."""
    projector = engine._core.projector
    pictures = [picture(engine, seed) for seed in range(4)]
    encode = projector.encode

    def refuse(rgb: np.ndarray, key: str) -> object:
        if np.array_equal(rgb, pictures[2]):
            raise GenerationError("llama.cpp cannot encode the image")
        return encode(rgb, key)

    def refuse_all(rgbs: list[np.ndarray], keys: list[str]) -> object:
        raise GenerationError("llama.cpp cannot encode 4 images at once")

    expected = [encode(rgb, "").values for rgb in pictures]
    monkeypatch.setattr(projector, "encode", refuse)
    monkeypatch.setattr(projector, "encode_together", refuse_all)
    found = encode_at_once(engine, pictures)
    for i, values in enumerate(found):
        if i == 2:
            assert isinstance(values, GenerationError)
        else:
            assert np.array_equal(values, expected[i])


def test_whoever_waits_is_served_after_an_interrupt(
    engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the thread that encodes for others would leave them waiting for ever."""
    projector = engine._core.projector
    encode, pictures = projector.encode, [picture(engine, seed) for seed in range(3)]
    expected = [encode(rgb, "").values for rgb in pictures]
    first = threading.Lock()

    def interrupted(rgb: np.ndarray, key: str) -> object:
        if first.acquire(blocking=False):
            raise KeyboardInterrupt
        return encode(rgb, key)

    monkeypatch.setattr(projector, "encode_together", lambda rgbs, keys: [])
    monkeypatch.setattr(projector, "encode", interrupted)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    found = encode_at_once(engine, pictures)
    assert sum(values is None for values in found) == 1
    for values, wanted in zip(found, expected, strict=True):
        assert values is None or np.array_equal(values, wanted)
