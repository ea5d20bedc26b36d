"""Tower and text share the cores: neither may change, or wait for ever, because of the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from astrollava.engine import Engine, runtime
from astrollava.engine._sharing import Sharing
from astrollava.engine._towers import Towers
from astrollava.errors import GenerationError
from engine_state import ENDLESS, WITHOUT_END

Files = Callable[..., tuple[object, object]]


def test_where_there_is_room_for_both_nobody_waits() -> None:
    sharing = Sharing(4, tower=2, text=2)
    with sharing.encoding(beside=False), sharing.generating() as threads:
        assert (sharing.beside, threads) == (0, 2)


@pytest.mark.parametrize(
    ("cores", "tower", "text", "beside", "left"),
    [(2, 2, 2, 1, 1), (8, 8, 8, 4, 4), (8, 3, 6, 3, 5)],
)
def test_beside_each_other_they_fill_the_cores_and_no_more(
    cores: int, tower: int, text: int, beside: int, left: int
) -> None:
    """One thread too many, and those of the other wait for it at every barrier."""
    sharing = Sharing(cores, tower=tower, text=text)
    with sharing.generating() as threads:
        assert threads == text
    with sharing.encoding(beside=True), sharing.generating() as threads:
        assert (sharing.beside, threads) == (beside, left)
    with sharing.generating() as threads:
        assert threads == text


def test_a_single_core_is_taken_in_turn() -> None:
    sharing = Sharing(1, tower=1, text=1)
    assert sharing.beside == 0
    inside = threading.Event()

    def generate() -> None:
        with sharing.generating():
            inside.set()

    with sharing.encoding(beside=False):
        other = threading.Thread(target=generate)
        other.start()
        assert not inside.wait(0.05)
    other.join(60)
    assert inside.is_set()


def test_an_image_encoded_beside_text_has_the_same_bits(
    pair: Files, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue made many at a time would differ from one made image by image."""
    monkeypatch.setattr(runtime, "physical_cores", lambda: 2)
    with Engine(*pair(**ENDLESS), threads=2, parallel=2) as alone:
        pictures = [picture(alone, seed) for seed in range(6)]
        expected = [alone.encode_image(rgb).values for rgb in pictures]
        assert alone._core.towers._second is None, "a copy nobody needs"
    with Engine(*pair(**ENDLESS), threads=2, parallel=2) as engine:
        core = engine._core
        text = engine.complete("abc", sampling=WITHOUT_END).start()
        found = []
        for rgb in pictures:
            while not core.scheduler.busy:
                text = engine.complete("abc", sampling=WITHOUT_END).start()
            found.append(engine.encode_image(rgb).values)
        assert core.towers._second is not None
        text.close()
    assert all(map(np.array_equal, expected, found))


def test_text_goes_on_while_an_image_is_encoded_beside_it(
    pair: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turns, whoever generates would stand still for as long as a tower takes."""
    monkeypatch.setattr(runtime, "physical_cores", lambda: 2)
    with Engine(*pair(**ENDLESS), threads=2, parallel=2) as engine:
        request = engine.complete("abc", sampling=WITHOUT_END).start()
        with engine._core.towers._sharing.encoding(beside=True):
            before = len(request._request.tokens)
            until = time.monotonic() + 60
            while len(request._request.tokens) < before + 5 and time.monotonic() < until:
                time.sleep(0.001)
            assert engine._core.scheduler.context._using == 1
        assert len(request._request.tokens) >= before + 5
        request.close()


def test_a_tower_that_does_not_fit_twice_is_not_copied(
    pair: Files, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop whose memory is just enough for the model would begin to swap."""
    monkeypatch.setattr(runtime, "physical_cores", lambda: 2)
    monkeypatch.setattr(runtime, "available_memory", lambda: 1000)
    with Engine(*pair(**ENDLESS), threads=2, parallel=2) as engine:
        text = engine.complete("abc", sampling=WITHOUT_END).start()
        for seed in range(3):
            engine.encode_image(picture(engine, seed))
        assert engine._core.towers._second is None
        text.close()


def test_a_copy_that_fails_costs_no_image(
    pair: Files, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image was encoded before: that there is no memory for a second tower is not its fault."""
    monkeypatch.setattr(runtime, "physical_cores", lambda: 2)
    freed = []
    with Engine(*pair(**ENDLESS), threads=2, parallel=2) as engine:
        towers = engine._core.towers
        make = towers._copy
        assert make is not None

        def broken() -> object:
            second = make()
            free = second.free

            def fail(rgb: np.ndarray, key: str) -> object:
                raise GenerationError("llama.cpp cannot encode the image")

            second.encode = fail
            second.free = lambda: (freed.append(True), free())
            return second

        monkeypatch.setattr(towers, "_copy", broken)
        text = engine.complete("abc", sampling=WITHOUT_END).start()
        assert engine.encode_image(picture(engine)).values.any()
        text.close()
        assert freed == [True]
        assert towers._second is None


def test_a_tower_of_few_threads_is_its_own_copy(
    pair: Files, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file would be loaded twice for nothing."""
    monkeypatch.setattr(runtime, "physical_cores", lambda: 3)
    sharing = Sharing(3, tower=1, text=3)
    with Engine(*pair(), threads=1) as engine:
        towers = Towers(engine._core.projector, None, sharing, exact=True)
        assert towers._second is engine._core.projector
