"""Bundles taken apart and put together otherwise, and what they leave on the disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Manifest", "change_manifest", "left_behind", "rewrite"]

Manifest = dict[str, Any]


def rewrite(
    path: Path,
    change: Callable[[dict[str, bytes], Manifest], None],
    *,
    write: Callable[[zipfile.ZipFile, dict[str, bytes]], None] | None = None,
) -> None:
    """Take a bundle apart, change it, and put it together again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["bundle.json"])
    change(members, manifest)
    if "bundle.json" in members:
        members["bundle.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        if write is not None:
            write(archive, members)
            return
        for name, content in members.items():
            archive.writestr(name, content)


def left_behind(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def change_manifest(path: str, value: Any) -> Callable[[dict[str, bytes], Manifest], None]:
    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        *above, last = path.split(".")
        inner = manifest
        for part in above:
            inner = inner[part]
        inner[last] = value

    return change
