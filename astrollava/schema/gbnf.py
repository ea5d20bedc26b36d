"""A schema as a grammar for llama.cpp, in which every text has an end.

The language of the grammars, GBNF, has its limits in llama.cpp: a repetition of more than 2000 is
taken for one without end, a rule that starts with itself is refused, and the search for such rules
takes a time that doubles with every choice within a choice. So choices are flattened, every rule
but those starts with a character, and names of rules are never taken from a schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astrollava.errors import InvalidSchema
from astrollava.schema import regular
from astrollava.schema.characters import ANY, quoted, written
from astrollava.schema.nodes import (
    Array,
    Choice,
    Compiled,
    Literals,
    Node,
    Number,
    Object,
    Ref,
    Text,
    compile_schema,
    literal,
)
from astrollava.schema.ranges import number
from astrollava.schema.reading import LONGEST_TEXT, MOST_ITEMS

__all__ = ["grammar"]

#: Where a schema sets no bound: characters of a string, items of an array (beyond those it wants),
#: repetitions in a pattern, and how often a definition may be met within itself.
_CHARACTERS = 200
_ITEMS = 16
_REPETITIONS = 32
_RECURSION = 4
#: Rules, and rules that llama.cpp makes of repetitions: a bound for its memory and its time.
_MOST_RULES = 100_000
#: Ways to go on at once that llama.cpp has to follow, in a pattern and in all: a step takes a time
#: that grows with the cube of them, or with the square where they differ soon.
_WIDEST_PATTERN = 100
_WIDEST = 1500

_NOTHING = '""'


def grammar(schema: Mapping[str, Any] | Compiled) -> str:
    """Return the GBNF of the compact JSON texts that a schema allows.

    Names come in the order of the schema, without spaces between anything. Where the schema sets no
    bound, a string has at most 200 characters and an array 16 items; a definition is met within
    itself at most four times. So every text has an end.

    Parameters
    ----------
    schema : mapping or Compiled
        As for `compile_schema`.

    Returns
    -------
    str
        A grammar whose first rule is ``root``.

    Raises
    ------
    InvalidSchema
        As for `compile_schema`; also if no text ends, or the grammar would be too large.

    Examples
    --------
    >>> print(grammar({"type": "integer", "minimum": 1, "maximum": 12}))
    root ::= r1
    r1 ::= [1-9] | "1" ([0-2])
    """
    compiled = schema if isinstance(schema, Compiled) else compile_schema(schema)
    return _Writer(compiled).write()


class _Writer:
    """Writes rules; a node that no text can satisfy has none."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._rules: list[str] = []
        self._names: dict[str, str] = {}
        self._known: dict[tuple[int, int], str | None] = {}
        self._widths: dict[str, int] = {}
        self._size = 0

    def write(self) -> str:
        """Write them all."""
        root = self._node(self._compiled.root, _RECURSION)
        if root is None:
            raise InvalidSchema(
                "no text can satisfy the schema",
                expected="definitions that can end, and bounds with a number between them",
            )
        return "\n".join([f"root ::= {root}", *self._rules])

    def _rule(self, body: str, made: int = 1, width: int = 1) -> str:
        """Add a rule, or find the one that is the same.

        `made` are the rules llama.cpp makes of it, `width` the ways to go on at once within it.
        """
        if width > _WIDEST:
            raise InvalidSchema(
                "the schema has too many alternatives that start alike",
                hint="Use fewer alternatives within alternatives, or tell them apart by an enum",
            )
        if body not in self._names:
            self._size += made
            if self._size > _MOST_RULES:
                raise InvalidSchema(
                    "the grammar of the schema is too large",
                    hint="Set smaller bounds, or use fewer definitions that contain each other",
                )
            self._names[body] = f"r{len(self._rules) + 1}"
            self._rules.append(f"{self._names[body]} ::= {body}")
            self._widths[self._names[body]] = width
        return self._names[body]

    def _node(self, node: Node, left: int) -> str | None:
        """Return the name of a node's rule; `left` are the recursions it may still contain."""
        key = id(node), left
        if key not in self._known:
            self._known[key] = self._made(node, left)
        return self._known[key]

    def _made(self, node: Node, left: int) -> str | None:
        if isinstance(node, Ref | Choice):
            return self._choice(node, left)
        if isinstance(node, Object):
            return self._object(node, left)
        if isinstance(node, Array):
            return self._array(node, left)
        if isinstance(node, Literals):
            # They differ soon.
            width = 1 + len(node.texts) // 4
            return self._rule(" | ".join(map(quoted, node.texts)), len(node.texts), width)
        if isinstance(node, Number):
            body = number(node)
            return self._rule(body, body.count("{")) if body else None
        return self._text(node)

    def _choice(self, node: Node, left: int) -> str | None:
        found: dict[str, None] = {}
        seen: set[tuple[int, int]] = set()
        todo = [(node, left)]
        while todo:
            here, here_left = todo.pop()
            if (id(here), here_left) in seen:
                continue
            seen.add((id(here), here_left))
            if isinstance(here, Ref):
                here_left -= here.pointer in self._compiled.recursive
                if here_left >= 0:
                    todo.append((self._compiled.table[here.pointer], here_left))
            elif isinstance(here, Choice):
                todo += [(each, here_left) for each in reversed(here.nodes)]
            elif (name := self._node(here, here_left)) is not None:
                found[name] = None
        if len(found) < 2:
            return next(iter(found), None)
        width = sum(self._widths[name] for name in found)
        return self._rule(" | ".join(found), len(found), width)

    def _object(self, node: Object, left: int) -> str | None:
        # From the last property to the first: what may follow where something was written, and
        # where nothing was.
        more = fresh = _NOTHING
        width = 1 + sum(not each.required for each in node.properties)
        for each in reversed(node.properties):
            value = self._node(each.node, left)
            if value is None:
                if each.required:
                    return None
                continue
            width = max(width, self._widths[value])
            name = quoted(f"{literal(each.name)}:")
            comma = quoted(",")
            after, before = self._rule(more), self._rule(fresh)
            more, fresh = f"{comma} {name} {value} {after}", f"{name} {value} {after}"
            if not each.required:
                more, fresh = f"{more} | {after}", f"{fresh} | {before}"
        return self._rule(f"{quoted('{')} {self._rule(fresh)} {quoted('}')}", width=width)

    def _array(self, node: Array, left: int) -> str | None:
        first = [self._node(each, left) for each in node.first]
        other = None if node.others is None else self._node(node.others, left)
        least = max(node.least - len(first), 0)
        most = least + _ITEMS if node.most is None else node.most - len(first)
        most = min(most, MOST_ITEMS)
        if other is None:
            if None in first or least:
                return None
            most = 0
        terms = [name for name in first if name is not None]
        if len(terms) < len(first):
            return None
        comma = f" {quoted(',')} "
        if terms:
            body = comma.join(terms)
            body += f" ({comma}{other}){{{least},{most}}}" if most else ""
        elif most:
            body = f"{other} ({comma}{other}){{{max(least - 1, 0)},{most - 1}}}"
            body = body if least else f"({body})?"
        else:
            body = ""
        width = 1 + max((self._widths[name] for name in (*terms, other) if name), default=0)
        return self._rule(f"{quoted('[')} {body} {quoted(']')}", 2 * most + 1, width)

    def _text(self, node: Text) -> str | None:
        quote = quoted('"')
        if node.pattern is not None:
            if regular.longest(node.pattern, _REPETITIONS) > LONGEST_TEXT:
                raise InvalidSchema(
                    "a pattern allows texts that are too long",
                    expected=f"at most {LONGEST_TEXT} characters, * and + counted as"
                    f" {_REPETITIONS} of them",
                )
            width = 1 + regular.spread(node.pattern, _REPETITIONS)[2]
            if width > _WIDEST_PATTERN:
                raise InvalidSchema(
                    "a pattern leaves too much open at once",
                    expected="fewer parts, one after the other, that may each be left out",
                )
            inner = self._pattern(node.pattern)
            return None if inner is None else self._rule(f"{quote} {inner} {quote}", width=width)
        most = max(_CHARACTERS, node.least) if node.most is None else node.most
        most = min(most, LONGEST_TEXT)
        character = self._rule(written(ANY))
        inner = f"{character}{{{node.least},{most}}}" if most else ""
        return self._rule(f"{quote} {inner} {quote}", most + 1)

    def _pattern(self, pattern: regular.Pattern) -> str | None:
        """Return a term for a pattern, or None where none of its texts may be written."""
        if isinstance(pattern, regular.Characters):
            return written(pattern.ranges) or None
        if isinstance(pattern, regular.Sequence):
            parts = [self._pattern(part) for part in pattern.parts]
            terms = [part for part in parts if part is not None]
            return f"({' '.join(terms) or _NOTHING})" if len(terms) == len(parts) else None
        if isinstance(pattern, regular.Alternatives):
            found = dict.fromkeys(map(self._pattern, pattern.parts))
            found.pop(None, None)
            return self._rule(" | ".join(str(term) for term in found)) if found else None
        most = pattern.least + _REPETITIONS if pattern.most is None else pattern.most
        part = self._pattern(pattern.part)
        if part is None or most == 0:
            return None if pattern.least else _NOTHING
        # A rule of its own counts as one thing to repeat.
        return f"{self._rule(part)}{{{pattern.least},{most}}}"
