"""Questions in a schema, values fixed in it, and the places of values in a text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from astrollava.schema import (
    ahead,
    compile_schema,
    fixed,
    grammar,
    only,
    outline,
    places,
    questions,
    validate,
)
from random_schemas import schemas

GALAXY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "bar": {"type": "boolean", "description": "Is there a bar?"},
        "ring": {"type": ["boolean", "null"], "description": "Is there a ring?"},
        "dust": {"type": "boolean", "description": "whether there is dust"},
        "arms": {"enum": [1, 2, "many"], "description": "How many arms?"},
        "disk": {
            "type": "object",
            "properties": {"tilt": {"enum": ["face-on", "edge-on"], "description": "How tilted?"}},
            "required": ["tilt"],
        },
        "twin": {
            "type": "object",
            "properties": {"near": {"type": "boolean", "description": "Is it near?"}},
        },
        "size": {"type": "number", "description": "How large?"},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}], "description": "What next?"},
    },
    "required": ["bar", "disk", "size"],
}


def test_questions_are_those_on_what_is_always_there() -> None:
    found = {each.path: each for each in questions(compile_schema(GALAXY))}
    assert list(found) == ["bar", "ring", "arms", "disk.tilt"]
    assert found["bar"].choices.words == ("Yes", "No")
    assert found["ring"].choices.values == (True, False)
    assert found["arms"].choices.words == ("1", "2", "many")


def test_an_answer_is_required_where_it_was_optional() -> None:
    flat = {name: part for name, part in GALAXY["properties"].items() if name != "next"}
    compiled = compile_schema(GALAXY | {"properties": flat})
    by_path = {each.path: only(each.choices, 1) for each in questions(compiled)}
    rules = grammar(fixed(compiled, by_path))
    assert "\\x22disk\\x22\\x3A" in rules
    assert "face\\x2Don" not in rules
    assert ahead(fixed(compiled, by_path)).text == '{"bar":false,"ring":false'
    assert ahead(fixed(compiled, by_path)).path == "dust"


def test_what_is_known_of_a_text_goes_to_the_first_choice() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"const": 1},
            "b": {"type": "array", "prefixItems": [{"const": "x"}, {"enum": [1, 2]}],
                  "items": False, "minItems": 2},
            "c": {"type": "null"},
        },
        "required": ["a", "b", "c"],
    }  # fmt: skip
    compiled = compile_schema(schema)
    known = ahead(compiled)
    assert (known.text, known.path) == ('{"a":1,"b":["x",', "b[1]")
    assert known.choices is not None
    done = ahead(fixed(compiled, {"b[1]": only(known.choices, 1)}))
    assert (done.text, done.path) == ('{"a":1,"b":["x",2],"c":null}', "")
    assert ahead(compile_schema({"enum": ["a", "b"]})).path == "$"
    one = fixed(compile_schema({"enum": ["a", "b"]}), {"$": only(known.choices, 0)})
    assert ahead(one).text == "1"


def test_places_are_found_wherever_values_stand() -> None:
    schema = {
        "type": "object",
        "properties": {
            'a "b"': {"type": "boolean"},
            "list": {"type": "array", "items": {"anyOf": [
                {"type": "object", "properties": {"k": {"enum": ["x", "y"]}}, "required": ["k"]},
                {"type": "string"},
            ]}},
            "open": {"anyOf": [{"enum": ["x"]}, {"type": "integer"}]},
            "maybe": {"anyOf": [{"enum": ["x", "y"]}, {"type": "null"}]},
        },
    }  # fmt: skip
    value = {'a "b"': True, "list": ["}", {"k": "y"}], "open": "x", "maybe": None}
    text = json.dumps(value, separators=(",", ":"))
    found = places(text, compile_schema(schema))
    assert [(each.path, text[each.start : each.end]) for each in found] == [
        ('["a \\"b\\""]', "true"),
        ("list[1].k", '"y"'),
        ("maybe", "null"),
    ]
    assert found[2].choices.texts == ('"x"', '"y"', "null")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=schemas())
def test_whatever_is_fixed_still_satisfies_the_schema(schema: dict[str, Any]) -> None:
    """Fixing one choice after the other must end, with a text the schema allows."""
    compiled = left = compile_schema(schema)
    for _ in range(50):
        known = ahead(left)
        if known.choices is None:
            break
        left = fixed(left, {known.path: only(known.choices, len(known.choices.texts) - 1)})
    assert known.choices is None
    grammar(left)
    if not known.path:
        validate(json.loads(known.text), compiled)


def test_the_outline_tells_what_may_be() -> None:
    lines = outline(compile_schema(GALAXY)).splitlines()
    assert lines[:4] == [
        "- bar: true or false. Is there a bar?",
        "- ring (may be left out): true or false or null. Is there a ring?",
        "- dust (may be left out): true or false. whether there is dust",
        '- arms (may be left out): one of 1, 2, "many". How many arms?',
    ]
    assert '  - tilt: "face-on" or "edge-on". How tilted?' in lines
    assert outline(compile_schema({"type": "integer", "minimum": 1})) == "- an integer from 1"


@pytest.mark.parametrize("depth", [3, 30])
def test_the_outline_of_what_contains_itself_ends(depth: int) -> None:
    properties = {f"p{i}": {"anyOf": [{"$ref": "#"}, {"type": "null"}]} for i in range(depth)}
    assert len(outline(compile_schema({"properties": properties}))) < 20_000
