"""From a JSON schema to nodes, keyword by keyword, with a bound on everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astrollava.errors import InvalidSchema
from astrollava.schema import regular
from astrollava.schema.bounds import counts, high, low
from astrollava.schema.nodes import (
    Array,
    Choice,
    Compiled,
    Literals,
    Node,
    Number,
    Object,
    Property,
    Ref,
    Text,
    literal,
    literals,
    same,
)
from astrollava.schema.overlap import apart
from astrollava.schema.refusals import short, shown, unsupported, wrong

__all__ = ["KEYWORDS", "LONGEST_TEXT", "MOST_ITEMS", "Reader"]

#: Bounds of what is read: subschemas, their nesting, values listed, characters of one word.
_MOST_NODES = 2000
_DEEPEST = 40
_MOST_VALUES = 1000
_LONGEST_WORD = 2000
#: Characters of a string and items of an array that can be asked for at least.
LONGEST_TEXT = 1000
MOST_ITEMS = 256

#: What says something to readers and forbids nothing.
_WORDS = frozenset({
    "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description",
    "discriminator", "example", "examples", "readOnly", "title", "writeOnly",
})  # fmt: skip
#: What may be said of a value of each type, besides words about it.
KEYWORDS: dict[str, set[str]] = {
    "string": {"minLength", "maxLength", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
    "object": {"properties", "required", "additionalProperties"},
    "boolean": set(),
    "null": set(),
}
#: What a model would say for each value of an enum, in the same order, or for true and false.
_ANSWERS = "x-answers"
_FEW: dict[str, tuple[Any, ...]] = {"boolean": (True, False), "null": (None,)}
_PYTHON: dict[str, Any] = {
    "string": str, "number": (int, float), "array": list, "object": dict, "boolean": bool,
    "null": type(None),
}  # fmt: skip


class Reader:
    """Reads one schema; see `compile_schema`."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._table: dict[str, Node] = {}
        self._reading: set[str] = set()
        self._count = 0

    def read(self) -> Compiled:
        """Read all of it."""
        root = self._node(self._schema, "#", 0)
        table = {"#": root} | self._table
        self._refuse_circles(root, table)
        compiled = Compiled(root, table, frozenset(_recursive(table)))
        for node in list(table.values()):
            _refuse_overlaps(compiled, node)
        return compiled

    def _node(self, schema: Any, at: str, depth: int) -> Node:
        self._count += 1
        if self._count > _MOST_NODES or depth > _DEEPEST:
            raise InvalidSchema(
                f"the schema is too large at {shown(at)}",
                expected=f"at most {_MOST_NODES} subschemas, at most {_DEEPEST} within each other",
            )
        if schema is False or not isinstance(schema, Mapping):
            raise wrong(at, schema, "a schema: an object with a type, an enum or a $ref")
        said = {key: value for key, value in schema.items() if not self._is_words(key, at)}
        if "allOf" in said:
            said = self._single(said, at)
        if "$ref" in said:
            return self._ref(said, at, depth)
        for key in ("anyOf", "oneOf"):
            if key in said:
                return self._choice(said, key, at, depth)
        if "const" in said or "enum" in said:
            return self._literals(said, at, schema.get(_ANSWERS))
        kinds = said.pop("type", None)
        if kinds is None:
            kinds = _implied(said, at)
        if kinds == "boolean" and not said:
            return literals((True, False), _words(schema.get(_ANSWERS), 2, at))
        many = isinstance(kinds, list)
        names = kinds if isinstance(kinds, list) else [kinds]
        if not names or not all(isinstance(name, str) and name in KEYWORDS for name in names):
            raise wrong(f"{at}/type", kinds, f"one or more of {', '.join(KEYWORDS)}")
        unknown = said.keys() - set().union(*(KEYWORDS[name] for name in names))
        if unknown:
            raise unsupported(sorted(unknown)[0], at, " or ".join(names))
        nodes = tuple(
            self._typed(name, {k: v for k, v in said.items() if k in KEYWORDS[name]}, at, depth)
            for name in dict.fromkeys(names)
        )
        return Choice(nodes) if many and len(nodes) > 1 else nodes[0]

    def _is_words(self, key: Any, at: str) -> bool:
        if not isinstance(key, str):
            raise wrong(at, key, "keywords that are strings")
        return key in _WORDS or key.startswith("x-")

    def _single(self, said: dict[str, Any], at: str) -> dict[str, Any]:
        """Undo the ``allOf`` of one that writers of schemas put around a reference."""
        parts = said["allOf"]
        alone = isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping)
        if not alone or len(said) > 1:
            raise unsupported("allOf", at, "something beside it")
        return {key: value for key, value in parts[0].items() if not self._is_words(key, at)}

    def _ref(self, said: Mapping[str, Any], at: str, depth: int) -> Node:
        pointer = said["$ref"]
        if len(said) > 1:
            raise unsupported(sorted(said.keys() - {"$ref"})[0], at, "$ref")
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise wrong(f"{at}/$ref", pointer, "a reference into this schema, such as #/$defs/x")
        if pointer not in self._table and pointer != "#" and pointer not in self._reading:
            self._reading.add(pointer)
            self._table[pointer] = self._node(self._found(pointer, at), pointer, depth + 1)
            self._reading.discard(pointer)
        return Ref(pointer)

    def _found(self, pointer: str, at: str) -> Any:
        here: Any = self._schema
        for step in pointer.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(here, Mapping) and key in here:
                here = here[key]
            elif isinstance(here, list) and key.isdecimal() and int(key[:6]) < len(here):
                here = here[int(key[:6])]
            else:
                raise wrong(f"{at}/$ref", pointer, "a reference to a place that there is")
        return here

    def _choice(self, said: Mapping[str, Any], key: str, at: str, depth: int) -> Node:
        if len(said) > 1:
            raise unsupported(sorted(said.keys() - {key})[0], at, key)
        if not isinstance(said[key], list) or not said[key]:
            raise wrong(f"{at}/{key}", said[key], "a list of schemas")
        nodes = [self._node(s, f"{at}/{key}/{i}", depth + 1) for i, s in enumerate(said[key])]
        return nodes[0] if len(nodes) == 1 else Choice(tuple(nodes), only_one=key == "oneOf")

    def _literals(self, said: dict[str, Any], at: str, answers: Any) -> Literals:
        given = said.pop("enum", [said.get("const")])
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST_VALUES:
            raise wrong(f"{at}/enum", given, f"a list of 1 to {_MOST_VALUES} values")
        words = _words(answers, len(given), at) or [""] * len(given)
        constant = said.pop("const", given)
        kinds = said.pop("type", list(_PYTHON))
        if said:
            raise unsupported(sorted(said)[0], at, "enum or const")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        # Written first: what is too deep for that is too deep to compare.
        texts = [self._literal(value, at) for value in given]
        only = None if constant is given else self._literal(constant, at)
        kept: dict[str, tuple[Any, str]] = {}
        for value, text, word in zip(given, texts, words, strict=True):
            meant = _is_a(value, kinds) and (only is None or same(value, constant))
            if meant and not any(same(value, other) for other, _ in kept.values()):
                kept[text] = value, word
        if not kept:
            raise wrong(f"{at}/enum", given, "a value of the type the schema names")
        values, said_words = zip(*kept.values(), strict=True)
        return literals(values, said_words if answers else ())

    def _literal(self, value: Any, at: str) -> str:
        try:
            text = literal(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise wrong(f"{at}/enum", value, "values that JSON can write") from error
        if len(text) > _LONGEST_WORD:
            raise wrong(f"{at}/enum", value, f"values of at most {_LONGEST_WORD} characters")
        return text

    def _typed(self, name: str, said: Mapping[str, Any], at: str, depth: int) -> Node:
        if name in _FEW:
            return literals(_FEW[name])
        if name == "string":
            return self._text(said, at)
        if name == "array":
            return self._array(said, at, depth)
        if name == "object":
            return self._object(said, at, depth)
        bounds = Number(name == "integer", low(said, at), high(said, at))
        if (
            bounds.low
            and bounds.high
            and (
                bounds.low[0] > bounds.high[0]
                or (bounds.low[0] == bounds.high[0] and (bounds.low[1] or bounds.high[1]))
            )
        ):
            raise wrong(at, dict(said), "bounds that leave a number between them")
        return bounds

    def _text(self, said: Mapping[str, Any], at: str) -> Text:
        least, most = counts(said, "minLength", "maxLength", LONGEST_TEXT, at)
        if "pattern" not in said:
            return Text(least, most)
        given = said["pattern"]
        if len(said) > 1:
            raise unsupported(sorted(said.keys() - {"pattern"})[0], at, "pattern")
        if not isinstance(given, str):
            raise wrong(f"{at}/pattern", given, "a regular expression")
        try:
            pattern = regular.parse(given)
        except regular.PatternError as error:
            raise InvalidSchema(
                f"the pattern {short(given)} at {shown(at)} cannot be held to: {error}",
                expected="^…$ with characters, [classes], \\d, \\w, ., (groups), |, ?, *, +, {m,n}",
            ) from error
        return Text(pattern=pattern)

    def _array(self, said: Mapping[str, Any], at: str, depth: int) -> Array:
        if said.get("uniqueItems", False) is not False:
            raise unsupported("uniqueItems", at, "array")
        least, most = counts(said, "minItems", "maxItems", MOST_ITEMS, at)
        first = said.get("prefixItems", [])
        if not isinstance(first, list):
            raise wrong(f"{at}/prefixItems", first, "a list of schemas")
        others = said.get("items", False if first else None)
        if others is None or others is True:
            if most != 0:
                raise wrong(f"{at}/items", others, "a schema: what the array holds")
            others = False
        nodes = [self._node(s, f"{at}/prefixItems/{i}", depth + 1) for i, s in enumerate(first)]
        rest = None if others is False else self._node(others, f"{at}/items", depth + 1)
        most = len(nodes) if rest is None and (most is None or most > len(nodes)) else most
        if most is not None and (least > most or len(nodes) > most):
            raise wrong(at, dict(said), "as many items as are asked for")
        return Array(tuple(nodes), rest, least, most)

    def _object(self, said: Mapping[str, Any], at: str, depth: int) -> Object:
        given, required = said.get("properties", {}), said.get("required", [])
        if not isinstance(given, Mapping) or not given:
            raise wrong(f"{at}/properties", given, "the properties by name; other names are none")
        if not isinstance(required, list) or not all(name in given for name in required):
            raise wrong(f"{at}/required", required, "names of properties")
        found = []
        for name, schema in given.items():
            if not isinstance(name, str) or len(name) > _LONGEST_WORD:
                raise wrong(f"{at}/properties", name, f"names of up to {_LONGEST_WORD} characters")
            step = name.replace("~", "~0").replace("/", "~1")
            node = self._node(schema, f"{at}/properties/{step}", depth + 1)
            found.append(Property(name, node, name in required, _description(schema)))
        return Object(tuple(found), closed=said.get("additionalProperties") is False)

    def _refuse_circles(self, root: Node, table: Mapping[str, Node]) -> None:
        """Refuse what stands for itself, through references and choices only."""
        for pointer in table:
            seen: set[str] = set()
            todo: list[Node] = [Ref(pointer)]
            while todo:
                node = todo.pop()
                if isinstance(node, Choice):
                    todo += node.nodes
                elif isinstance(node, Ref):
                    target = table[node.pointer]
                    if node.pointer == pointer and seen:
                        raise InvalidSchema(
                            f"{shown(pointer)} is defined as itself", expected="a definition"
                        )
                    if node.pointer not in seen:
                        seen.add(node.pointer)
                        todo.append(target)


def _children(node: Node) -> list[Node]:
    if isinstance(node, Choice):
        return list(node.nodes)
    if isinstance(node, Object):
        return [each.node for each in node.properties]
    if isinstance(node, Array):
        return [*node.first, *([] if node.others is None else [node.others])]
    return []


def _recursive(table: Mapping[str, Node]) -> set[str]:
    reached: dict[str, set[str]] = {}
    for pointer, node in table.items():
        found: set[str] = set()
        todo = [node]
        while todo:
            here = todo.pop()
            if isinstance(here, Ref):
                found.add(here.pointer)
            todo += _children(here)
        reached[pointer] = found
    recursive = set()
    for pointer in table:
        seen: set[str] = set()
        names = list(reached[pointer])
        while names:
            name = names.pop()
            if name not in seen:
                seen.add(name)
                names += reached[name]
        if pointer in seen:
            recursive.add(pointer)
    return recursive


def _refuse_overlaps(compiled: Compiled, node: Node) -> None:
    todo = [node]
    while todo:
        here = todo.pop()
        todo += _children(here)
        if isinstance(here, Choice) and here.only_one:
            for i, one in enumerate(here.nodes):
                for other in here.nodes[i + 1 :]:
                    if not apart(compiled, one, other):
                        raise InvalidSchema(
                            "a oneOf has alternatives that one value may satisfy together",
                            expected="alternatives of different types, or objects that a constant"
                            " property tells apart",
                            hint="Use anyOf",
                        )


def _is_a(value: Any, names: list[Any]) -> bool:
    for name in names:
        if name == "integer" and not isinstance(value, bool):
            if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
                return True
        elif isinstance(value, bool):
            if name == "boolean":
                return True
        elif name in _PYTHON and isinstance(value, _PYTHON[name]):
            return True
    return False


def _implied(said: Mapping[str, Any], at: str) -> str:
    """Return the type that the keywords are about, where the schema names none."""
    for name in ("object", "array", "string", "number"):
        if said and said.keys() <= KEYWORDS[name]:
            return name
    if said:
        unknown = said.keys() - set().union(*KEYWORDS.values())
        raise unsupported(sorted(unknown or said)[0], at, "no type")
    raise InvalidSchema(
        f"the schema allows anything at {shown(at)}",
        expected="a type, an enum, a const, an anyOf or a $ref",
    )


def _words(given: Any, count: int, at: str) -> list[str]:
    if given is None:
        return []
    sound = isinstance(given, list) and len(given) == count
    if not sound or not all(isinstance(w, str) and 0 < len(w.strip()) <= 500 for w in given):
        raise wrong(f"{at}/{_ANSWERS}", given, f"{count} answers, in the order of the values")
    return list(given)


def _description(schema: Any) -> str:
    """Return what a subschema says about itself, in words."""
    if isinstance(schema, Mapping):
        for key in ("description", "title"):
            if isinstance(words := schema.get(key), str) and words.strip():
                return " ".join(words.split())
    return ""
