"""TOML tables as dataclasses: an unknown key or a wrong type is an error that names its place."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from astrollava.errors import InvalidRequest

__all__ = ["RecipeError", "read_toml"]

T = TypeVar("T")

_SCALARS: Mapping[Any, Any] = {int: (int,), float: (int, float), str: (str,)}


class RecipeError(InvalidRequest):
    """A recipe with an unknown key, a wrong type or a contradiction."""


def read_toml(kind: type[T], path: str | PathLike[str]) -> T:
    """Read a file as a dataclass, whose fields may be dataclasses themselves.

    Parameters
    ----------
    kind : type
        A dataclass with fields of type int, float, str, tuple of int or another such dataclass.
    path : path
        A TOML file; a field of a dataclass is a table of it.

    Raises
    ------
    RecipeError
        If the file is no TOML, or a key is unknown (the nearest known one is named), missing, of
        the wrong type, or what the dataclass itself refuses.
    FileNotFoundError
        If there is no such file.
    """
    with Path(path).open("rb") as stream:
        try:
            raw = tomllib.load(stream)
        except ValueError as error:
            raise RecipeError(f"{path} is no TOML: {error}", expected="a recipe") from None
    return _build(kind, raw, where=str(path))


def _build(kind: type[T], raw: Mapping[str, Any], where: str) -> T:
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    types = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            raise RecipeError(
                f"{where}: unknown key {key!r}",
                expected=f"one of {', '.join(fields)}",
                hint=f"Did you mean {near[0]!r}?" if near else "",
            )
        values[key] = _value(types[key], value, f"{where}: {key}")
    for name, wanted in fields.items():
        needed = wanted.default is wanted.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise RecipeError(f"{where}: the key {name!r} is missing", expected=f"{name} = ...")
    try:
        return kind(**values)
    except RecipeError as error:
        raise RecipeError(
            f"{where}: {error.problem}", expected=error.expected, hint=error.hint
        ) from None


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is {value!r}", expected="a table")
        return _build(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(type(v) is int for v in value):
            raise RecipeError(f"{where} is {value!r}", expected="a list of integers")
        return tuple(value)
    # A bool is an int to Python, but not to the author of a recipe.
    if not isinstance(value, _SCALARS[kind]) or isinstance(value, bool):
        raise RecipeError(f"{where} is {value!r}", expected=f"a value of type {kind.__name__}")
    return float(value) if kind is float else value
