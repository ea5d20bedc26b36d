"""Records as JSON, one a line, that a killed process cannot spoil."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["read_lines"]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines; a last one that a killed process has cut short is left out."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found
