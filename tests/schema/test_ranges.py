"""Numbers between bounds: the grammar has all of them and no others."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from astrollava.errors import InvalidSchema
from astrollava.schema import compile_schema, grammar, validate
from astrollava.schema.nodes import Number
from astrollava.schema.ranges import number

_WHOLE = st.integers(-(10**15), 10**15)
_TERM = re.compile(r'"([^"]*)"|( +)|(\[[^]]*\]|\{[^}]*\}|.)')


def _expression(gbnf: str) -> re.Pattern[str]:
    """Numbers use of GBNF what regular expressions have, too."""
    parts = (re.escape(m[1]) if m[1] is not None else m[3] or "" for m in _TERM.finditer(gbnf))
    return re.compile("".join(parts))


@given(_WHOLE, _WHOLE, _WHOLE)
@example(-3, 120, 0)
@example(0, 0, 0)
@example(99, 1000, 100)
@example(-1000, -99, -100)
def test_an_integer_is_written_if_it_is_between_the_bounds(one: int, other: int, at: int) -> None:
    low, high = sorted((one, other))
    rules = _expression(
        number(Number(True, low=(Decimal(low), False), high=(Decimal(high), False)))
    )
    for value in {at, low, high, low - 1, high + 1, low + 1, high - 1, 10 * high, -low, at % 100}:
        assert bool(rules.fullmatch(str(value))) == (low <= value <= high)
    for wrong in ("-0", "00", "01", "", "-", f"{high}.0", f"0{abs(low)}"):
        assert not rules.fullmatch(wrong) or wrong == str(low)


def test_all_small_ranges_are_exact() -> None:
    for low in range(-23, 24):
        for high in range(low, 125, 7):
            rules = _expression(
                number(Number(True, low=(Decimal(low), False), high=(Decimal(high), False)))
            )
            found = [n for n in range(-30, 140) if rules.fullmatch(str(n))]
            assert found == list(range(low, high + 1))


@given(
    st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3), st.booleans(),
    st.booleans(), st.data(),
)  # fmt: skip
@example(Decimal("0"), Decimal("1"), True, True, None)
def test_a_number_is_written_if_it_is_between_the_bounds(
    one: Decimal, other: Decimal, no_low: bool, no_high: bool, data: st.DataObject | None
) -> None:
    low, high = sorted((one, other))
    if low == high:
        no_low = no_high = False
    rules = _expression(number(Number(low=(low, no_low), high=(high, no_high))))
    near = [low, high, Decimal(0), (low + high) / 2]
    if data is not None:
        near.append(data.draw(st.decimals(-1100, 1100, places=6)))
    tiny = Decimal("0.000001")
    for at in [value + step * tiny for value in near for step in (-1000, -1, 0, 1, 1000)]:
        inside = (low < at or (low == at and not no_low)) and (
            at < high or (at == high and not no_high)
        )
        text = f"{at:.6f}"
        if text.startswith("-") and not Decimal(text):
            continue
        assert bool(rules.fullmatch(text)) == inside, (text, low, high)
        short = text.rstrip("0").rstrip(".")
        assert bool(rules.fullmatch(short)) == inside, (short, low, high)
    for wrong in ("-0", "-0.0", ".5", "1.", "1e5", "01.5", "", "-"):
        assert not rules.fullmatch(wrong)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 0, "maximum": 1e-8},
        {"type": "number", "exclusiveMinimum": 0.1, "maximum": 0.30000000000000004},
        {"type": "number", "exclusiveMinimum": 1e15},
        {"type": "number", "exclusiveMinimum": 3e20},
        {"type": "number", "exclusiveMaximum": -1e-12},
        {"type": "number", "minimum": 5e-324, "maximum": 1},
        {"type": "integer", "minimum": 0.5, "maximum": 1.5},
        {"type": "integer", "exclusiveMinimum": 10**20},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    ],
    ids=repr,
)
def test_bounds_at_the_limits_of_doubles_hold(schema: dict[str, object]) -> None:
    """A number that differs from a bound in its text alone would be the bound once it is read."""
    rules = _expression(number(_node(schema)))
    found = 0
    random = [f"{sign}{m}{e}" for sign in ("", "-") for m in range(1, 10) for e in _ENDS]
    for text in [*random, "0", "0.1", "0.3", "0.300000000000001", "1"]:
        if rules.fullmatch(text):
            found += 1
            value = float(text) if schema["type"] == "number" else int(text)
            validate(value, schema)
    assert found


_ENDS = [
    "0" * zeros + tail
    for zeros in range(22)
    for tail in ("", "1", ".000001", "0.000001", "00000000000000", "000000.1")
] + [f".{'0' * zeros}{digit}" for zeros in range(15) for digit in (1, 5, 9)]


def _node(schema: dict[str, object]) -> Number:
    node = compile_schema(schema).root
    assert isinstance(node, Number)
    return node


def test_bounds_with_nothing_between_them_are_refused() -> None:
    for wrong in (
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "integer", "minimum": 1.2, "maximum": 1.8},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1e-40},
    ):
        with pytest.raises(InvalidSchema):
            grammar(wrong)
