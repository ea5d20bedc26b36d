"""Continuations side by side must be worth what each is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.engine import Engine, Sampling
from astrollava.engine.branches import BRANCHES, nodes_of
from astrollava.errors import GenerationError

Files = Callable[..., tuple[object, object]]

CONTINUATIONS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12
)
#: More than go side by side; some begin like others, some are others' beginnings, two are the same.
ANSWERS = [
    " " + word + end
    for word in (
        "round", "rounder", "roundest", "spiral", "spiral with a bar", "edge-on", "edge", "barred",
        "bare",
    )
    for end in ("", ".", " galaxy", " galaxy.", " galaxy of the sky", "!")
]  # fmt: skip


@given(CONTINUATIONS)
def test_every_beginning_stands_once_behind_its_own(continuations: list[tuple[int, ...]]) -> None:
    """A node missing or before its parent would be evaluated in the wrong context."""
    seen: dict[tuple[int, ...], tuple[int, ...]] = {(): tuple(range(len(continuations)))}
    for node in nodes_of(continuations):
        path = continuations[node.members[0]][: node.depth + 1]
        assert path[-1] == node.token
        assert path[:-1] in seen
        assert path not in seen
        # All that go on behind it, and none else.
        assert node.members == tuple(
            n for n, c in enumerate(continuations) if len(c) > len(path) and c[: len(path)] == path
        )
        seen[path] = node.members
    assert set(seen) == {c[:n] for c in continuations for n in range(len(c))}


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def engine(pair: Files, request: pytest.FixtureRequest) -> Iterator[Engine]:
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256, context=1024)
    with Engine(*files, threads=request.param) as engine:
        yield engine


@pytest.mark.parametrize("words", [3, 60, 110])
def test_scores_are_those_of_each_alone(engine: Engine, words: int) -> None:
    """Neither what stands beside a branch nor how long the cache is may change a bit of it."""
    assert len(ANSWERS) > BRANCHES
    prompt = "word " * words
    scheduler = engine._core.scheduler
    together = engine.score(prompt, [], ANSWERS)
    slot = scheduler._branching
    assert slot is not None
    assert slot.blocks, "the slot for branches was not used"
    scheduler._may_branch = False
    try:
        assert engine.score(prompt, [], ANSWERS) == together
        assert [engine.score(prompt, [], [answer])[0] for answer in ANSWERS] == together
    finally:
        scheduler._may_branch = True
    # Once more, with the prompt at hand.
    assert engine.score(prompt, [], ANSWERS) == together


def test_a_text_beside_scores_stays_the_same(engine: Engine) -> None:
    """They are evaluated in another cache, between two tokens of the text."""
    sampling = Sampling(max_tokens=60)
    alone = engine.complete("abc " * 9, sampling=sampling).run()
    completion = engine.complete("abc " * 9, sampling=sampling).start()
    for _ in range(4):
        engine.score("word", [], ANSWERS)
    assert completion.run() == alone


def test_what_does_not_fit_side_by_side_goes_one_by_one(pair: Files) -> None:
    """A prompt that nearly fills the context leaves no room for all branches at once."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256, context=256)
    with Engine(*files, threads=1) as engine:
        prompt = "a" * 430
        scores = engine.score(prompt, [], ANSWERS)
        slot = engine._core.scheduler._branching
        assert slot is not None
        assert not slot.blocks
        assert [engine.score(prompt, [], [answer])[0] for answer in ANSWERS] == scores


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_labels_asked_for_first_do_not_make_texts_depend_on_each_other(
    pair: Files, kind: str
) -> None:
    """Whether rows are independent was once tried with as many sequences as there were: one."""
    files = pair(dtype=gguf.GGMLQuantizationType[kind], width=256, context=1024)
    prompts = ["abc " * n for n in (1, 7, 20, 33, 2, 64, 5, 11)]
    with Engine(*files, threads=1, parallel=8) as engine:
        engine.score("word", [], ANSWERS)
        expected = not engine._core.scheduler.row_by_row
        assert expected == (kind == "Q8_0")
        alone = [engine.logits(prompt) for prompt in prompts]
        running = [
            engine.complete(prompt, sampling=Sampling(max_tokens=100)).start() for prompt in prompts
        ]
        for prompt, logits in zip(prompts, alone, strict=True):
            assert np.array_equal(engine.logits(prompt), logits)
        for completion in running:
            completion.close()


def test_a_continuation_as_long_as_the_context_is_scored(pair: Files) -> None:
    """A recursion of so many tokens ended the engine, and whoever asked waited for ever."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256, context=4096)
    with Engine(*files, threads=1) as engine:
        (score,) = engine.score("word", [], ["~" * 2400])
        assert score.tokens > 1000
        assert engine.complete("word", sampling=Sampling(max_tokens=2)).run() is not None


def test_what_goes_wrong_before_a_request_begins_is_told(
    pair: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in no queue any more then: nobody else would tell whoever waits."""
    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256, context=1024)
    with Engine(*files, threads=1) as engine:

        def fail(request: object) -> None:
            raise GenerationError("no memory for it")

        monkeypatch.setattr(engine._core.scheduler, "_branching_slot_for", fail)
        with pytest.raises(GenerationError, match="no memory"):
            engine.score("word", [], ["a"])
        monkeypatch.undo()
        assert len(engine.score("word", [], ["a"])) == 1


def test_labels_are_turned_into_tokens_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every image of a catalogue it took as long as a row of the evaluation."""
    expected = engine.score("one image", [], ANSWERS)
    model, given = engine._core.model, []
    tokenize = model.tokenize

    def note(text: str, *, start: bool = False) -> list[int]:
        given.append(text)
        return tokenize(text, start=start)

    monkeypatch.setattr(model, "tokenize", note)
    assert engine.score("one image", [], ANSWERS) == expected
    assert given == ["one image"]
    # Behind another prompt they may be others.
    engine.score("another", [], ANSWERS[:2])
    assert len(given) == 4
