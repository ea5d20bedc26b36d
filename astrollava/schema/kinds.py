"""Python types as JSON schemas, and JSON as values of those types."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from astrollava.errors import InvalidRequest, InvalidSchema
from astrollava.schema import types

__all__ = ["build", "schema_of"]


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a type.

    Parameters
    ----------
    kind : type or mapping
        A dataclass, a pydantic model or dataclass (version 2), a TypedDict, an Enum, or any type
        these may have as a field: ``bool``, ``int``, ``float``, ``str``, ``None``, ``Literal``,
        ``Enum``, ``Optional`` and other unions, ``list``, ``tuple``, and dataclasses within each
        other. A mapping is a JSON schema already.

        A field of a dataclass may say more in its ``metadata`` (``{"description": "Is there a
        bar?", "minimum": 0}``) or by ``Annotated``: words are its description, a mapping is
        keywords, and what has ``ge``, ``gt``, ``le``, ``lt``, ``min_length`` or ``max_length``
        (as annotated-types and pydantic's ``Field``) a bound. A field with a default is optional.

    Returns
    -------
    dict

    Raises
    ------
    InvalidSchema
        A type has no schema that can be held to: which, and where.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Galaxy:
    ...     bar: bool
    ...     arms: int = 2
    >>> schema_of(Galaxy)["properties"]
    {'bar': {'type': 'boolean'}, 'arms': {'type': 'integer', 'default': 2}}
    """
    if isinstance(kind, Mapping):
        return _copied(kind)
    made = _of_pydantic(kind)
    return types.Schemas().root(kind) if made is None else made


def build(kind: Any, value: Any) -> Any:
    """Make an instance of a type from parsed JSON.

    Parameters
    ----------
    kind : type or mapping
        As for `schema_of`.
    value : object
        Parsed JSON that satisfies ``schema_of(kind)``.

    Returns
    -------
    object
        An instance, with instances inside; the value itself where `kind` is a mapping.

    Raises
    ------
    InvalidRequest
        The type refuses the value, for reasons a schema cannot say.

    Examples
    --------
    >>> build(tuple[int, float], [1, 2])
    (1, 2.0)
    """
    if isinstance(kind, Mapping):
        return value
    try:
        if hasattr(kind, "model_validate_json"):
            return kind.model_validate_json(json.dumps(value))
        if _is_pydantic_dataclass(kind):
            adapter = importlib.import_module("pydantic").TypeAdapter(kind)
            return adapter.validate_json(json.dumps(value))
        return types.built(kind, value)
    # pydantic's, and what a __post_init__ or a validator may raise.
    except (ValueError, TypeError, AssertionError) as error:
        if isinstance(error, InvalidRequest):
            raise
        name = getattr(kind, "__name__", repr(kind))
        raise InvalidRequest(
            f"{name} refuses a value that satisfies its schema ({_first_line(error)})",
            hint="Say in the type, with bounds or Literal, what it accepts",
        ) from error


def _of_pydantic(kind: Any) -> dict[str, Any] | None:
    if hasattr(kind, "model_json_schema"):
        make = kind.model_json_schema
    elif _is_pydantic_dataclass(kind):
        make = importlib.import_module("pydantic").TypeAdapter(kind).json_schema
    else:
        return None
    try:
        return dict(make())
    # pydantic's errors here have no common base but Exception.
    except Exception as error:
        raise InvalidSchema(
            f"pydantic makes no JSON schema of {kind!r} ({_first_line(error)})"
        ) from error


def _is_pydantic_dataclass(kind: Any) -> bool:
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "__dataclass_fields__")


def _copied(schema: Mapping[Any, Any]) -> dict[str, Any]:
    """Return plain dictionaries and lists, whatever the mapping is made of."""
    try:
        copied: dict[str, Any] = json.loads(json.dumps(schema, default=_plain, allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidSchema(
            f"the schema is no JSON ({_first_line(error)})",
            expected="dictionaries, lists, strings, finite numbers, booleans and None",
        ) from error
    return copied


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is none")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
