"""Whether two schemas have no value in common, as ``oneOf`` needs."""

from __future__ import annotations

from astrollava.schema.nodes import Array, Compiled, Literals, Node, Number, Object, Text, same

__all__ = ["apart"]

_DEEPEST = 8


def apart(compiled: Compiled, one: Node, other: Node, depth: int = 0) -> bool:
    """Whether it is certain that no value satisfies both; False where it is hard to tell."""
    if depth > _DEEPEST:
        return False
    return all(
        _apart(compiled, a, b, depth) for a in compiled.flat(one) for b in compiled.flat(other)
    )


def _apart(compiled: Compiled, one: Node, other: Node, depth: int) -> bool:
    if isinstance(one, Literals) and isinstance(other, Literals):
        return not any(same(a, b) for a in one.values for b in other.values)
    if isinstance(one, Object) and isinstance(other, Object):
        theirs = {each.name: each for each in other.properties if each.required}
        return any(
            mine.required
            and mine.name in theirs
            and apart(compiled, mine.node, theirs[mine.name].node, depth + 1)
            for mine in one.properties
        )
    mine, theirs_ = _types(one), _types(other)
    return bool(mine and theirs_) and not mine & theirs_


def _types(node: Node) -> set[str]:
    """Return the types of JSON that a value may have; none where that is not known."""
    if isinstance(node, Text):
        return {"string"}
    if isinstance(node, Number):
        return {"number"}
    if isinstance(node, Array):
        return {"array"}
    if isinstance(node, Object):
        return {"object"}
    if isinstance(node, Literals):
        return {_type(value) for value in node.values}
    return set()


def _type(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "string")
