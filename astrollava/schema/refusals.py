"""What is said about a schema that cannot be used: what, where, and what could be."""

from __future__ import annotations

from typing import Any

from astrollava.errors import InvalidSchema

__all__ = ["short", "shown", "unsupported", "wrong"]


def shown(at: str) -> str:
    """Return a JSON pointer for people."""
    return "the root of the schema" if at == "#" else short(at, 200)


def short(value: Any, most: int = 60) -> str:
    """Return a value in a few characters."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except RecursionError:
        return f"a {type(value).__name__} of many levels"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def wrong(at: str, given: Any, expected: str) -> InvalidSchema:
    """Say that something stands where something else should."""
    return InvalidSchema(f"{short(given)} stands at {shown(at)}", expected=expected)


def unsupported(key: str, at: str, beside: str) -> InvalidSchema:
    """Say that a keyword cannot be held to."""
    return InvalidSchema(
        f"the keyword {short(key)!r} at {shown(at)}, with {beside}, cannot be held to",
        expected="a keyword that docs/extract.md lists",
        hint="Leave it out, and check the value afterwards",
    )
