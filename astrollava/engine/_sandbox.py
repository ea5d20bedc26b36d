"""Jinja2 with limits: a chat template comes with a model file, so it is not trusted.

The sandbox of Jinja2 keeps a template from the rest of the process. It does not keep it from taking
all time and memory; the limits here do so for what a template can easily do: loops, repetition,
doubling, padding, replacing and joining.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from astrollava.errors import TemplateError

__all__ = ["Budget", "compile_template"]

_MAX_TEXT = 1_000_000  # characters in any one value
_MAX_LOOPS = 200_000  # passes through all loops together
_MAX_SECONDS = 2.0


def compile_template(source: str, budget: Budget) -> Template:
    """Compile `source` so that every rendering draws on `budget`.

    Raises
    ------
    jinja2.TemplateError, RecursionError, ValueError
        It is no sound template, or holds a number larger than any length allowed.
    """
    environment = _Sandbox(budget)
    return environment.from_string(_Metering().visit(environment.parse(source)))


class Budget:
    """What one rendering may use."""

    def __init__(self) -> None:
        self.refill()

    def refill(self) -> None:
        """Start anew."""
        self._loops = _MAX_LOOPS
        self._deadline = time.monotonic() + _MAX_SECONDS

    def loop(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield `items`, counting them."""
        for item in items:
            self._loops -= 1
            if self._loops < 0 or time.monotonic() > self._deadline:
                raise TemplateError("the model's chat template runs too long")
            yield item

    def check_length(self, length: int) -> None:
        """Refuse a text of `length` characters where that is too long."""
        if length > _MAX_TEXT:
            raise TemplateError(
                f"the model's chat template builds a value of more than {_MAX_TEXT} characters"
            )

    def value(self, value: Any) -> Any:
        """Return `value` unless it is too long, or too large to be a length."""
        if isinstance(value, (str, list, tuple)):
            self.check_length(len(value))
        elif isinstance(value, int):
            self.check_length(abs(value))
        return value


class _Metering(NodeTransformer):
    """Counts the passes of every loop and bounds what is built by joining."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Count the passes of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(cast("nodes.Expr", node.iter), "_metered")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Bound what ``~`` builds."""
        self.generic_visit(node)
        return _filtered(node, "_bounded")

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        """Refuse huge numbers."""
        # Widths and counts reach functions as plain numbers.
        if isinstance(node.value, int) and node.value > _MAX_TEXT:
            raise ValueError(f"it contains the number {node.value}")
        return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    wrapped = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
    wrapped.environment = node.environment
    return wrapped


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2 as Hugging Face's templates expect it, without files, attributes or large values."""

    # Power and repetition turn small numbers into gigabytes in one step.
    intercepted_binops = frozenset(["+", "*", "**", "%"])
    # These build padded or repeated text from a number or an argument; no chat template needs them.
    _REMOVED = ("center", "format", "indent", "replace", "wordwrap", "join", "xmlattr", "pprint")
    _UNSAFE_METHODS = ("center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map")

    def __init__(self, budget: Budget) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self._budget = budget
        for name in self._REMOVED:
            del self.filters[name]
        self.filters.update(
            _metered=budget.loop,
            _bounded=budget.value,
            tojson=_to_json,
            indent=self._indent,
            replace=self._replace,
            join=self._join,
        )
        del self.globals["lipsum"]
        self.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Bound what an operator builds."""
        if operator == "**":
            raise SecurityError("powers are not allowed")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("formatting with % is not allowed")
        if operator == "*":
            self._budget.check_length(_extent(left) * _extent(right))
        return self._budget.value(super().call_binop(context, operator, left, right))

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Bound what a method of a string builds."""
        owner = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        # By name alone: Jinja2 hands out a wrapped str.format.
        if name in self._UNSAFE_METHODS:
            raise SecurityError(f"str.{name} is not allowed")
        if isinstance(owner, str):
            if name == "replace":
                return self._replace(owner, *args)
            if name == "join":
                return self._join(args[0] if args else (), owner)
        return super().call(context, function, *args, **kwargs)

    def _replace(self, text: Any, old: Any, new: Any, count: int = -1) -> str:
        given, old, new = str(text), str(old), str(new)
        times = given.count(old) if old else len(given) + 1
        self._budget.check_length(len(given) + times * len(new))
        return given.replace(old, new, count)

    def _join(self, items: Iterable[Any], separator: Any = "", attribute: str | None = None) -> str:
        if attribute is not None:
            items = (self.getitem(item, attribute) for item in items)
        pieces = [str(item) for item in self._budget.loop(items)]
        glue = str(separator)
        self._budget.check_length(sum(map(len, pieces)) + len(glue) * len(pieces))
        return glue.join(pieces)

    def _indent(self, text: Any, width: int | str = 4, first: bool = False) -> str:
        pad = width if isinstance(width, str) else " " * min(int(width), 80)
        shown = self._replace(text, "\n", f"\n{pad}")
        return pad + shown if first else shown


def _extent(value: Any) -> int:
    if isinstance(value, int):
        return abs(value)
    return len(value) if hasattr(value, "__len__") else 1


class _Generation(Extension):
    """Accepts ``{% generation %}``, which marks the assistant's words for training."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it for the instance)

    def parse(self, parser: Any) -> list[nodes.Node]:
        """Return what stands between the tags."""
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return body


def _raise_exception(message: str) -> str:
    raise TemplateError(f"the model's chat template refuses the messages ({message})"[:500])


def _strftime_now(form: str) -> str:
    return dt.datetime.now().astimezone().strftime(str(form)[:100])


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False) -> str:
    indent = None if indent is None else min(int(indent), 8)
    return json.dumps(value, ensure_ascii=bool(ensure_ascii), indent=indent)
