"""What a model card says in its front matter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["read_licence"]

_FRONT: Final = re.compile(r"\A---\s*\n(.{0,65536}?)\n---", re.DOTALL)
_KEY: Final = re.compile(
    r"^(license|license_name)[ \t]*:[ \t]*[\"']?([\w .+-]{1,80})", re.MULTILINE
)


def read_licence(folder: Path) -> str | None:
    """Return the licence a folder's ``README.md`` states, None where it states none.

    Hugging Face's cards say ``license: other`` with ``license_name`` where they know no identifier.
    """
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(1 << 17).decode("utf-8", "replace")
    except OSError:
        return None
    front = _FRONT.match(text)
    found = {key: value.strip() for key, value in _KEY.findall(front[1])} if front else {}
    licence = found.get("license")
    return found.get("license_name", licence) if licence == "other" else licence
