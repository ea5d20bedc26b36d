"""Requests side by side must give what each gives alone, and none may harm another."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from astrollava.engine import Completion, Engine, Sampling
from astrollava.engine._prompt import ImageBlock
from astrollava.errors import ClosedError, GenerationError
from engine_state import ENDLESS, WITHOUT_END, at_once, at_rest, forget, held
from tiny_pair import byte_token

Load = Callable[..., Engine]
Picture = Callable[..., np.ndarray]
Question = Callable[..., str]

SHORT = Sampling(max_tokens=24)


@pytest.fixture(scope="module")
def wide(pair: Callable[..., tuple[object, object]]) -> Iterator[Engine]:
    with Engine(*pair(), threads=1, parallel=8) as engine:
        yield engine


def start(engine: Engine, prompts: list[str], sampling: Sampling = SHORT) -> list[Completion]:
    with at_once(engine):
        return [engine.complete(prompt, sampling=sampling).start() for prompt in prompts]


def tokens(completions: list[Completion]) -> list[list[int]]:
    for completion in completions:
        completion.run()
    return [completion._request.tokens for completion in completions]


PROMPTS = ["abc " * n for n in (1, 7, 20, 33, 2, 64, 5, 11, 3, 90, 4, 8)]


# --- the same whatever is beside ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("threads", [1, 2])
def test_texts_and_logits_are_those_of_each_alone(
    pair: Callable[..., tuple[object, object]], kind: str, threads: int
) -> None:
    """llama.cpp multiplies several rows by other kernels than one, which round otherwise."""
    import gguf

    files = pair(dtype=gguf.GGMLQuantizationType[kind.upper()], width=256, context=1024)
    prompts = [*PROMPTS, "word " * 150]
    with Engine(*files, threads=threads, parallel=1) as alone:
        expected = [tokens([forget(alone).complete(p, sampling=SHORT)])[0] for p in prompts]
        logits = [forget(alone).logits(p) for p in prompts]
    for parallel in (2, 3, 8, 13):
        with Engine(*files, threads=threads, parallel=parallel) as engine:
            assert tokens(start(engine, prompts)) == expected, parallel
            assert len(engine._core.scheduler.slots) == parallel
            # Beside texts being generated, the logits of a prompt are the same to the bit.
            beside = start(engine, prompts[:parallel], Sampling(max_tokens=200))
            for prompt, wanted in zip(prompts, logits, strict=True):
                assert np.array_equal(engine.logits(prompt), wanted)
            for completion in beside:
                completion.close()


@pytest.mark.parametrize("others", [[0, 1], [0, 5], [0, 2, 7], [0, 1, 6]])
@pytest.mark.parametrize("position", [64, 255, 256, 257, 320])
def test_a_long_text_alone_is_computed_as_beside_others(
    pair: Callable[..., tuple[object, object]], position: int, others: list[int]
) -> None:
    """With flash attention llama.cpp cuts the work on a lone token among threads from 256 on.

    Lone is also one whose neighbours in number are idle: it is evaluated by itself.
    """
    import gguf

    files = pair(dtype=gguf.GGMLQuantizationType.Q8_0, width=256, context=512)
    with Engine(*files, threads=2) as engine:
        context = engine._core.scheduler._make_context(8, None)
        found = []
        for members in ([others[-1]], others):
            for sequence in others:
                context.truncate(sequence, 0)
                for start in range(0, position, 64):
                    rows = [(7 * p) % 200 + 5 for p in range(start, min(start + 64, position))]
                    context.decode_tokens(rows, start, sequence)
            context.decode_rows([9] * len(members), [position] * len(members), members)
            found.append(context.logits()[-1].copy())
        context.free()
    assert np.array_equal(*found)


def test_only_where_rows_are_independent_are_they_evaluated_together(
    pair: Callable[..., tuple[object, object]],
) -> None:
    import gguf

    found = {}
    for kind in ("F16", "Q8_0"):
        files = pair(dtype=gguf.GGMLQuantizationType[kind], width=256, context=1024)
        for exact in (True, False):
            with Engine(*files, threads=1, parallel=8, exact=exact) as engine:
                tokens(start(engine, PROMPTS))
                found[kind, exact] = engine._core.scheduler.row_by_row
    assert found["F16", True]
    assert not any(found[key] for key in found if key != ("F16", True))


def test_sampled_texts_do_not_depend_on_others(wide: Engine) -> None:
    def sampling(i: int) -> Sampling:
        return Sampling(max_tokens=20, temperature=1.0, seed=i, repeat_penalty=1.0 + 0.1 * (i % 2))

    expected = [
        wide.complete(prompt, sampling=sampling(i)).run() for i, prompt in enumerate(PROMPTS)
    ]
    with at_once(wide):
        begun = [
            wide.complete(prompt, sampling=sampling(i)).start() for i, prompt in enumerate(PROMPTS)
        ]
    assert [completion.run() for completion in begun] == expected
    assert len(set(expected)) > 6


def test_a_text_begun_before_there_were_more_sequences_goes_on_as_it_would(load: Load) -> None:
    """Another context takes the place of the first in the middle of its work."""
    with load() as engine:
        alone = engine.complete("abc", sampling=Sampling(max_tokens=300)).run()
        first = engine.complete("abc", sampling=Sampling(max_tokens=300))
        beginning = next(first)
        others = [c.run() for c in start(engine, PROMPTS)]
        assert len(engine._core.scheduler.slots) > 1
        assert beginning + "".join(first) == alone
        assert others == [forget(engine).complete(p, sampling=SHORT).run() for p in PROMPTS]
        assert at_rest(engine)._core.scheduler._retired is None


# --- each image once -----------------------------------------------------------------------------


def evaluated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note every block that is evaluated from now on."""
    from astrollava.engine.slots import Slot

    seen: list[object] = []
    original = Slot.evaluate

    def evaluate(self: Slot, block: object, **how: bool) -> None:
        seen.append(block)
        original(self, block, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Slot, "evaluate", evaluate)
    return seen


def test_an_image_is_evaluated_once_however_many_ask_about_it(
    pair: Callable[..., tuple[object, object]],
    picture: Picture,
    question: Question,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 64 image tokens: worth copying.
    with Engine(*pair(side=56), threads=1, parallel=8) as engine:
        image = engine.encode_image(picture(engine, 1))
        prompts = [question(engine, f"What is {n}?") for n in range(12)]
        alone = [forget(engine).complete(p, [image], sampling=SHORT).run() for p in prompts]
        tokens(start(engine, PROMPTS))
        forget(engine)
        blocks = evaluated(engine, monkeypatch)
        with at_once(engine):
            begun = [engine.complete(p, [image], sampling=SHORT).start() for p in prompts]
        assert [completion.run() for completion in begun] == alone
        assert sum(isinstance(block, ImageBlock) for block in blocks) == 1
        assert sum(c.reused_tokens >= engine.image_tokens for c in begun) == len(begun) - 1


def test_other_images_are_not_taken_for_it(
    wide: Engine, picture: Picture, question: Question
) -> None:
    prompt = question(wide, "What?")
    images = [wide.encode_image(picture(wide, seed)) for seed in range(12)]
    alone = [forget(wide).complete(prompt, [image], sampling=SHORT).run() for image in images]
    begun = [wide.complete(prompt, [image], sampling=SHORT).start() for image in images * 2]
    assert [completion.run() for completion in begun] == alone * 2


# --- none harms another --------------------------------------------------------------------------


def test_a_request_that_fails_fails_alone(
    pair: Callable[..., tuple[object, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One decode serves many: whose fault a failure is must be found out."""
    from astrollava.engine._context import Context

    original = Context.decode_rows
    bad: list[int] = []

    def decode_rows(
        self: Context, given: list[int], positions: list[int], sequences: list[int]
    ) -> None:
        if not bad and len(sequences) > 3:
            bad.append(sequences[2])
        if bad and bad[0] in sequences:
            raise GenerationError("llama.cpp could not evaluate 1 tokens (status 1)")
        original(self, given, positions, sequences)

    with Engine(*pair(), threads=1, parallel=8, exact=False) as engine:
        alone = [engine.complete(prompt, sampling=SHORT).run() for prompt in PROMPTS]
        monkeypatch.setattr(Context, "decode_rows", decode_rows)
        outcomes: list[str | None] = []
        for completion in start(forget(engine), PROMPTS[:8]):
            try:
                outcomes.append(completion.run())
            except GenerationError:
                outcomes.append(None)
    assert bad
    assert outcomes.count(None) == 1
    assert sum(got == said for got, said in zip(outcomes, alone, strict=False)) >= 6


def test_cancelled_requests_disturb_no_other(wide: Engine) -> None:
    expected = [wide.complete(prompt, sampling=SHORT).run() for prompt in PROMPTS]
    draws = random.Random(1)
    for _ in range(20):
        begun = start(wide, PROMPTS * 2)
        closed = draws.sample(range(len(begun)), 8)
        time.sleep(draws.uniform(0, 0.01))
        for i in closed:
            begun[i].close()
        kept = [i for i in range(len(begun)) if i not in closed]
        assert [begun[i].run() for i in kept] == [expected[i % len(PROMPTS)] for i in kept]


def test_what_is_dropped_ends_by_itself(load: Load) -> None:
    """A text nobody can read any more must not keep a sequence."""
    with load(**ENDLESS) as engine:
        begun = start(engine, PROMPTS * 3, WITHOUT_END)
        requests = [weakref.ref(completion._request) for completion in begun]
        made = [completion._request.tokens for completion in begun]
        del begun
        gc.collect()
        at_rest(engine)
        assert all(len(tokens) < WITHOUT_END.max_tokens for tokens in made)
        gc.collect()
        assert all(request() is None for request in requests)


def test_clients_take_turns(load: Load) -> None:
    """A thousand images of one caller must not come before one question of another."""
    with load() as engine:
        crowd = object()
        before: list[int] = []
        with at_once(engine):
            many = [
                engine.complete(f"abc {n}", sampling=Sampling(max_tokens=60), client=crowd).start()
                for n in range(200)
            ]
            asked = engine.complete("abc", sampling=SHORT, client=object()).start()
        # Counted where it ends: whoever waits for it may wake up later.
        asked._request.when_done(
            lambda: before.append(sum(completion._request.done for completion in many))
        )
        assert asked.run()
        assert before[0] < 60
        for completion in many:
            completion.close()


def test_closing_ends_all_that_is_under_way(load: Load) -> None:
    engine = load(**ENDLESS)
    begun = start(engine, PROMPTS * 4, WITHOUT_END)
    failures: list[type[Exception]] = []

    def read(completion: Completion) -> None:
        try:
            completion.run()
        except ClosedError as error:
            failures.append(type(error))

    threads = [threading.Thread(target=read, args=(completion,)) for completion in begun]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    engine.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures
    assert not any(
        thread.name == "astrollava-engine"
        for thread in threading.enumerate()
        if thread is engine._core.scheduler._thread and thread.is_alive()
    )
    with pytest.raises(ClosedError):
        engine.complete("abc")
    with pytest.raises(ClosedError):
        begun[0]._scheduler.submit(begun[0]._request)


@pytest.mark.slow
def test_sixteen_threads_for_a_minute_are_never_mixed_up(
    pair: Callable[..., tuple[object, object]], picture: Picture, question: Question
) -> None:
    """Each request carries a mark its answer must name: the score of its own picture and words."""
    with Engine(*pair(), threads=1, parallel=6) as engine:
        pictures = [picture(engine, seed) for seed in range(16)]
        words = [f"mark {i} {chr(97 + i)}" for i in range(16)]

        def ask(i: int) -> tuple[str, object, bytes]:
            image = engine.encode_image(pictures[i])
            prompt = question(engine, words[i])
            text = engine.complete(prompt, [image], sampling=SHORT).run()
            scores = engine.score(prompt, [image], ["ab", "ac", "bcd"])
            return text, scores, engine.logits(prompt, [image]).tobytes()

        expected = [ask(i) for i in range(16)]
        assert len({logits for _, _, logits in expected}) == 16
        wrong: list[int] = []
        rounds: list[int] = []
        end = time.monotonic() + 60

        def work(i: int) -> None:
            draws = random.Random(i)
            while time.monotonic() < end:
                mine = draws.randrange(16)
                if draws.random() < 0.2:
                    engine.complete(question(engine, "x"), [engine.encode_image(pictures[mine])])
                    stream = engine.complete(words[mine], sampling=Sampling(max_tokens=200))
                    next(stream)
                    continue
                if ask(mine) != expected[mine]:
                    wrong.append(mine)
                rounds.append(mine)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:  # the last requests begin just before the minute is over
            thread.join(max(end - time.monotonic(), 0) + 60)
            assert not thread.is_alive(), "deadlock"
        assert wrong == []
        assert set(rounds) == set(range(16))


def test_a_full_context_of_one_is_not_that_of_another(
    pair: Callable[..., tuple[object, object]],
) -> None:
    with Engine(*pair(context=256), threads=1, parallel=4) as engine:
        begun = start(engine, ["7" * 200, "7" * 10, "7" * 250, "7" * 30], Sampling(max_tokens=500))
        for completion in begun:
            completion.run()
            total = completion.prompt_tokens + completion.generated_tokens
            assert completion.finish_reason == "stop" or total == 257


def test_a_scripted_model_ends_each_text_at_its_own_time(
    pair: Callable[..., tuple[object, object]],
) -> None:
    """Sequences leave and join at any step."""
    said = [byte_token(b) for b in b"spiral "]
    with Engine(*pair(says=said, merges=1), threads=1, parallel=3) as engine:
        texts = [engine.complete("x", sampling=Sampling(max_tokens=n)).start() for n in range(1, 9)]
        assert [text.run() for text in texts] == ["spiral "[: min(n, 7)] for n in range(1, 9)]
        assert held(engine).tokens > 0


def test_what_ends_the_work_is_told_to_all(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that dies in silence leaves everybody waiting."""
    from astrollava.engine.scheduler import Scheduler

    with load(**ENDLESS) as engine:
        begun = start(engine, PROMPTS, WITHOUT_END)
        monkeypatch.setattr(Scheduler, "_admit", lambda self: 1 / 0)
        with pytest.raises(GenerationError, match="division by zero"):
            begun[-1].run()
        with pytest.raises(GenerationError, match="the engine failed"):
            engine.logits("abc")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_is_told_so(load: Load) -> None:
    """The thread that works is not forked along: the child would wait for ever."""
    with load() as engine:
        assert engine.complete("abc", sampling=SHORT).run()
        child = os.fork()
        if not child:
            try:
                engine.complete("abc", sampling=SHORT).run()
            except ClosedError as error:
                os._exit(7 if "forked" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
