"""Models that came on a bundle: where they are kept, and what their manifest says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astrollava._cache import cache_folder
from astrollava.errors import InvalidBundle

from .catalog import ModelFiles

__all__ = [
    "MANIFEST",
    "NAME_WORDS",
    "Manifest",
    "altered",
    "at",
    "discard",
    "find",
    "folder_of",
    "installed",
    "is_name",
    "read_manifest",
]

#: The file of a bundle that lists all others.
MANIFEST: Final = "bundle.json"
#: The only edition of the format there is.
EDITION: Final = 1

#: What a name may be, in words.
NAME_WORDS: Final = "1 to 64 letters, digits, dots, dashes and underscores; first a letter or digit"

_CHUNK: Final = 1 << 22
# Nothing that could be taken for a path, a name of the hub, or a command of a shell.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
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
    if not is_name(manifest.name):
        raise InvalidBundle(f"{where} calls its model {manifest.name[:200]!r}", expected=NAME_WORDS)


def is_name(name: str) -> bool:
    """Tell whether a model on a bundle may have that name.

    Examples
    --------
    >>> is_name("smolvlm-2.2b"), is_name("hf:owner/model"), is_name("../model")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def folder_of(name: str) -> Path:
    """Return where the bundle of a model of that name is kept."""
    return cache_folder("bundles", name.lower())


def find(name: str) -> tuple[Path, Manifest] | None:
    """Return the folder and manifest of a model that came on a bundle, or None."""
    name = name.strip()
    # What may not be the name of one is not looked for: "hf:..." is always the hub's.
    if not is_name(name):
        return None
    folder = folder_of(name)
    manifest = at(folder)
    if manifest is None or manifest.name.lower() != name.lower():
        return None
    return folder, manifest


def at(folder: Path) -> Manifest | None:
    """Return the manifest of the bundle unpacked in a folder, or None where there is none.

    Raises
    ------
    InvalidBundle
        There is one that cannot be used.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError:
        return None
    return read_manifest(text, str(folder))


def installed() -> list[tuple[Path, Manifest]]:
    """Return the models that came on bundles and can be called by their names."""
    found = []
    with contextlib.suppress(OSError):
        for folder in sorted(cache_folder("bundles").iterdir()):
            with contextlib.suppress(InvalidBundle):
                manifest = at(folder)
                if manifest is not None and folder == folder_of(manifest.name):
                    found.append((folder, manifest))
    return found


def altered(folder: Path, manifest: Manifest) -> Iterator[tuple[str, bool]]:
    """Yield each listed file and whether it is missing from a folder, a link, or changed."""
    for inside, (size, content) in manifest.files.items():
        yield inside, not _is_whole(folder / inside, size, content)


def _is_whole(file: Path, size: int, content: str) -> bool:
    # What a link leads to was not unpacked, whatever it holds.
    if file.is_symlink() or file.parent.is_symlink():
        return False
    try:
        return file.stat().st_size == size and _content(file) == content
    except OSError:
        return False


def _content(file: Path) -> str:
    taken = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_CHUNK):
            taken.update(piece)
    return taken.hexdigest()


def discard(folder: Path, manifest: Manifest) -> int:
    """Delete what was unpacked in a folder and is unchanged, and return its bytes.

    Files that were added or changed since are their owner's: they stay, with their folders.
    """
    freed = 0
    for inside, changed in altered(folder, manifest):
        if not changed:
            freed += manifest.files[inside][0]
            (folder / inside).unlink()
    # The list is as much a part of the bundle; without it no name leads here any more.
    freed += (folder / MANIFEST).stat().st_size
    (folder / MANIFEST).unlink()
    for empty in (folder / "model", folder / "cutouts", folder):
        with contextlib.suppress(OSError):
            empty.rmdir()
    return freed
