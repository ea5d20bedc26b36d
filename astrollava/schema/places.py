"""Where in a text the values stand that a schema lets be one of a few."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from astrollava.schema.checks import Checker
from astrollava.schema.nodes import Array, Compiled, Literals, Node, Object, joined

__all__ = ["Place", "places", "step"]

_DECODE = json.JSONDecoder().raw_decode
_PLAIN = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Place:
    """A value with alternatives.

    Attributes
    ----------
    path : str
        Such as ``bars[0].kind``; ``$`` for the whole value.
    start, end : int
        The value is ``text[start:end]``.
    choices : Literals
        What it might have been.
    """

    path: str
    start: int
    end: int
    choices: Literals


def step(path: str, name: str) -> str:
    """Return the path of a property."""
    if not _PLAIN.fullmatch(name):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def places(text: str, compiled: Compiled) -> list[Place]:
    """Return the places of all values that are one of two or more, in the order of the text.

    Parameters
    ----------
    text : str
        Compact JSON that the schema allows.
    compiled : Compiled
        The schema.
    """
    return list(_Finder(text, compiled).find(compiled.root, _DECODE(text)[0], 0, ""))


class _Finder:
    def __init__(self, text: str, compiled: Compiled) -> None:
        self._text = text
        self._compiled = compiled
        self._checker = Checker(compiled)

    def find(self, node: Node, value: Any, at: int, path: str) -> Iterator[Place]:
        """Yield the places within a value that starts at `at`."""
        meant = self._meant(node, value)
        if isinstance(meant, Literals):
            if len(meant.values) > 1:
                yield Place(path or "$", at, self._end(at), meant)
        elif isinstance(meant, Object):
            nodes = {each.name: each.node for each in meant.properties}
            at += 1
            for name, item in value.items():
                at = self._end(at) + 1
                if name in nodes:
                    yield from self.find(nodes[name], item, at, step(path, name))
                at = self._end(at) + 1
        elif isinstance(meant, Array):
            at += 1
            for index, item in enumerate(value):
                inside = meant.first[index] if index < len(meant.first) else meant.others
                if inside is not None:
                    yield from self.find(inside, item, at, f"{path}[{index}]")
                at = self._end(at) + 1

    def _end(self, at: int) -> int:
        return int(_DECODE(self._text, at)[1])

    def _meant(self, node: Node, value: Any) -> Node | None:
        """Return the alternative that a value satisfies; all of a few values count as one."""
        nodes = self._compiled.flat(node)
        if all(isinstance(each, Literals) for each in nodes):
            return joined([each for each in nodes if isinstance(each, Literals)])
        for each in nodes:
            if self._checker.complaint(each, value) is None:
                # One of several kinds: whether it is this kind has no probability here.
                return None if isinstance(each, Literals) and len(nodes) > 1 else each
        return None
