"""A prompt must give one text, whatever was asked before, meanwhile, or by whom."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from astrollava.engine import Engine, Sampling
from astrollava.errors import ContextTooLong, InvalidRequest
from engine_state import ENDLESS, WITHOUT_END, at_rest, forget
from tiny_pair import SPECIAL, byte_token

Load = Callable[..., Engine]
Picture = Callable[..., np.ndarray]
Question = Callable[[Engine, str], str]

SHORT = Sampling(max_tokens=24)
LONG_TEXT = " ".join(f"word{i}" for i in range(40))


@pytest.fixture(scope="module")
def other(load: Load) -> Iterator[Engine]:
    """A second engine over the same files."""
    with load() as engine:
        yield engine


def saying(*tokens: int) -> dict[str, object]:
    return {"says": tokens, "merges": 1}


def spell(text: str) -> tuple[int, ...]:
    return tuple(byte_token(b) for b in text.encode())


# --- the same text from the same prompt ------------------------------------------------------


def test_a_conversation_says_what_each_of_its_prompts_says_alone(
    engine: Engine, other: Engine, picture: Picture
) -> None:
    image, alone = engine.encode_image(picture(engine)), other.encode_image(picture(other))
    prompt = "<|user|><__media__>What is this? " + LONG_TEXT + "<|assistant|>"
    reused = []
    for turn in range(4):
        completion = engine.complete(prompt, [image], sampling=SHORT)
        text = "".join(completion)
        assert text == "".join(forget(other).complete(prompt, [alone], sampling=SHORT)), turn
        reused.append(completion.reused_tokens)
        prompt += f"{text}</s><|user|>And number {turn}?<|assistant|>"
    # The image is in the cache from the second turn on; later turns reuse more.
    assert reused[0] == 0
    assert engine.image_tokens < reused[1] < reused[3]


def test_logits_are_bit_equal_whatever_was_in_the_cache(
    engine: Engine, other: Engine, picture: Picture
) -> None:
    image, alone = engine.encode_image(picture(engine)), other.encode_image(picture(other))
    words = LONG_TEXT.split()
    lengths = [1, 5, 12, 13, 30, 7, 40, 39, 20, 21]
    for n in lengths:
        prompt = "ab<__media__>" + " ".join(words[:n])
        expected = forget(other).score(prompt, [alone], ["x", "yz"])
        assert engine.score(prompt, [image], ["x", "yz"]) == expected, n
        # What a generation leaves behind must not be taken for a prompt evaluated in blocks.
        "".join(engine.complete(prompt, [image], sampling=Sampling(max_tokens=9)))


def test_images_larger_than_a_batch_are_evaluated(load: Load, picture: Picture) -> None:
    with load(side=168, patch=7, context=1024) as engine:
        assert engine.image_tokens == 576 > engine._core.scheduler.context.n_batch
        image = engine.encode_image(picture(engine))
        first = "".join(engine.complete("<__media__>ab", [image], sampling=SHORT))
        assert "".join(forget(engine).complete("<__media__>ab", [image], sampling=SHORT)) == first


def test_the_image_changes_the_text(engine: Engine, picture: Picture, question: Question) -> None:
    prompt = question(engine, "What is this?")
    texts = {
        "".join(engine.complete(prompt, [engine.encode_image(picture(engine, s))], sampling=SHORT))
        for s in range(3)
    }
    assert len(texts) == 3


def test_a_seed_repeats_a_text_and_another_does_not(engine: Engine) -> None:
    def draw(seed: int) -> str:
        sampling = Sampling(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
        return "".join(engine.complete("abc", sampling=sampling))[:40]

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(4)}) == 4


def test_a_repeat_penalty_breaks_a_repetition(engine: Engine) -> None:
    def tokens(penalty: float) -> list[int]:
        sampling = Sampling(max_tokens=60, repeat_penalty=penalty)
        completion = engine.complete("aaaa", sampling=sampling)
        list(completion)
        return completion._request.tokens

    assert len(set(tokens(5.0))) > len(set(tokens(1.0)))


# --- what comes out ----------------------------------------------------------------------------


def test_characters_come_out_whole(load: Load) -> None:
    with load(**saying(*spell("né☉🌍z"))) as engine:
        completion = engine.complete("a")
        assert list(completion) == ["n", "é", "☉", "🌍", "z"]
        assert completion.text == "né☉🌍z"
        assert (completion.finish_reason, completion.generated_tokens) == ("stop", 11)


def test_no_half_character_is_shown_when_the_tokens_run_out(load: Load) -> None:
    with load(**saying(*spell("n☉"))) as engine:
        completion = engine.complete("a", sampling=Sampling(max_tokens=3))
        assert "".join(completion) == "n"
        assert completion.finish_reason == "length"


def test_special_tokens_do_not_reach_the_text(load: Load) -> None:
    with load(**saying(*spell("ab"), SPECIAL.index("<pad>"), *spell("cd"))) as engine:
        completion = engine.complete("x")
        assert "".join(completion) == "abcd"
        assert completion.generated_tokens == 5


def test_a_stop_string_across_tokens_ends_the_text_before_it(load: Load) -> None:
    with load(**saying(*spell("abcdefg"))) as engine:
        completion = engine.complete("x", stop=["cdz", "def"])
        assert list(completion) == ["a", "b", "c"]
        assert (completion.text, completion.finish_reason) == ("abc", "stop")


def test_text_that_only_began_a_stop_string_is_not_lost(load: Load) -> None:
    with load(**saying(*spell("abc"))) as engine:
        assert "".join(engine.complete("x", stop=["bcd"])) == "abc"
        few = Sampling(max_tokens=2)
        assert "".join(engine.complete("x", stop=["bcd"], sampling=few)) == "ab"


@pytest.mark.parametrize("stop", ["text", [""], [1]])
def test_unusable_stop_strings_are_refused(engine: Engine, stop: object) -> None:
    with pytest.raises(InvalidRequest, match="stop="):
        engine.complete("a", stop=stop)  # type: ignore[arg-type]


# --- the context -------------------------------------------------------------------------------


def test_no_prompt_length_reaches_an_assert_of_llama_cpp(load: Load, picture: Picture) -> None:
    with load(n_ctx=100) as engine:
        image = engine.encode_image(picture(engine))
        for n in [*range(1, 120, 7), 81, 82, 83, 84, 300, 2000]:
            # One token for the beginning, 16 for the image, one a digit.
            tokens = 1 + 16 + n
            if tokens < 100:
                completion = engine.complete("<__media__>" + "7" * n, [image])
                assert completion.prompt_tokens == tokens
                list(completion)
                assert completion.finish_reason in ("context", "stop")
                assert tokens + completion.generated_tokens <= 101
            else:
                with pytest.raises(ContextTooLong, match="16 of them for images"):
                    engine.complete("<__media__>" + "7" * n, [image])


def test_a_larger_context_is_advised_only_where_the_model_knows_one(load: Load) -> None:
    """Beyond what a model was trained for, a larger context makes it babble."""
    for n_ctx, larger in ((None, False), (100, True), (256, False)):
        with load(context=256, n_ctx=n_ctx) as engine:
            for call in (
                lambda e=engine: e.complete("7" * 300),
                lambda e=engine: e.score("7", [], ["7" * 300]),
            ):
                with pytest.raises(ContextTooLong) as caught:
                    call()
                assert ("larger n_ctx" in caught.value.hint) is larger
                assert "256" in caught.value.hint
            with pytest.raises(ContextTooLong) as caught:
                engine.complete("7" * 300)
            assert "new conversation" in caught.value.hint


def test_a_closed_text_ends_and_gives_the_cache_back(load: Load) -> None:
    """A text nobody reads any more must not make another thread wait for it."""
    with load(**ENDLESS) as engine:
        completion = engine.complete("7" * 20, sampling=WITHOUT_END)
        said = next(completion)
        completion.close()
        completion.close()
        assert (completion.finish_reason, completion.text) == ("cancelled", said)
        assert list(completion) == []
        at_rest(engine)
        assert completion.generated_tokens < WITHOUT_END.max_tokens


def test_a_full_context_ends_the_text(load: Load) -> None:
    with load(context=256) as engine:
        completion = engine.complete("7" * 50, sampling=Sampling(max_tokens=1000))
        list(completion)
        # The last token needs no place: it is not evaluated.
        assert completion.finish_reason == "context"
        assert completion.prompt_tokens + completion.generated_tokens == 257


def test_an_empty_prompt_is_that_of_a_text_begun_by_the_model(engine: Engine) -> None:
    completion = engine.complete("", sampling=SHORT)
    assert completion.prompt_tokens == 1  # <s>
    assert "".join(completion)


def test_a_beginning_written_out_is_not_doubled(engine: Engine) -> None:
    assert engine.complete("<s>abc").prompt_tokens == engine.complete("abc").prompt_tokens


# --- others in between -------------------------------------------------------------------------


def test_streams_drawn_in_turn_say_what_they_say_alone(engine: Engine) -> None:
    prompts = ["abc", "abc def", LONG_TEXT]
    alone = ["".join(engine.complete(p, sampling=SHORT)) for p in prompts]
    streams = [engine.complete(p, sampling=SHORT) for p in prompts]
    for _ in zip_longest(*streams):
        pass
    assert [stream.text for stream in streams] == alone


def test_a_question_asked_while_streaming_does_not_block(engine: Engine) -> None:
    alone = "".join(engine.complete("abc", sampling=SHORT))
    stream = engine.complete("abc", sampling=SHORT)
    next(stream)
    assert engine.score("other", [], ["x"])
    assert "".join(engine.complete("another", sampling=SHORT))
    list(stream)
    assert stream.text == alone


def test_an_abandoned_stream_blocks_no_other_thread(engine: Engine) -> None:
    abandoned = engine.complete("abc", sampling=Sampling(max_tokens=400))
    next(abandoned)
    texts: list[str] = []
    thread = threading.Thread(
        target=lambda: texts.append("".join(engine.complete("de", sampling=SHORT)))
    )
    thread.start()
    thread.join(60)
    assert texts


def test_sixteen_threads_get_what_one_gets(
    engine: Engine, picture: Picture, question: Question
) -> None:
    def work(i: int) -> tuple[str, object]:
        image = engine.encode_image(picture(engine, i % 3))
        prompt = question(engine, f"What is {i % 5}?")
        sampling = Sampling(max_tokens=12, temperature=0.8 * (i % 2), seed=i)
        text = "".join(engine.complete(prompt, [image], sampling=sampling))
        return text, engine.score(prompt, [image], ["a", "bcd"])

    expected = [work(i) for i in range(16)]
    results: dict[int, object] = {}
    start = threading.Barrier(16)

    def run(i: int) -> None:
        start.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [results[i] for i in range(16)] == expected


# --- cancellation ------------------------------------------------------------------------------


def test_an_event_set_elsewhere_ends_a_text(load: Load) -> None:
    cancel = threading.Event()
    with load(**ENDLESS) as engine:
        completion = engine.complete("abc", sampling=WITHOUT_END, cancel=cancel)
        timer = threading.Timer(0.02, cancel.set)
        timer.start()
        list(completion)
        timer.join()
        assert completion.finish_reason == "cancelled"
        assert completion.generated_tokens < WITHOUT_END.max_tokens
        assert list(completion) == []


def test_an_event_set_before_costs_nothing(engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    completion = engine.complete("abc", cancel=cancel)
    assert list(completion) == []
    assert completion.finish_reason == "cancelled"


@pytest.mark.skipif(os.name != "posix", reason="needs signals sent to one's own process")
def test_ctrl_c_at_any_moment_leaves_the_engine_usable(
    engine: Engine, picture: Picture, question: Question
) -> None:
    rgb = picture(engine, 5)
    prompt = question(engine, LONG_TEXT)

    def work() -> tuple[str, object]:
        engine._images.memory.clear()
        image = engine.encode_image(rgb)
        text = "".join(engine.complete(prompt, [image], sampling=SHORT))
        return text, engine.score(prompt, [image], ["a", "bcd", "efghijk"])

    expected = work()
    started = time.perf_counter()
    assert work() == expected
    duration = time.perf_counter() - started
    delays = random.Random(0)
    interrupted = 0
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(30):
            timer = threading.Timer(
                delays.uniform(0, duration), os.kill, (os.getpid(), signal.SIGINT)
            )
            try:
                timer.start()
                while timer.is_alive():
                    work()
                time.sleep(1)
            except KeyboardInterrupt:
                interrupted += 1
            assert work() == expected
    finally:
        signal.signal(signal.SIGINT, handler)
    assert interrupted == 30


@pytest.mark.skipif(os.name != "posix", reason="needs signals sent to one's own process")
def test_ctrl_c_while_loading_is_neither_lost_nor_printed(
    pair: Callable[..., tuple[Path, Path]], capfd: pytest.CaptureFixture[str]
) -> None:
    files = pair()
    delays = random.Random(0)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(10):
            timer = threading.Timer(delays.uniform(0, 0.05), os.kill, (os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                timer.start()
                while timer.is_alive():
                    Engine(*files, threads=1).close()
                time.sleep(1)
        Engine(*files, threads=1).close()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="needs signals sent to one's own process")
def test_an_interrupted_stream_is_over_and_keeps_its_text(load: Load) -> None:
    with load(**ENDLESS) as engine:
        completion = engine.complete("abc", sampling=WITHOUT_END)

        def interrupt() -> None:
            while not completion._request.tokens:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            list(completion)
        thread.join()
        assert completion.finish_reason == "cancelled"
        assert list(completion) == []
