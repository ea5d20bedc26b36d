"""Whether a value is what a schema says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from astrollava.errors import InvalidRequest
from astrollava.schema import regular
from astrollava.schema.nodes import (
    Array,
    Choice,
    Compiled,
    Literals,
    Node,
    Number,
    Object,
    Text,
    compile_schema,
    same,
)
from astrollava.schema.refusals import short

__all__ = ["Checker", "validate"]

#: What is wrong, and what would be right.
Complaint: TypeAlias = tuple[str, str]

_DEEPEST = 200


def validate(value: Any, schema: Mapping[str, Any] | Compiled) -> None:
    """Check parsed JSON against a schema.

    Parameters
    ----------
    value : object
        Of dictionaries, lists, strings, numbers, booleans and None.
    schema : mapping or Compiled
        As for `compile_schema`.

    Raises
    ------
    InvalidRequest
        The value is not what the schema says: where, and what it says.
    InvalidSchema
        As for `compile_schema`.
    """
    compiled = schema if isinstance(schema, Compiled) else compile_schema(schema)
    found = Checker(compiled).complaint(compiled.root, value)
    if found is not None:
        raise InvalidRequest(found[0], expected=found[1])


class Checker:
    """Compares values with the nodes of one schema."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        # Values within values are otherwise looked at once for each way there.
        self._known: dict[tuple[int, int], Complaint | None] = {}

    def complaint(self, node: Node, value: Any, at: str = "$", depth: int = 0) -> Complaint | None:
        """Return what is wrong with a value and what would be right; None where all is."""
        node = self._compiled.follow(node)
        if not isinstance(value, Mapping | list | tuple):
            return self._complaint(node, value, at, depth)
        key = id(node), id(value)
        if key not in self._known:
            self._known[key] = self._complaint(node, value, at, depth)
        return self._known[key]

    def _complaint(self, node: Node, value: Any, at: str, depth: int) -> Complaint | None:
        wrong = f"{at} is {short(value)}"
        if depth > _DEEPEST:
            return wrong, f"at most {_DEEPEST} values within each other"
        if isinstance(node, Choice):
            # The alternatives of a oneOf have nothing in common, or it would have been refused.
            each = [self.complaint(n, value, at, depth) for n in self._compiled.flat(node)]
            found = [one for one in each if one is not None]
            right = " or ".join(dict.fromkeys(expected for _, expected in found))
            return (wrong, right) if len(found) == len(each) else None
        if isinstance(node, Literals):
            known = any(same(value, each) for each in node.values)
            return None if known else (wrong, f"one of {', '.join(node.texts[:20])}")
        if isinstance(node, Text):
            return _text(node, value, wrong)
        if isinstance(node, Number):
            return _number(node, value, wrong)
        if isinstance(node, Array):
            return self._array(node, value, at, depth)
        assert isinstance(node, Object)
        return self._object(node, value, at, depth)

    def _array(self, node: Array, value: Any, at: str, depth: int) -> Complaint | None:
        if not isinstance(value, list | tuple):
            return f"{at} is {short(value)}", "a list"
        if not node.least <= len(value) <= (len(value) if node.most is None else node.most):
            return f"{at} has {len(value)} items", _counted(node.least, node.most)
        for index, item in enumerate(value):
            here = node.first[index] if index < len(node.first) else node.others
            if here is None:
                return f"{at} has {len(value)} items", f"{len(node.first)}"
            found = self.complaint(here, item, f"{at}[{index}]", depth + 1)
            if found is not None:
                return found
        return None

    def _object(self, node: Object, value: Any, at: str, depth: int) -> Complaint | None:
        if not isinstance(value, Mapping):
            return f"{at} is {short(value)}", "an object"
        names = {each.name for each in node.properties}
        for name in value:
            if node.closed and name not in names:
                return f"{at} has {short(name)}", f"only {', '.join(sorted(names))}"
        for each in node.properties:
            if each.name in value:
                here = f"{at}.{each.name}"
                found = self.complaint(each.node, value[each.name], here, depth + 1)
                if found is not None:
                    return found
            elif each.required:
                return f"{at} has no {short(each.name)}", "all that is required"
        return None


def _text(node: Text, value: Any, wrong: str) -> Complaint | None:
    if not isinstance(value, str):
        return wrong, "a string"
    if not node.least <= len(value) <= (len(value) if node.most is None else node.most):
        return wrong, f"{_counted(node.least, node.most)} characters"
    if node.pattern is not None and not regular.matches(node.pattern, value):
        return wrong, "a string that the pattern describes"
    return None


def _number(node: Number, value: Any, wrong: str) -> Complaint | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return wrong, "a number"
    if node.integer and value != int(value):
        return wrong, "an integer"
    exact = Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))
    if node.low is not None and (exact < node.low[0] or (node.low[1] and exact == node.low[0])):
        return wrong, f"{'more than' if node.low[1] else 'at least'} {node.low[0]}"
    if node.high is not None and (exact > node.high[0] or (node.high[1] and exact == node.high[0])):
        return wrong, f"{'less than' if node.high[1] else 'at most'} {node.high[0]}"
    return None


def _counted(least: int, most: int | None) -> str:
    return f"at least {least}" if most is None else f"{least} to {most}"
