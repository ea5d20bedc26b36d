"""A schema in words, for a model to read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from astrollava.schema.nodes import (
    Array,
    Compiled,
    Literals,
    Node,
    Number,
    Object,
    Text,
)

__all__ = ["outline"]

#: Levels, lines and values that are told; the grammar knows the rest.
_DEEPEST = 4
_MOST_LINES = 200
_MOST_VALUES = 40


def outline(compiled: Compiled) -> str:
    """Return a line for each property: its name, what it may be, and its description.

    Examples
    --------
    >>> from astrollava.schema.nodes import compile_schema
    >>> schema = {"type": "object", "required": ["arms"], "properties": {
    ...     "arms": {"type": "integer", "minimum": 0, "description": "How many arms?"}}}
    >>> print(outline(compile_schema(schema)))
    - arms: an integer from 0. How many arms?
    """
    lines = list(islice(_lines(compiled, compiled.root, 0), _MOST_LINES))
    return "\n".join(lines) or f"- {_kind(compiled, compiled.root)}"


def _lines(compiled: Compiled, node: Node, level: int) -> Iterator[str]:
    if level >= _DEEPEST:
        return
    for each in compiled.flat(node):
        if isinstance(each, Array):
            for inner in (*each.first, *([] if each.others is None else [each.others])):
                yield from _lines(compiled, inner, level)
        elif isinstance(each, Object):
            for found in each.properties:
                optional = "" if found.required else " (may be left out)"
                words = f". {found.description}" if found.description else ""
                kind = _kind(compiled, found.node)
                yield f"{'  ' * level}- {found.name}{optional}: {kind}{words}"
                yield from _lines(compiled, found.node, level + 1)


def _kind(compiled: Compiled, node: Node) -> str:
    return " or ".join(dict.fromkeys(_one(compiled, each) for each in compiled.flat(node)))


def _one(compiled: Compiled, node: Node) -> str:
    if isinstance(node, Literals):
        some = node.texts[:_MOST_VALUES]
        return " or ".join(some) if len(some) < 3 else f"one of {', '.join(some)}"
    if isinstance(node, Text):
        return "text" if node.most is None else f"text of at most {node.most} characters"
    if isinstance(node, Number):
        low = "" if node.low is None else f" {'above' if node.low[1] else 'from'} {node.low[0]}"
        high = "" if node.high is None else f" {'below' if node.high[1] else 'to'} {node.high[0]}"
        return f"{'an integer' if node.integer else 'a number'}{low}{high}"
    if isinstance(node, Array):
        inner = [*node.first, *([] if node.others is None else [node.others])]
        flat = [each for part in inner for each in compiled.flat(part)]
        held = " or ".join(dict.fromkeys(_name(compiled, each) for each in flat))
        return f"a list of {held}" if held else "an empty list"
    return "an object"


def _name(compiled: Compiled, node: Node) -> str:
    return "lists" if isinstance(node, Array) else _one(compiled, node)
