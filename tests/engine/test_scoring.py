"""Scores must be log-probabilities of the model, and not depend on what else is scored."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from astrollava.engine import Engine
from astrollava.errors import ContextTooLong, InvalidRequest
from engine_state import forget
from tiny_pair import byte_token

Load = Callable[..., Engine]


def reference(engine: Engine, prompt: str, continuation: str) -> float:
    """The sum over tokens, each from a prompt of its own that ends right before it."""
    total = 0.0
    for i, character in enumerate(continuation):
        logits = forget(engine).logits(prompt + continuation[:i]).astype(float)
        logits -= logits.max()
        total += logits[byte_token(ord(character))] - math.log(np.exp(logits).sum())
    return total


def test_scores_agree_with_token_by_token_prompts(load: Load) -> None:
    with load(merges=1) as engine:
        for continuation in ("x", "spiral", "a long continuation of more tokens than 32 at once"):
            (got,) = engine.score("galaxy", [], [continuation])
            assert got.tokens == len(continuation)
            # Kernels differ in the last bits with the number of tokens they are given.
            assert got.logprob == pytest.approx(reference(engine, "galaxy", continuation), abs=0.1)


def test_probabilities_of_all_next_bytes_do_not_exceed_one(engine: Engine) -> None:
    scores = engine.score("galaxy", [], [chr(c) for c in range(32, 127)])
    total = sum(math.exp(s.logprob) for s in scores)
    assert 0 < total <= 1


def test_a_certain_answer_has_probability_one_and_others_none(load: Load) -> None:
    tokens = [byte_token(b) for b in b"bar"]
    with load(says=tokens, merges=1) as engine:
        sure, unsure, wrong = engine.score("a ", [], ["bar", "bax", "xbar"])
    assert sure.logprob > -0.01
    assert unsure.logprob < -5
    assert wrong.logprob < -5


def test_a_score_does_not_depend_on_its_neighbours(
    engine: Engine, picture: Callable[..., np.ndarray]
) -> None:
    image = engine.encode_image(picture(engine))
    labels = ["round", "edge-on", "a", "edge-on with a bulge", "spiral"]
    together = engine.score("what is <__media__> this? ", [image], labels)
    alone = [engine.score("what is <__media__> this? ", [image], [x])[0] for x in labels]
    backwards = engine.score("what is <__media__> this? ", [image], labels[::-1])[::-1]
    assert together == alone == backwards


def test_scoring_leaves_the_prompt_in_the_cache(engine: Engine) -> None:
    prompt = "word " * 40
    engine.score(prompt, [], ["some", "labels"])
    completion = engine.complete(prompt)
    next(completion)
    assert completion.reused_tokens > completion.prompt_tokens // 2


def test_a_continuation_that_merges_with_the_prompt_is_scored(engine: Engine) -> None:
    # "a" and "b" are one token in this vocabulary, so the prompt's last token is not kept.
    assert engine.score("a", [], ["b"])[0].tokens == 1


def test_continuations_that_do_not_fit_are_refused(load: Load) -> None:
    with load(context=256) as engine:
        (fits,) = engine.score("7" * 200, [], ["8" * 56])
        assert fits.tokens == 56
        with pytest.raises(ContextTooLong, match="continuation"):
            engine.score("7" * 200, [], ["8" * 57])


def test_an_empty_continuation_has_no_probability(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="no tokens"):
        engine.score("a", [], ["b", ""])
    with pytest.raises(InvalidRequest, match="one text"):
        engine.score("a", [], "text")
    assert engine.score("a", [], []) == []


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["Q8_0", "F16"])
def test_scores_at_once_are_those_one_by_one_to_the_bit(
    pair: Callable[..., tuple[object, object]], kind: str, threads: int
) -> None:
    """Labels that begin alike are cut elsewhere together than alone; kernels differ with it."""
    import gguf

    files = pair(dtype=gguf.GGMLQuantizationType[kind], width=256, heads=4, context=1024)
    labels = ["a barred spiral", "a barred ring", "a round one", "an edge-on disk", "a barred"]
    with Engine(*files, threads=threads) as engine:
        for prompt in ("What? ", "word " * 40, "galaxy " * 70):
            together = engine.score(prompt, [], labels)
            assert together == [engine.score(prompt, [], [label])[0] for label in labels]
            assert together == engine.score(prompt, [], labels[::-1])[::-1]
