"""Writing a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
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
#: Endings of what `astrollava.images.read` can read, but for what it is packed with.
_IMAGES: Final = frozenset(
    {
        *(".fits", ".fit", ".fts", ".fz", ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff"),
        *(".gif", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx"),
    }
)
_PACKED: Final = frozenset({".gz", ".bz2", ".xz"})


def create(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] = "embedded",
    *,
    mmproj: str | os.PathLike[str] | None = None,
    name: str | None = None,
    cutouts: Iterable[str | os.PathLike[str]] = (),
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    left_out: Callable[[str], None] | None = None,
) -> str:
    """Write a model, cutouts and settings into one file.

    Parameters
    ----------
    path : path-like
        The bundle.
    model, mmproj : str or path-like
        The model: whatever `Describer` takes. It is downloaded if it is not here.
    name : str, optional
        What the model is to be called where the bundle is used: 1 to 64 letters, digits, dots,
        dashes and underscores, the first a letter or digit. By default as here, with dashes for
        what may not be in a name, and without the owner of a model of the hub.
    cutouts : iterable of path-like, optional
        Files, and folders whose images are taken: what by its ending is one that
        `astrollava.images.read` reads. Folders inside them are left out.
    settings : mapping, optional
        Options of `Describer` and of its methods, to be used with it.
    overwrite : bool, optional
        Whether an earlier bundle at `path` is replaced, when the new one is whole. A file that is
        no bundle is never replaced.
    progress : callable, optional
        Called with what is done, the bytes done and the bytes in all. By default a bar is drawn on
        standard error where that is a terminal.
    left_out : callable, optional
        Called with a sentence about what in the folders of `cutouts` was left out. By default that
        is a warning.

    Returns
    -------
    str
        The digest of the bundle: 64 hexadecimal digits to tell the receiver. It is the SHA-256 of
        the list of all files and their hashes, ``bundle.json``, not that of the bundle itself.

    Raises
    ------
    ModelNotFound, DownloadFailed
        The model is not here and cannot be brought.
    HashMismatch
        A file of the model is not what it should be.
    InvalidRequest
        There is a file at `path`; a cutout is no image by its ending, or a link that leads out of
        its folder; the name is no name, or a setting is unknown.
    NotEnoughSpace, ModelError
        The bundle cannot be written.
    """
    from astrollava import models
    from astrollava.models.store import reporting

    path = Path(path).expanduser()
    _require_free(path, overwrite=overwrite)
    kept = check_settings(settings or {})
    if name is not None:
        _require_name(name)
    images = _collect(cutouts, left_out or _warn)
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
        whole_file(path, size=size) as out,
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
        # It took a while; what came to be there meanwhile is not ours.
        _require_free(path, overwrite=overwrite)
    return hashlib.sha256(text).hexdigest()


def _require_free(path: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise InvalidRequest(
            f"{path} is there already",
            expected="a new file",
            hint="Give another name; overwrite=True, or --overwrite, replaces an earlier bundle",
        )
    if not _is_bundle(path):
        raise InvalidRequest(
            f"{path} is no bundle, and only a bundle is replaced", hint="Give another name"
        )


def _is_bundle(path: Path) -> bool:
    from astrollava.models._bundled import MANIFEST

    try:
        with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as file:
            return "astrollava_bundle" in json.loads(file.read(16 << 20))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, RuntimeError, EOFError):
        return False


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)


def _require_name(name: str) -> None:
    from astrollava.models._bundled import NAME_WORDS, is_name

    if not is_name(name):
        raise InvalidRequest(f"a model cannot be called {name!r}", expected=NAME_WORDS)


def _plain(name: str) -> str:
    """Make a name of what a model is called here, which may be of the hub or of a folder."""
    last = name.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("._-")[:64] or "model"


def _name(files: ModelFiles, asked: str | None, own: str) -> str:
    from astrollava.models import catalog

    # What is called "embedded" there is what that installation has.
    name = asked or _plain(own if files.source == "package" else files.name)
    entry = catalog.find(name)
    if entry is not None and not files.source.startswith(("hf:", "bundle")):
        raise InvalidRequest(
            f"the catalogue has another model {name!r}",
            hint="Give this one another name: name=..., or --name on the command line",
        )
    return name


def _collect(
    cutouts: Iterable[str | os.PathLike[str]], left_out: Callable[[str], None]
) -> dict[str, Path]:
    """Return path in the bundle -> file; equal names get a number."""
    found: list[Path] = []
    for given in cutouts:
        path = Path(given).expanduser()
        if path.is_dir():
            found += _images_in(path, left_out)
        elif not path.is_file():
            raise InvalidRequest(
                f"there is no file or folder {path}",
                expected="cutouts",
                hint="One of an object or a position is made first: astrollava fetch",
            )
        elif not _is_image(path):
            raise InvalidRequest(
                f"the cutout {path} is no image by its ending",
                expected="FITS (also .gz, .bz2, .xz, .fz), PNG, JPEG, TIFF, ...",
            )
        else:
            found.append(path)
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


def _images_in(folder: Path, left_out: Callable[[str], None]) -> list[Path]:
    inside = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    folders = [path for path in inside if path.is_dir()]
    files = [path for path in inside if not path.is_dir()]
    images = [path for path in files if _is_image(path) and path.is_file()]
    for path in images:
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidRequest(
                f"{path} is a link that leads out of its folder, to {path.resolve()}",
                hint="Give that file itself, if it is to go with the bundle",
            )
    others = [path for path in files if path not in images]
    if others:
        left_out(f"left out of {folder}, as no images by their endings: {_listed(others)}")
    if folders:
        left_out(f"left out of {folder}, as folders inside it: {_listed(folders)}")
    return images


def _is_image(path: Path) -> bool:
    *_, before, last = ("", "", *(suffix.lower() for suffix in path.suffixes))
    return last in _IMAGES or (last in _PACKED and before in _IMAGES)


def _listed(paths: list[Path]) -> str:
    more = f" and {len(paths) - 20} more" if len(paths) > 20 else ""
    return ", ".join(path.name for path in paths[:20]) + more


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
