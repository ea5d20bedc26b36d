"""Schemas read: what cannot be held to is refused by name and place, and nothing gets out."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrollava.errors import InvalidRequest, InvalidSchema
from astrollava.schema import compile_schema, grammar, schema_of, validate
from random_schemas import NAMES, schemas

_OBJECT = {"type": "object", "properties": {"a": {"type": "boolean"}}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "format": "date"}, "'format' at the root"),
        ({"type": "number", "multipleOf": 0.1}, "'multipleOf'"),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True}, "'uniqueItems'"),
        ({"type": "array", "items": {"type": "null"}, "contains": {}}, "'contains'"),
        ({**_OBJECT, "patternProperties": {}}, "'patternProperties'"),
        ({**_OBJECT, "minProperties": 1}, "'minProperties'"),
        ({**_OBJECT, "if": {}}, "'if'"),
        ({"allOf": [_OBJECT, _OBJECT]}, "'allOf'"),
        ({"not": {"type": "null"}}, "'not'"),
        ({"anyOf": [{"type": "null"}], "minimum": 1}, "'minimum'.*anyOf"),
        ({"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": {"type": "null"}}}, "'minimum'"),
        ({"type": "string", "minLength": 1, "pattern": "^a$"}, "'minLength'.*pattern"),
        ({"enum": ["a"], "minLength": 1}, "'minLength'"),
        ({"type": "string", "minimum": 1}, "'minimum'"),
        ({"properties": {"x": {"type": "array", "items": {"type": "date"}}}}, "#/properties/x/it"),
        ({"properties": {"a/b": {"type": 1}}}, "#/properties/a~1b/type"),
        ({"type": "object"}, "#/properties"),
        ({"type": "object", "additionalProperties": {"type": "null"}}, "#/properties"),
        ({**_OBJECT, "required": ["b"]}, "#/required"),
        ({"type": "array"}, "#/items"),
        ({"type": "array", "items": True}, "#/items"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}, "minItems"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 10**9}, "minItems"),
        ({"type": "string", "maxLength": -1}, "maxLength"),
        ({"type": "string", "maxLength": True}, "maxLength"),
        ({"type": "number", "minimum": "1"}, "#/minimum"),
        ({"type": "number", "minimum": True}, "#/minimum"),
        ({"type": "number", "minimum": 1e300}, "#/minimum"),
        ({"enum": []}, "#/enum"),
        ({"enum": "abc"}, "#/enum"),
        ({"enum": ["a"], "type": "integer"}, "#/enum"),
        ({"enum": ["x" * 5000]}, "#/enum"),
        ({"enum": ["a", "b"], "x-answers": ["A."]}, "x-answers"),
        ({"type": "boolean", "x-answers": ["Yes", ""]}, "x-answers"),
        ({}, "allows anything"),
        ({"properties": {"a": True}}, "#/properties/a"),
        ({"properties": {"a": 3}}, "#/properties/a"),
        ({"$ref": "https://example.org/schema.json"}, "#/\\$ref"),
        ({"$ref": "#/$defs/none"}, "#/\\$ref"),
        ({"$ref": "#"}, "itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
         "itself"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no text"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"oneOf": [_OBJECT, {**_OBJECT, "additionalProperties": False}]}, "oneOf"),
        ({"type": "string", "pattern": "a"}, "pattern 'a'|pattern a"),
        ({"type": "string", "pattern": "^\\u0000$"}, "cannot be held to"),
        ({"type": "string", "pattern": "^[\x00-\x08]$"}, "no text"),
        ({"type": "string", "pattern": "^(.{30}){300}$"}, "too long"),
        ({1: 2}, "keywords"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_to_is_named_with_its_place(schema: Any, words: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        grammar(schema)
    assert re.search(words, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("depth", [41, 5000])
def test_a_deep_schema_is_refused(depth: int) -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidSchema, match=r"too large|no JSON"):
        compile_schema(schema_of(schema))


def test_a_huge_schema_is_refused() -> None:
    many = {f"p{i}": {"type": "boolean"} for i in range(5000)}
    with pytest.raises(InvalidSchema, match="too large"):
        compile_schema({"properties": many})
    values = [f"v{i}" for i in range(5000)]
    with pytest.raises(InvalidSchema, match="1000 values"):
        compile_schema({"enum": values})


def test_a_deep_value_in_an_enum_is_refused() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]
    with pytest.raises(InvalidSchema):
        compile_schema({"const": value})


@given(NAMES, NAMES)
def test_nothing_of_a_schema_stands_in_a_grammar_unescaped(name: str, value: str) -> None:
    """A name that closes its own quotes could add rules of its own."""
    schema = {"properties": {name: {"enum": [value, 1]}}, "required": [name]}
    for line in grammar(schema).splitlines():
        quoted = re.sub(r'"(?:[A-Za-z0-9]|\\x[0-9A-F]{2}|\\U[0-9A-F]{8})*"', "", line)
        assert re.fullmatch(r"(root|r\d+) ::= [r0-9| ]*", quoted), line


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=schemas(), value=st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | NAMES | st.floats(-5, 5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
))  # fmt: skip
def test_a_value_is_judged_as_jsonschema_judges_it(schema: dict[str, Any], value: Any) -> None:
    try:
        validate(value, schema)
        ours = True
    except InvalidSchema:
        raise
    except InvalidRequest:
        ours = False
    assert ours == jsonschema.Draft202012Validator(schema).is_valid(value)


def test_words_of_a_schema_forbid_nothing() -> None:
    compile_schema(
        {
            "$schema": "x", "$id": "y", "title": "t", "description": "d", "examples": [1],
            "default": 1, "x-own": {"any": "thing"}, "type": "integer", "deprecated": True,
        }
    )  # fmt: skip


def test_a_union_that_a_constant_tells_apart_is_one_of() -> None:
    kinds = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "size": {"type": "integer"}},
            "required": ["kind"],
        }
        for kind in ("spiral", "elliptical")
    ]
    schema = {"oneOf": kinds, "discriminator": {"propertyName": "kind"}}
    validate({"kind": "spiral", "size": 1}, schema)
    with pytest.raises(InvalidRequest):
        validate({"kind": "irregular"}, schema)


def test_what_contains_itself_is_met_four_times() -> None:
    rules = grammar(
        {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
        }
    )
    assert rules.count("next") == 5


def test_an_array_and_a_string_have_an_end() -> None:
    rules = grammar({"type": "array", "items": {"type": "string"}})
    assert "{0,15}" in rules
    assert "{0,200}" in rules
    assert "*" not in rules
    assert "+" not in rules
