"""The types of Python's own that have a JSON schema: dataclasses and what is in them."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from astrollava.errors import InvalidSchema
from astrollava.schema.checks import Checker
from astrollava.schema.nodes import compile_schema
from astrollava.schema.reading import KEYWORDS

__all__ = ["Schemas", "built"]

_SCALARS = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    None: {"type": "null"},
    types.NoneType: {"type": "null"},
}
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
#: Keywords that `metadata` of a dataclass field may hold; all else in it is somebody else's.
_WORDS = frozenset({"title", "description", "examples"})
_OWN = _WORDS | frozenset().union(*KEYWORDS.values())


class Schemas:
    """Writes the schema of a type, each class in it once."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._made: dict[str, dict[str, Any]] = {}

    def root(self, kind: Any) -> dict[str, Any]:
        """Return the whole schema."""
        schema = self._schema(kind, getattr(kind, "__name__", "the type"))
        if self._made:
            schema = {**schema, "$defs": self._made}
        if list(schema) == ["$ref", "$defs"]:
            name = schema["$ref"].rpartition("/")[2]
            within = {f"#/$defs/{name}"} & _references(self._made)
            # A class that is not met again within itself needs no name.
            if not within:
                rest = {key: value for key, value in self._made.items() if key != name}
                schema = {**self._made[name], **({"$defs": rest} if rest else {})}
        return schema

    def _schema(self, kind: Any, at: str) -> dict[str, Any]:
        kind = _plain(kind)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        # First: what annotates may have no hash.
        if origin is typing.Annotated:
            return _narrowed(self._schema(arguments[0], at), kind.__metadata__, at)
        if isinstance(kind, type | None) and kind in _SCALARS:
            return dict(_SCALARS[kind])
        if origin is typing.Literal:
            return {"enum": [v.value if isinstance(v, enum.Enum) else v for v in arguments]}
        if origin in (typing.Union, types.UnionType):
            return _union([self._schema(each, at) for each in arguments])
        if origin is tuple:
            return self._tuple(arguments, at)
        if origin in _LISTS:
            return {"type": "array", "items": self._schema(arguments[0], f"{at}[]")}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)):
            return self._class(kind)
        raise InvalidSchema(
            f"{at} is of type {getattr(kind, '__name__', kind)!r}",
            expected="bool, int, float, str, None, Literal, Enum, Optional, list, tuple, a"
            " dataclass or a TypedDict",
            hint="For names not known before, use a list of dataclasses",
        )

    def _tuple(self, arguments: tuple[Any, ...], at: str) -> dict[str, Any]:
        if len(arguments) == 2 and arguments[1] is ...:
            return {"type": "array", "items": self._schema(arguments[0], f"{at}[]")}
        parts = [self._schema(each, f"{at}[{i}]") for i, each in enumerate(arguments)]
        size = len(parts)
        return {
            "type": "array", "prefixItems": parts, "items": False, "minItems": size,
            "maxItems": size,
        }  # fmt: skip

    def _class(self, kind: Any) -> dict[str, Any]:
        if kind not in self._names:
            name = kind.__name__
            while name in self._made:
                name += "_"
            self._names[kind] = name
            self._made[name] = {}
            self._made[name].update(self._object(kind))
        return {"$ref": f"#/$defs/{self._names[kind]}"}

    def _object(self, kind: Any) -> dict[str, Any]:
        hints = _hints(kind)
        properties, required = {}, []
        if typing.is_typeddict(kind):
            for name, hint in hints.items():
                properties[name] = self._schema(hint, f"{kind.__name__}.{name}")
            required = [name for name in hints if _is_required(kind, name, hints[name])]
        else:
            for each in dataclasses.fields(kind):
                if not each.init:
                    continue
                at = f"{kind.__name__}.{each.name}"
                schema = self._schema(hints[each.name], at)
                properties[each.name] = _narrowed(schema, [_own(each.metadata)], at)
                if each.default is dataclasses.MISSING:
                    if each.default_factory is dataclasses.MISSING:
                        required.append(each.name)
                elif isinstance(each.default, bool | int | float | str | None):
                    properties[each.name]["default"] = each.default
        made: dict[str, Any] = {"type": "object", "properties": properties}
        return {**made, "required": required, "additionalProperties": False}


def _plain(kind: Any) -> Any:
    """Return what a name stands for: NewType, an alias, Required and the like."""
    while True:
        if typing.get_origin(kind) in (typing.Required, typing.NotRequired, typing.Final):
            kind = typing.get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        elif kind in (list, tuple):
            kind = kind[Any]
        else:
            return kind


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    # Python misses NotRequired in annotations that are strings.
    known = {typing.Required: True, typing.NotRequired: False}
    return known.get(typing.get_origin(hint), name in kind.__required_keys__)


def _hints(kind: Any) -> dict[str, Any]:
    own = {kind.__name__: kind}
    try:
        return typing.get_type_hints(kind, localns=own, include_extras=True)
    except NameError as error:
        # A class made in a function, or by exec: its names are where it was made, which is mostly
        # where it is used.
        frame = inspect.currentframe()
        while frame is not None:
            names = {**frame.f_globals, **frame.f_locals, **own}
            with contextlib.suppress(NameError):
                return typing.get_type_hints(kind, localns=names, include_extras=True)
            frame = frame.f_back
        raise InvalidSchema(
            f"a type in {kind.__name__} cannot be found ({error})",
            hint="Define it at the top of a module",
        ) from error


def _own(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key in _OWN}


def _narrowed(schema: dict[str, Any], said: Any, at: str) -> dict[str, Any]:
    """Add what annotations say."""
    more: dict[str, Any] = {}
    lengths = ("minItems", "maxItems") if schema.get("type") == "array" else _TEXT_LENGTHS
    for each in said:
        if isinstance(each, str):
            more["description"] = each
        elif isinstance(each, Mapping):
            more.update(each)
        else:
            for part in (each, *getattr(each, "metadata", ())):
                for name, key in (*_BOUNDS.items(), *zip(_LENGTHS, lengths, strict=True)):
                    if (bound := getattr(part, name, None)) is not None:
                        more[key] = bound
            if isinstance(words := getattr(each, "description", None), str):
                more["description"] = words
    held = {key: more.pop(key) for key in list(more) if key not in _WORDS}
    if "anyOf" not in schema:
        return {**schema, **more, **held}
    parts = [dict(part) for part in schema["anyOf"]]
    for key, value in held.items():
        # Said of `float | None`, a bound is one of the float.
        meant = [part for part in parts if key in KEYWORDS.get(str(part.get("type")), ())]
        if not meant:
            raise InvalidSchema(
                f"{at} is said to have {key}={value!r}, which none of its types can have"
            )
        for part in meant:
            part[key] = value
    return {**schema, "anyOf": parts, **more}


_LENGTHS = ("min_length", "max_length")
_TEXT_LENGTHS = ("minLength", "maxLength")


def _union(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _references(made: Any) -> set[str]:
    found: set[str] = set()
    todo = [made]
    while todo:
        here = todo.pop()
        if isinstance(here, dict):
            if isinstance(here.get("$ref"), str):
                found.add(here["$ref"])
            todo += here.values()
        elif isinstance(here, list):
            todo += here
    return found


def built(kind: Any, value: Any) -> Any:
    """Make a value of a type from parsed JSON that satisfies its schema."""
    kind = _plain(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return built(arguments[0], value)
    if origin is typing.Literal:
        return next((v for v in arguments if isinstance(v, enum.Enum) and v.value == value), value)
    if origin in (typing.Union, types.UnionType):
        return built(_member(arguments, value), value)
    if origin is tuple:
        endless = len(arguments) == 2 and arguments[1] is ...
        kinds = [arguments[0]] * len(value) if endless else arguments
        return tuple(built(each, item) for each, item in zip(kinds, value, strict=True))
    if origin in _LISTS:
        return [built(arguments[0], item) for item in value]
    if kind in (int, float):
        return kind(value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if typing.is_typeddict(kind) or dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: built(hints[name], item) for name, item in value.items()})
    return value


def _member(kinds: tuple[Any, ...], value: Any) -> Any:
    """Return the first type of a union that a value is of."""
    for kind in kinds:
        compiled = compile_schema(Schemas().root(kind))
        if Checker(compiled).complaint(compiled.root, value) is None:
            return kind
    return kinds[0]
