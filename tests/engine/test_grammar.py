"""Texts under a grammar, from the real llama.cpp: all parse, and nothing ends the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrollava.engine import Sampling, runtime
from astrollava.engine._native import TextModel
from astrollava.engine.grammar import GrammarSampler
from astrollava.errors import GenerationError, InvalidGrammar, InvalidSchema
from astrollava.schema import compile_schema, grammar, validate
from random_schemas import schemas
from tiny_pair import SPECIAL, byte_token

#: Everything may come out, the improbable, too.
WILD = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}

Writer = Callable[..., str]


@pytest.fixture(scope="module")
def model(pair: Callable[..., Any]) -> TextModel:
    return TextModel(runtime.load(), pair()[0], n_gpu_layers=0)


@pytest.fixture(scope="module")
def write(model: TextModel) -> Writer:
    """Draw a text from random logits, as a model that knows nothing would."""

    def write(rules: str, seed: int = 0, most: int = 20_000, **sampling: Any) -> str:
        random = np.random.default_rng(seed)
        sampler = GrammarSampler(runtime.load(), model, rules, Sampling(seed=seed, **sampling))
        data = b""
        try:
            for _ in range(most):
                logits = 3 * random.standard_normal(model.n_vocab, dtype=np.float32)
                piece, ends = model.piece(sampler.choose(logits))
                if ends:
                    return data.decode("utf-8", "strict")
                data += piece
        finally:
            sampler.free()
        raise AssertionError(f"the text has no end: {data[:200]!r}")

    return write


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=schemas(), seed=st.integers(0, 2**31), greedy=st.booleans())
def test_every_text_under_a_schema_parses_and_satisfies_it(
    write: Writer, schema: dict[str, Any], seed: int, greedy: bool
) -> None:
    """One that does not would be a wrong object in somebody's catalogue."""
    text = write(grammar(schema), seed, **({} if greedy else WILD))
    value = json.loads(text)
    validate(value, schema)
    jsonschema.Draft202012Validator(schema).validate(value)


def test_a_string_is_never_half_a_character(write: Writer) -> None:
    """llama.cpp takes overlong UTF-8 for characters; Python writes three for each."""
    rules = grammar({"type": "string", "minLength": 40, "maxLength": 40})
    for seed in range(60):
        text = json.loads(write(rules, seed, **WILD))
        assert len(text) == 40
        assert "\ufffd" not in text


def test_special_tokens_are_no_words(model: TextModel, write: Writer) -> None:
    """The grammar reads a token's name, the text does not have it: "<s>" would be missing."""
    rules = grammar({"enum": ["<s>", "</s>", "<pad>", "<|user|>"]})
    seen = {json.loads(write(rules, seed, **WILD)) for seed in range(60)}
    assert seen == {"<s>", "</s>", "<pad>", "<|user|>"}


def test_the_most_probable_allowed_token_is_taken(model: TextModel) -> None:
    """The best of some tokens looked at first must be the best of all."""
    sampler = GrammarSampler(runtime.load(), model, 'root ::= [xyz] "!"', Sampling())
    logits = np.arange(model.n_vocab, dtype=np.float32)
    low = {byte_token(ord("x")): -5.0, byte_token(ord("y")): -2.0, byte_token(ord("z")): -2.0}
    for token, value in low.items():
        logits[token] = value
    # Of equals the first.
    assert sampler.choose(logits) == byte_token(ord("y"))
    assert sampler.choose(logits) == byte_token(ord("!"))
    assert sampler.choose(logits) == SPECIAL.index("</s>")
    sampler.free()
    sampler.free()


def test_the_text_may_end_only_where_the_grammar_does(model: TextModel) -> None:
    sampler = GrammarSampler(runtime.load(), model, 'root ::= "a" "b"?', Sampling())
    logits = np.zeros(model.n_vocab, np.float32)
    end = SPECIAL.index("</s>")
    logits[end] = 100.0
    assert sampler.choose(logits) == byte_token(ord("a"))
    assert sampler.choose(logits) == end
    sampler.free()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_where_nothing_can_follow_the_process_lives(model: TextModel, value: float) -> None:
    """llama.cpp takes any token then, and ends the process because the grammar forbids it."""
    sampler = GrammarSampler(runtime.load(), model, 'root ::= "a"', Sampling())
    logits = np.zeros(model.n_vocab, np.float32)
    logits[byte_token(ord("a"))] = value
    with pytest.raises(GenerationError, match="no token"):
        sampler.choose(logits)
    sampler.free()


def test_a_character_that_no_token_spells_is_told(model: TextModel) -> None:
    rules = "root ::= [\\U00110000-\\U00110001]"
    sampler = GrammarSampler(runtime.load(), model, rules, Sampling())
    logits = np.zeros(model.n_vocab, np.float32)
    # The first of its bytes begins other characters, too.
    sampler.choose(logits)
    with pytest.raises(GenerationError, match="Its vocabulary lacks a character"):
        sampler.choose(logits)
    sampler.free()


@pytest.mark.parametrize(
    "wrong",
    ["", "  \n", 'root ::= "a', "root ::= x", "a ::= [a]", "root ::= root [a]", 'root ::= "a"\0'],
)
def test_a_grammar_that_is_refused_is_an_error(model: TextModel, wrong: str) -> None:
    with pytest.raises(InvalidGrammar, match=r"grammar"):
        GrammarSampler(runtime.load(), model, wrong, Sampling())


def test_the_same_seed_writes_the_same_text(write: Writer) -> None:
    rules = grammar({"type": "array", "items": {"type": "number"}, "minItems": 5})
    sampling = {"temperature": 1.5, "top_k": 20, "repeat_penalty": 1.3}
    assert write(rules, 7, **sampling) == write(rules, 7, **sampling)
    assert write(rules, 7, **sampling) != write(rules, 8, **sampling)


@pytest.mark.parametrize(
    "schema",
    [
        # As many choices within choices as there may be; llama.cpp walks through all of them.
        {
            "$ref": "#/$defs/x0",
            "$defs": {
                f"x{i}": {"anyOf": [{"$ref": f"#/$defs/x{i + 1}"}, {"$ref": f"#/$defs/x{i + 1}"}]}
                for i in range(18)
            }
            | {"x18": {"type": "boolean"}},
        },
        {"type": "string", "pattern": f"^{'(a?b?)?' * 30}$"},
        {"type": "string", "pattern": "^((a{0,3}){0,3}b?){0,5}$"},
        {"type": "string", "pattern": f"^{'(' * 15}a?{')?' * 15}$"},
        {
            "type": "object",
            "properties": {f"p{i}": {"type": ["integer", "null"]} for i in range(300)},
        },
        {"enum": [f"value {i}" for i in range(1000)]},
        {"type": "string", "minLength": 1000, "maxLength": 100_000},
        {"type": "array", "items": {"type": "integer"}, "minItems": 256, "maxItems": 10**9},
    ],
    ids=["choices", "pattern", "repeats", "brackets", "properties", "values", "string", "items"],
)
@pytest.mark.timeout(20)
def test_a_schema_made_to_be_slow_is_not(write: Writer, schema: dict[str, Any]) -> None:
    value = json.loads(write(grammar(schema), **WILD))
    validate(value, compile_schema(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": f"^{'(a?b?)?' * 100}$"},
        {"type": "string", "pattern": "^((a?){0,31}){0,31}$"},
        {"type": "string", "pattern": "^((){1000}){1000}$"},
        # Each level doubles what may have been meant until the text is at its end.
        {
            "$ref": "#/$defs/x0",
            "$defs": {
                f"x{i}": {
                    "anyOf": [
                        {
                            "type": "object",
                            "properties": {"a": {"$ref": f"#/$defs/x{i + 1}"}, name: {"const": 1}},
                            "required": ["a", name],
                        }
                        for name in ("b", "c")
                    ]
                }
                for i in range(11)
            }
            | {"x11": {"type": "boolean"}},
        },
    ],
    ids=["options", "repeats", "nothing", "doubling"],
)
@pytest.mark.timeout(20)
def test_a_schema_that_would_be_slow_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema, match=r"too (much|many|long)"):
        grammar(schema)
