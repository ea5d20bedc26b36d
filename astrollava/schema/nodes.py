"""A JSON schema, read once: what it allows, without its many ways to say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from astrollava.schema.regular import Pattern

__all__ = [
    "Array",
    "Choice",
    "Compiled",
    "Literals",
    "Node",
    "Number",
    "Object",
    "Property",
    "Ref",
    "Text",
    "compile_schema",
    "joined",
    "literal",
    "literals",
    "same",
]


@dataclass(frozen=True)
class Literals:
    """One of some values.

    `texts` are their compact JSON, and `words` what a model would say for them, in the same order;
    an empty word where that is not known.
    """

    values: tuple[Any, ...] = field(compare=False)
    texts: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A string of so many code points, or one that a pattern describes whole."""

    least: int = 0
    most: int | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True)
class Number:
    """A number; a bound is a value and whether it is itself left out."""

    integer: bool = False
    low: tuple[Decimal, bool] | None = None
    high: tuple[Decimal, bool] | None = None


@dataclass(frozen=True)
class Array:
    """A list: the nodes of the first items, that of all others, and how many there may be."""

    first: tuple[Node, ...]
    others: Node | None
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Property:
    """A property of an object; `description` is what the schema says about it."""

    name: str
    node: Node
    required: bool
    description: str = ""


@dataclass(frozen=True)
class Object:
    """An object with these properties; `closed` if the schema forbids others."""

    properties: tuple[Property, ...]
    closed: bool = False


@dataclass(frozen=True)
class Choice:
    """One of several; `only_one` if the schema says that no value may be two of them."""

    nodes: tuple[Node, ...]
    only_one: bool = False


@dataclass(frozen=True)
class Ref:
    """What stands elsewhere in the schema, under this JSON pointer."""

    pointer: str


Node: TypeAlias = Literals | Text | Number | Array | Object | Choice | Ref


@dataclass(frozen=True)
class Compiled:
    """A schema that was read.

    Attributes
    ----------
    root : Node
        What a whole value is.
    table : mapping of str to Node
        What each `Ref` points to.
    recursive : frozenset of str
        Pointers that lead back to themselves.
    """

    root: Node
    table: Mapping[str, Node]
    recursive: frozenset[str]

    def follow(self, node: Node) -> Node:
        """Return the node itself, or what it points to."""
        while isinstance(node, Ref):
            node = self.table[node.pointer]
        return node

    def flat(self, node: Node) -> list[Node]:
        """Return the alternatives of a node, those of nested choices among them, none twice."""
        found: dict[int, Node] = {}
        seen: set[int] = set()
        todo = [node]
        while todo:
            here = self.follow(todo.pop())
            if id(here) in seen:
                continue
            seen.add(id(here))
            if isinstance(here, Choice):
                todo += reversed(here.nodes)
            else:
                found[id(here)] = here
        return list(found.values())


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, and True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def literal(value: Any) -> str:
    """Write a value as compact JSON; halves of surrogate pairs as escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text


def literals(values: Sequence[Any], words: Sequence[str] = ()) -> Literals:
    """Make a node of values; without `words`, booleans are yes and no, and strings themselves."""
    spoken = tuple(words) or tuple(map(_spoken, values))
    return Literals(tuple(values), tuple(map(literal, values)), spoken)


def _spoken(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value) if isinstance(value, str | int | float) else ""


def joined(nodes: Sequence[Literals]) -> Literals:
    """Return one node of all the values, none twice."""
    known: dict[str, tuple[Any, str]] = {}
    for node in nodes:
        for text, value, word in zip(node.texts, node.values, node.words, strict=True):
            known.setdefault(text, (value, word))
    return Literals(
        tuple(value for value, _ in known.values()),
        tuple(known),
        tuple(word for _, word in known.values()),
    )


def compile_schema(schema: Mapping[str, Any]) -> Compiled:
    """Read a JSON schema.

    Parameters
    ----------
    schema : mapping
        Of the keywords listed in docs/extract.md.

    Returns
    -------
    Compiled

    Raises
    ------
    InvalidSchema
        It is no JSON schema, it is too large or nested too deep, no value can satisfy it, or it has
        a keyword that cannot be held to: which, and where.
    """
    from astrollava.schema.reading import Reader

    return Reader(schema).read()
