"""JSON from a checkpoint: read whole, but never more than fits, and never twice the same key."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint

__all__ = ["Settings", "parse_json", "read_json"]

#: Bytes of a JSON file. Real ones have some kilobytes, indices of shards up to a megabyte.
_LONGEST: Final = 16 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises
    ------
    InvalidCheckpoint
        The file is missing, larger than 16 MiB, or no JSON object.
    """
    try:
        if not path.is_file():
            raise InvalidCheckpoint(
                f"there is no file {path.name} in {path.parent}", expected="a checkpoint's folder"
            )
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
    except OSError as error:
        raise InvalidCheckpoint(f"{path} cannot be read: {error}") from None
    return parse_json(raw, path.name)


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Parse bytes that must hold a JSON object; `where` names them in errors."""
    if len(raw) > _LONGEST:
        raise InvalidCheckpoint(f"{where} is larger than {_LONGEST} bytes")
    try:
        value = json.loads(raw, object_pairs_hook=_once)
    # Text that is no UTF-8 raises a ValueError, too.
    except (ValueError, RecursionError) as error:
        raise InvalidCheckpoint(f"{where} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{where} holds a {type(value).__name__}", expected="an object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # With two values for a key, each reader would take another.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


class Settings:
    """Typed and bounded reading of a configuration's values.

    Parameters
    ----------
    values : mapping
        The configuration.
    where : str
        What errors call it, for example ``"config.json: text_config"``.
    defaults : mapping, optional
        What the model's kind takes where a key is missing or null.
    """

    def __init__(
        self, values: Mapping[str, Any], where: str, defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.values = values
        self.where = where
        self._defaults = defaults or {}

    def get(self, key: str) -> Any:
        """Return the value, else the default of the model's kind, else None."""
        value = self.values.get(key)
        return self._defaults.get(key) if value is None else value

    def fail(self, key: str, expected: str) -> InvalidCheckpoint:
        """Make the error for a key."""
        return InvalidCheckpoint(
            f"{self.where}: {key} is {self.get(key)!r:.80}",
            expected=expected,
            hint="Give the folder of a checkpoint as it was saved",
        )

    def integer(self, key: str, low: int, high: int) -> int:
        """Return a whole number in the range."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fail(key, f"a whole number from {low} to {high}")
        return value

    def real(self, key: str, low: float, high: float) -> float:
        """Return a number in the range."""
        value = self.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            raise self.fail(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def text(self, key: str, longest: int = 200) -> str:
        """Return a short string, empty where there is none."""
        value = self.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > longest:
            raise self.fail(key, f"a text of at most {longest} letters")
        return value

    def flag(self, key: str) -> bool:
        """Return a bool, False where there is none."""
        value = self.get(key)
        if not isinstance(value, bool | None):
            raise self.fail(key, "true or false")
        return bool(value)

    def part(self, key: str, defaults: Mapping[str, Any] | None = None) -> Settings:
        """Return a configuration inside this one; empty where there is none."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fail(key, "an object")
        return Settings(value or {}, f"{self.where}: {key}", defaults)

    def triple(self, key: str) -> tuple[float, float, float] | None:
        """Return three finite numbers, or None where there are none."""
        value = self.get(key)
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == 3
        if not good or not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
            raise self.fail(key, "three numbers")
        red, green, blue = (float(v) for v in value)
        return red, green, blue
