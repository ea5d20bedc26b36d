"""Schemas of every kind that can be held to, small enough that their texts end soon."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["NAMES", "schemas"]

#: Names and values that mean something in JSON, in GBNF, or to a tokenizer.
_TRICKY = (
    "a", "bar", "n m", "", '"', "\\", "\n", "\t", "\x00", "é", "漢字", "🌀", "\ud800", "]", "}",
    'x" | "y', "root ::=", "<s>", "</s>", "<|user|>", "\\x41", "[a-z]", "/", "~", "%", "#",
)  # fmt: skip
NAMES = st.sampled_from(_TRICKY) | st.text(st.characters(), max_size=6)

_VALUES = (
    NAMES
    | st.booleans()
    | st.none()
    | st.integers(-(10**6), 10**6)
    | st.floats(-1e6, 1e6, allow_nan=False)
    | st.lists(st.integers(0, 9), max_size=2)
)


@st.composite
def _enums(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 4)) == 0:
        return {"const": draw(_VALUES)}
    return {"enum": draw(st.lists(_VALUES, min_size=1, max_size=4))}


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"type": "string", "pattern": draw(st.sampled_from(_PATTERNS))}
    least = draw(st.integers(0, 4))
    return {"type": "string", "minLength": least, "maxLength": least + draw(st.integers(0, 8))}


_PATTERNS = (
    "^$",
    "^NGC [1-9][0-9]{0,3}$",
    '^("|\\\\|é|[^a-z]){1,4}$',
    "^(Sa|S(b|c)*|E[0-7]?)$",
    "^.{2,5}$",
    "^\\w+-\\d+$",
)


@st.composite
def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    whole = draw(st.booleans())
    values = (
        st.integers(-(10**9), 10**9)
        if whole
        else st.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False)
        | st.integers(-1000, 1000)
        | st.sampled_from([0.1, -0.25, 1e-7, 3.14159265, 1e14, -1e15])
    )
    low, high = sorted((draw(values), draw(values)))
    made: dict[str, Any] = {"type": "integer" if whole else "number"}
    if draw(st.booleans()):
        made[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    # Room for a number between them.
    if draw(st.booleans()) and high - low > 2 + abs(high) / 1000:
        made[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    return made


def _lists(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def make(draw: st.DrawFn) -> dict[str, Any]:
        least = draw(st.integers(0, 2))
        made: dict[str, Any] = {"type": "array", "minItems": least}
        if draw(st.booleans()):
            first = draw(st.lists(inner, min_size=1, max_size=2))
            last = draw(st.just(False) | inner)
            made = {"type": "array", "prefixItems": first, "items": last}
            return made | ({} if last is False else {"maxItems": len(first) + 2})
        return made | {"items": draw(inner), "maxItems": least + draw(st.integers(0, 2))}

    return make()


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def make(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(NAMES, inner, min_size=1, max_size=4))
        made: dict[str, Any] = {"type": "object", "properties": properties}
        made["required"] = [name for name in properties if draw(st.booleans())]
        if draw(st.booleans()):
            made["additionalProperties"] = False
        return made

    return make()


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A schema, perhaps one that contains itself."""
    leaves = (
        _enums()
        | _strings()
        | _numbers()
        | st.just({"type": "boolean"})
        | st.just({"type": "null"})
        | st.just({"type": ["string", "null"], "maxLength": 3})
        | st.just({"$ref": "#/$defs/tree"})
    )
    made = draw(
        st.recursive(
            leaves,
            lambda inner: (
                _objects(inner)
                | _lists(inner)
                | st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some})
            ),
            max_leaves=6,
        )
    )
    tree = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["leaf", "branch"]},
            "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }
    return {**made, "$defs": {"tree": tree}}
