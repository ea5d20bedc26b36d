"""Models that came on a bundle: where they are kept, and what their manifest says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astrollava._cache import cache_folder
from astrollava.errors import InvalidBundle

from .catalog import ModelFiles

__all__ = ["MANIFEST", "Manifest", "find", "folder_of", "read_manifest"]

#: The file of a bundle that lists all others.
MANIFEST: Final = "bundle.json"
#: The only edition of the format there is.
EDITION: Final = 1

_LONGEST: Final = 16 << 20
_MOST_FILES: Final = 100_000
_FILE: Final = re.compile(r"(?:model|cutouts)/(?!\.)[^/\\:*?\"<>|\x00-\x1f]{1,200}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself, found to be sound.

    Attributes
    ----------
    name : str
        The model's name.
    licence, source : str or None
        Its licence, and where it came from.
    text, mmproj : str
        Its files, as they are called in `files`.
    files : mapping
        Path in the bundle -> ``(bytes, SHA-256)``.
    settings : mapping
        Options to use it with.
    """

    name: str
    licence: str | None
    source: str | None
    text: str
    mmproj: str
    files: Mapping[str, tuple[int, str]]
    settings: Mapping[str, Any]

    def model(self, folder: Path) -> ModelFiles:
        """Return the model, unpacked in `folder`."""
        return ModelFiles(
            self.name, folder / self.text, folder / self.mmproj, self.licence, source="bundle"
        )

    def cutouts(self, folder: Path) -> tuple[Path, ...]:
        """Return the cutouts, unpacked in `folder`."""
        return tuple(folder / file for file in self.files if file.startswith("cutouts/"))


def read_manifest(text: bytes, where: str) -> Manifest:
    """Read a manifest, which may be hostile.

    Raises
    ------
    InvalidBundle
        It is not of the form this version knows, or a path in it would leave its folder.
    """
    if len(text) > _LONGEST:
        raise InvalidBundle(f"the manifest of {where} has {len(text)} bytes")
    try:
        said = json.loads(text)
        edition = said["astrollava_bundle"]
        model = said["model"]
        files = {
            str(path): (int(about["bytes"]), str(about["sha256"]))
            for path, about in dict(said["files"]).items()
        }
        manifest = Manifest(
            name=str(model["name"]),
            licence=_text(model.get("licence")),
            source=_text(model.get("source")),
            text=str(model["text"]),
            mmproj=str(model["mmproj"]),
            files=files,
            settings=dict(said["settings"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidBundle(
            f"the manifest of {where} cannot be read: {type(error).__name__} {error}",
            hint="Make the bundle again: astrollava bundle create",
        ) from None
    if edition != EDITION:
        raise InvalidBundle(
            f"{where} is of edition {edition!r}", expected=f"{EDITION}", hint="Update astrollava"
        )
    _check(manifest, where)
    return manifest


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _check(manifest: Manifest, where: str) -> None:
    if len(manifest.files) > _MOST_FILES:
        raise InvalidBundle(f"{where} lists {len(manifest.files)} files")
    for path, (size, content) in manifest.files.items():
        # Windows drops dots and blanks at the end of a name: two could become one.
        if not _FILE.fullmatch(path) or path.endswith((".", " ")):
            raise InvalidBundle(
                f"{where} lists a file {path!r}, which does not stay inside its folder",
                expected="model/NAME or cutouts/NAME",
            )
        if size < 0 or not _SHA256.fullmatch(content):
            raise InvalidBundle(f"{where} lists {path!r} without its size and SHA-256")
    if len({path.casefold() for path in manifest.files}) != len(manifest.files):
        raise InvalidBundle(f"{where} lists a file twice")
    for path in (manifest.text, manifest.mmproj):
        if path not in manifest.files:
            raise InvalidBundle(f"{where} does not list its model's file {path!r}")
    if not manifest.name or len(manifest.name) > 200:
        raise InvalidBundle(f"{where} does not name its model")


def folder_of(name: str) -> Path:
    """Return where the bundle of a model of that name is kept."""
    slug = re.sub(r"[^a-z0-9._-]+", "--", name.strip().lower()).strip(".-") or "model"
    return cache_folder("bundles", slug[:120])


def find(name: str) -> tuple[Path, Manifest] | None:
    """Return the folder and manifest of a model that came on a bundle, or None."""
    folder = folder_of(name)
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError:
        return None
    manifest = read_manifest(text, str(folder))
    return (folder, manifest) if manifest.name.lower() == name.strip().lower() else None
