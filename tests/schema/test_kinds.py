"""Types as schemas, and their values made of JSON."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import jsonschema
import pytest

from astrollava.errors import InvalidRequest, InvalidSchema
from astrollava.schema import build, compile_schema, grammar, schema_of


class Shape(enum.Enum):
    ROUND = "round"
    LONG = "long"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Bar:
    strength: Annotated[float, "How strong is the bar?", {"minimum": 0, "maximum": 1}]
    seen: bool = True


class Counts(TypedDict):
    arms: int
    rings: NotRequired[int]


Name = NewType("Name", str)


@dataclass
class Galaxy:
    shape: Shape
    level: Level
    bar: Bar | None
    arms: Literal["one", 2, True]
    counts: Counts
    bars: list[Bar]
    position: tuple[float, float]
    marks: tuple[int, ...]
    name: Name
    notes: Annotated[str | None, {"maxLength": 5}] = None
    size: float | None = field(default=None, metadata={"minimum": 0, "owner": "somebody"})
    next: Galaxy | None = None
    derived: int = field(default=3, init=False)


VALUE = {
    "shape": "long", "level": 2, "bar": {"strength": 1}, "arms": 2, "counts": {"arms": 3},
    "bars": [{"strength": 0.5, "seen": False}], "position": [1, 2.5], "marks": [1, 2, 3],
    "name": "M 51", "size": 3,
}  # fmt: skip
MADE: dict[str, Any] = {
    "shape": Shape.LONG, "level": Level.HIGH, "bar": Bar(1.0), "arms": 2, "counts": {"arms": 3},
    "bars": [Bar(0.5, seen=False)], "position": (1.0, 2.5), "marks": (1, 2, 3),
    "name": Name("M 51"), "size": 3.0,
}  # fmt: skip


def test_a_dataclass_comes_back_whole() -> None:
    schema = schema_of(Galaxy)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(VALUE)
    made = build(Galaxy, VALUE)
    assert made == Galaxy(**MADE)
    assert isinstance(made.level, Level)
    assert isinstance(made.size, float)
    inner = build(Galaxy, VALUE | {"next": VALUE, "bar": None})
    assert inner.next == Galaxy(**MADE)
    assert inner.bar is None
    grammar(schema)


def test_what_a_field_says_is_in_the_schema() -> None:
    schema = schema_of(Galaxy)
    galaxy = schema["$defs"]["Galaxy"]
    assert galaxy["required"] == [
        "shape", "level", "bar", "arms", "counts", "bars", "position", "marks", "name",
    ]  # fmt: skip
    assert "derived" not in galaxy["properties"]
    assert galaxy["properties"]["size"]["anyOf"][0] == {"type": "number", "minimum": 0}
    assert galaxy["properties"]["notes"]["anyOf"][0] == {"type": "string", "maxLength": 5}
    assert schema["$defs"]["Bar"]["properties"]["strength"] == {
        "type": "number", "description": "How strong is the bar?", "minimum": 0, "maximum": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        (bool, True, True),
        (float, 3, 3.0),
        (None, None, None),
        (Literal["a", "b"], "b", "b"),
        (Shape, "round", Shape.ROUND),
        (Literal[Shape.LONG], "long", Shape.LONG),
        (list[Shape], ["round"], [Shape.ROUND]),
        (int | str, "x", "x"),
        (Bar | Counts, {"arms": 1}, {"arms": 1}),
        (list[tuple[int, Shape]], [[1, "long"]], [(1, Shape.LONG)]),
        ({"type": "array", "items": {"type": "integer"}}, [1], [1]),
    ],
    ids=repr,
)
def test_any_type_a_field_may_have_stands_alone(kind: Any, value: Any, made: Any) -> None:
    jsonschema.Draft202012Validator(schema_of(kind)).validate(value)
    assert build(kind, value) == made


@dataclass
class Strange:
    when: complex


@dataclass
class Lost:
    other: "NoSuchClass"  # type: ignore[name-defined]  # noqa: F821, UP037


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Strange, r"Strange\.when.*complex"),
        (Lost, "NoSuchClass"),
        (dict[str, int], "dict"),
        (Any, "Any"),
        (set[int], "set"),
        (list, "Any"),
        (Annotated[int | None, {"maxLength": 3}], "maxLength"),
        (object(), "type"),
        (3, "type"),
    ],
    ids=repr,
)
def test_a_type_without_a_schema_is_refused(kind: Any, words: str) -> None:
    with pytest.raises(InvalidSchema, match=words):
        compile_schema(schema_of(kind))


@pytest.mark.parametrize("wrong", [{"const": float("nan")}, {"a": object()}, {"enum": [b"x"]}])
def test_a_schema_that_is_no_json_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema, match="no JSON"):
        schema_of(wrong)


@dataclass
class Checked:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_classes_made_in_a_function_are_found() -> None:
    """In a notebook's function they are, and their annotations are strings."""

    @dataclass
    class Inner:
        size: int

    @dataclass
    class Outer:
        parts: list[Inner]

    assert build(Outer, {"parts": [{"size": 3}]}) == Outer([Inner(3)])
    assert schema_of(Outer)["$defs"]["Inner"]["required"] == ["size"]


def test_what_a_type_refuses_is_told_with_its_reason() -> None:
    with pytest.raises(InvalidRequest, match=r"Checked refuses .*low is above high"):
        build(Checked, {"low": 2, "high": 1})


def test_a_pydantic_model_comes_back_whole() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is no dependency")

    class Part(pydantic.BaseModel):
        kind: Literal["arm", "ring"]
        shape: Shape = Shape.ROUND

    class Whole(pydantic.BaseModel):
        bar: bool = pydantic.Field(description="Is there a bar?")
        size: float = pydantic.Field(ge=0, lt=10)
        parts: list[Part] = pydantic.Field(max_length=3)
        note: str | None = pydantic.Field(None, max_length=8, pattern="^[a-z]*$")
        pair: tuple[int, str]

        @pydantic.field_validator("size")
        @classmethod
        def _not_one(cls, size: float) -> float:
            if size == 1:
                raise ValueError("one is none")
            return size

    schema = schema_of(Whole)
    with pytest.raises(InvalidSchema, match=r"maxLength.*pattern"):
        compile_schema(schema)
    del schema["properties"]["note"]
    grammar(schema)
    value = {"bar": True, "size": 2, "parts": [{"kind": "arm", "shape": "long"}], "pair": [1, "a"]}
    made = build(Whole, value)
    assert made == Whole(**value)
    assert made.parts[0].shape is Shape.LONG
    assert json.loads(made.model_dump_json())["pair"] == [1, "a"]
    with pytest.raises(InvalidRequest, match=r"Whole refuses .*validation error"):
        build(Whole, value | {"size": 1})


def test_a_pydantic_dataclass_keeps_its_bounds() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is no dependency")
    dataclasses = pytest.importorskip("pydantic.dataclasses")

    bounded = {"__annotations__": {"value": Annotated[int, pydantic.Field(ge=3)]}}
    Size = dataclasses.dataclass(type("Size", (), bounded))
    assert schema_of(Size)["properties"]["value"]["minimum"] == 3
    assert build(Size, {"value": 4}) == Size(value=4)
