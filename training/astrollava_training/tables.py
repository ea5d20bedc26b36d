"""TOML tables as dataclasses: an unknown key or a wrong type is an error that names its place."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from astrollava.errors import InvalidRequest

__all__ = [
    "RecipeError",
    "build",
    "check_name",
    "nearest",
    "parse_toml",
    "read_toml",
    "set_values",
]

T = TypeVar("T")

#: What other trainers call keys of recipes.
_ELSEWHERE: Mapping[str, str] = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "num_train_epochs": "epochs",
    "warmup_ratio": "warmup",
    "max_grad_norm": "clip",
    "precision": "dtype",
    "gradient_checkpointing": "checkpointing",
    "save_steps": "save_every",
    "eval_steps": "evaluate_every",
}

_LONGEST_NAME = 200  # bytes; file systems take 255, with the endings of files

_SCALARS: Mapping[Any, Any] = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}


class RecipeError(InvalidRequest):
    """A recipe with an unknown key, a wrong type or a contradiction."""


def read_toml(kind: type[T], path: str | PathLike[str]) -> T:
    """Read a file as a dataclass, whose fields may be dataclasses themselves.

    Parameters
    ----------
    kind : type
        A dataclass with fields of type int, float, bool, str, a `Literal` of strings, a tuple of
        any one of these, another such dataclass, or one of all that and None.
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
    return build(kind, parse_toml(path), where=str(path))


def parse_toml(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a file as plain tables; the errors are those of `read_toml`."""
    with Path(path).open("rb") as stream:
        try:
            return tomllib.load(stream)
        except ValueError as error:
            raise RecipeError(f"{path} is no TOML: {error}", expected="a recipe") from None


def set_values(raw: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return tables with some values replaced, as ``--set`` of the command line asks.

    Parameters
    ----------
    raw : dict
        From `parse_toml`; left as it is.
    assignments : iterable of str
        ``"table.key=value"``: a value of TOML, or, where it is none, a text.

    Raises
    ------
    RecipeError
        For an assignment without a key or a value, or through a key that is no table.

    Examples
    --------
    >>> set_values({"stage2": {"lr": 1e-5}}, ["stage2.lr=2e-5", "name=other"])
    {'stage2': {'lr': 2e-05}, 'name': 'other'}
    """
    changed: dict[str, Any] = _copied(raw)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        *tables, key = [part.strip() for part in name.split(".")]
        if not equals or not key or not all(tables):
            raise RecipeError(f"--set {assignment!r}", expected="table.key=value")
        inner = changed
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise RecipeError(f"--set {assignment!r}: {table!r} is no table")
        inner[key] = _value_of(text.strip())
    return changed


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a hint at the known name that was probably meant, empty where none is near.

    Of names that are as near as each other all are named. What other trainers call a key, such as
    ``learning_rate``, is as near as the key itself.

    Examples
    --------
    >>> nearest("stagel", ["model", "stage1", "stage2"])
    "Did you mean 'stage1' or 'stage2'?"
    >>> nearest("learnig_rate", ["lr", "batch"])
    "Did you mean 'lr'?"
    """
    called = {one: one for one in known}
    called |= {
        alias: key for alias, key in _ELSEWHERE.items() if key in called and alias not in called
    }
    near = difflib.get_close_matches(name, called, n=len(called) or 1)
    likeness = {one: difflib.SequenceMatcher(None, one, name).ratio() for one in near}
    best = max(likeness.values(), default=0.0)
    found = [called[one] for one in near if likeness[one] == best]
    return _meant(list(dict.fromkeys(found[::-1])))


def check_name(name: str, key: str = "name") -> None:
    """Raise unless a name can be that of a folder, on any system: runs and files are named by it.

    Parameters
    ----------
    name : str
    key : str
        What the recipe calls it.

    Raises
    ------
    RecipeError
        If it is empty, leads elsewhere, begins or ends with what a system or a shell takes for
        something else, or is too long to have an ending put behind it.

    Examples
    --------
    >>> check_name("astrollava-7b")
    >>> check_name("../evil")
    Traceback (most recent call last):
    ...
    astrollava_training.tables.RecipeError: name is '../evil'. Expected the plain name of a ...
    """
    if (
        not name
        or not name.isprintable()
        or any(character in name for character in '/\\:*?"<>|')
        or name != name.strip(" .")
        or name.startswith("-")
        or len(name.encode()) > _LONGEST_NAME
    ):
        shown = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
        raise RecipeError(
            f"{key} is {shown!r}",
            expected="the plain name of a folder, such as 'astrollava-7b'",
            hint="Where a run is written is said by -o" if key == "name" else "",
        )


def build(kind: type[T], raw: Mapping[str, Any], where: str, *, beside: Sequence[str] = ()) -> T:
    """Make a dataclass of a table; see `read_toml`.

    Errors begin with `where`. `beside` are keys that the table may have and that were taken out.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    types_of = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise RecipeError(
                f"{where}: unknown key {key!r}",
                expected=f"one of {', '.join([*beside, *fields])}",
                hint=_meant(_inside(kind, key)) or nearest(key, [*beside, *fields]),
            )
        values[key] = _value(types_of[key], value, f"{where}: {key}")
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


def _meant(names: Sequence[str]) -> str:
    return f"Did you mean {' or '.join(map(repr, names))}?" if names else ""


def _inside(kind: type[Any], key: str) -> list[str]:
    """Return the places, in tables of this one, of a key that was written without its table."""
    places: list[str] = []
    for name, inner in get_type_hints(kind).items():
        table = _present(inner)
        if dataclasses.is_dataclass(table) and key in get_type_hints(table):
            places.append(f"{name}.{key}")
    return places


def _present(kind: Any) -> Any:
    """Return what a key is where it is there: TOML has no null, what is left out is None."""
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (inner for inner in get_args(kind) if inner is not type(None))
    return kind


def _value(kind: Any, value: Any, where: str) -> Any:
    kind = _present(kind)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is {value!r}", expected="a table")
        return build(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if not isinstance(value, list):
            raise RecipeError(f"{where} is {value!r}", expected="a list")
        return tuple(_value(inner, one, f"{where}[{i}]") for i, one in enumerate(value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise RecipeError(
                f"{where} is {value!r}",
                expected=f"one of {', '.join(get_args(kind))}",
                hint=nearest(str(value), get_args(kind)),
            )
        return value
    # A bool is an int to Python, but not to the author of a recipe.
    if not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"{where} is {value!r}", expected=f"a value of type {kind.__name__}")
    return float(value) if kind is float else value


def _copied(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(v) if isinstance(v, dict) else v for key, v in table.items()}


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
