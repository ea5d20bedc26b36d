"""Writing a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from astrollava._cache import whole_file
from astrollava.errors import HashMismatch, InvalidRequest

from ._settings import check_settings

if TYPE_CHECKING:
    from astrollava.models import ModelFiles
    from astrollava.models.store import Progress

__all__ = ["create"]

_CHUNK: Final = 1 << 22
#: All files get the same date: the same content makes the same bundle.
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def create(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] = "embedded",
    *,
    mmproj: str | os.PathLike[str] | None = None,
    name: str | None = None,
    cutouts: Iterable[str | os.PathLike[str]] = (),
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> str:
    """Write a model, cutouts and settings into one file.

    Parameters
    ----------
    path : path-like
        The bundle. A file that is there is replaced when the new one is whole.
    model, mmproj : str or path-like
        The model: whatever `Describer` takes. It is downloaded if it is not here.
    name : str, optional
        What the model is to be called where the bundle is used; by default as here.
    cutouts : iterable of path-like, optional
        Files, and folders whose files are taken.
    settings : mapping, optional
        Options of `Describer` and of its methods, to be used with it.
    progress : callable, optional
        Called with what is done, the bytes done and the bytes in all. By default a bar is drawn on
        standard error where that is a terminal.

    Returns
    -------
    str
        The digest of the bundle: 64 hexadecimal digits to tell the receiver.

    Raises
    ------
    ModelNotFound, DownloadFailed
        The model is not here and cannot be brought.
    HashMismatch
        A file of the model is not what it should be.
    InvalidRequest
        A cutout is no file, or a setting is unknown.
    NotEnoughSpace, ModelError
        The bundle cannot be written.
    """
    from astrollava import models
    from astrollava.models.store import reporting

    kept = check_settings(settings or {})
    images = _collect(cutouts)
    files = models.resolve(model, mmproj, progress=progress)
    known = models.facts(files)
    called = _name(files, name, known.name)
    members = {f"model/{files.text.name}": files.text, f"model/{files.mmproj.name}": files.mmproj}
    if len(members) != 2:
        raise InvalidRequest(f"both files of the model are called {files.text.name}")
    members |= images
    expected = {
        f"model/{getattr(files, role).name}": models.store.expected(files, role)[0]
        for role in ("text", "mmproj")
    }
    size = sum(file.stat().st_size for file in members.values())
    listed: dict[str, dict[str, Any]] = {}
    with (
        reporting(progress) as report,
        whole_file(Path(path), size=size) as out,
        zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        done = 0
        for inside, file in members.items():
            with file.open("rb") as source:
                content, length = _copy(archive, inside, source, report, done, size)
            done += length
            if expected.get(inside) not in {None, content}:
                raise HashMismatch(
                    f"{file} changed since it was made: its SHA-256 is {content}",
                    expected=str(expected[inside]),
                    hint=f"Check it: astrollava models verify {files.name}",
                )
            listed[inside] = {"bytes": length, "sha256": content}
        manifest = {
            "astrollava_bundle": 1,
            "model": {
                "name": called,
                "licence": known.licence,
                "source": files.source if files.source.startswith("hf:") else None,
                "text": f"model/{files.text.name}",
                "mmproj": f"model/{files.mmproj.name}",
            },
            "settings": kept,
            "files": listed,
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
        archive.writestr(_member("bundle.json"), text)
    return hashlib.sha256(text).hexdigest()


def _name(files: ModelFiles, asked: str | None, own: str) -> str:
    from astrollava.models import catalog

    # What is called "embedded" there is what that installation has.
    name = asked or (own if files.source == "package" else files.name)
    entry = catalog.find(name)
    if entry is not None and not files.source.startswith(("hf:", "bundle")):
        raise InvalidRequest(
            f"the catalogue has another model {name!r}",
            hint="Give this one another name: name=..., or --name on the command line",
        )
    return name


def _collect(cutouts: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return path in the bundle -> file; equal names get a number."""
    found: list[Path] = []
    for given in cutouts:
        path = Path(given).expanduser()
        if path.is_dir():
            found += sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".")
        elif path.is_file():
            found.append(path)
        else:
            raise InvalidRequest(f"there is no file or folder {path}", expected="cutouts")
    taken: dict[str, Path] = {}
    folded: set[str] = set()
    for path in found:
        name, number = path.name, 1
        while name.casefold() in folded:
            number += 1
            stem, dot, rest = path.name.partition(".")
            name = f"{stem}-{number}{dot}{rest}"
        folded.add(name.casefold())
        taken[f"cutouts/{name}"] = path
    return taken


def _member(inside: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(inside, _DATE)
    info.external_attr = 0o644 << 16
    return info


def _copy(
    archive: zipfile.ZipFile,
    inside: str,
    source: BinaryIO,
    report: Progress,
    done: int,
    total: int,
) -> tuple[str, int]:
    taken = hashlib.sha256()
    length = 0
    with archive.open(_member(inside), "w", force_zip64=True) as target:
        while piece := source.read(_CHUNK):
            taken.update(piece)
            target.write(piece)
            length += len(piece)
            report("bundle", done + length, total)
    return taken.hexdigest(), length
