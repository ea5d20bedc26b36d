"""Unpacking a bundle, which may be damaged, altered or hostile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from astrollava.errors import InvalidBundle, InvalidRequest, ModelError, NotEnoughSpace

from ._settings import DESCRIBER, REQUEST, check_settings

if TYPE_CHECKING:
    from astrollava.describer import Describer
    from astrollava.models import ModelFiles
    from astrollava.models._bundled import Manifest
    from astrollava.models.store import Progress

__all__ = ["Bundle", "use"]

_CHUNK: Final = 1 << 22
_SPARE: Final = 16 << 20
_MOST_FILES: Final = 100_001
_LONGEST_MANIFEST: Final = 16 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle that was unpacked.

    Attributes
    ----------
    folder : Path
        Where it is.
    model : ModelFiles
        The model.
    cutouts : tuple of Path
        The images.
    settings : mapping
        The options it came with.
    digest : str
        The SHA-256 of its manifest, which stands for all of it.
    """

    folder: Path
    model: ModelFiles
    cutouts: tuple[Path, ...]
    settings: Mapping[str, Any]
    digest: str

    @property
    def options(self) -> dict[str, Any]:
        """The settings for `Describer.describe` and the like."""
        return {name: value for name, value in self.settings.items() if name in REQUEST}

    def describer(self, **changes: Any) -> Describer:
        """Return a `Describer` of the model, with the settings of the bundle.

        Parameters
        ----------
        **changes
            Options of `Describer` that go before those of the bundle.
        """
        from astrollava.describer import Describer

        own = {name: value for name, value in self.settings.items() if name in DESCRIBER}
        return Describer(self.model.text, mmproj=self.model.mmproj, **{**own, **changes})


def use(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    digest: str | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Unpack a bundle, so that its model can be called by its name without a network.

    Parameters
    ----------
    path : path-like
        The bundle.
    folder : path-like, optional
        Where to unpack it; by default a folder of the cache, where `Describer` finds it by the
        model's name. It has to be new or empty; where this very bundle is unpacked already, it is
        checked and used as it is.
    digest : str, optional
        What `create` returned. With it a bundle that somebody put in the place of the one that was
        sent is refused, too.
    progress : callable, optional
        As for `create`.

    Returns
    -------
    Bundle
        What is in it; every file has the hash it should have.

    Raises
    ------
    InvalidBundle
        It is damaged, was altered, holds something else than it lists or would write outside its
        folder. Nothing of it is kept.
    InvalidRequest
        There is no such file, or the folder holds something else, be it another bundle of a model
        of that name. Nothing in it is touched.
    NotEnoughSpace, ModelError
        It cannot be unpacked here.
    """
    from astrollava.models._bundled import MANIFEST, folder_of, read_manifest
    from astrollava.models.store import reporting

    path = Path(path).expanduser()
    if not path.is_file():
        what = (
            f"{path} is no bundle, but a folder" if path.is_dir() else f"there is no bundle {path}"
        )
        raise InvalidRequest(what, expected="a .zip file")
    with _readable(path) as archive:
        text = _manifest_text(archive, path)
        found = hashlib.sha256(text).hexdigest()
        if digest is not None and digest.strip().lower() != found:
            raise InvalidBundle(
                f"{path} is another bundle than the one that was sent: its digest is {found}",
                expected=digest,
            )
        manifest = read_manifest(text, str(path))
        settings = _settings(manifest, path)
        members = _members(archive, manifest, path)
        _check_name(manifest, path)
        target = Path(folder).expanduser() if folder is not None else folder_of(manifest.name)
        there = Path(os.path.realpath(target))
        with reporting(progress) as report:
            if not _is_there(there, manifest, found, report):
                _require_space(there, sum(size for size, _ in manifest.files.values()))
                with _new_folder(there) as fresh:
                    _unpack(archive, manifest, members, fresh, path, report)
                    (fresh / MANIFEST).write_bytes(text)
                    # Another process may have put the same bundle there meanwhile.
                    if not _take_place(fresh, there):
                        _is_there(there, manifest, found, report)
    return Bundle(target, manifest.model(target), manifest.cutouts(target), settings, found)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeError) as error:
        raise InvalidBundle(
            f"{path} is no whole bundle: {error}", hint="Copy it again, or make it again"
        ) from None
    except OSError as error:
        raise ModelError(f"the bundle {path} cannot be unpacked: {error}") from error


def _manifest_text(archive: zipfile.ZipFile, path: Path) -> bytes:
    from astrollava.models._bundled import MANIFEST

    infos = [info for info in archive.infolist() if info.filename == MANIFEST]
    if len(infos) != 1:
        raise InvalidBundle(
            f"{path} is a zip file without a manifest",
            expected="a file made by: astrollava bundle create",
        )
    _check_stored(infos[0], path)
    if infos[0].file_size > _LONGEST_MANIFEST:
        raise InvalidBundle(f"the manifest of {path} has {infos[0].file_size} bytes")
    with archive.open(infos[0]) as file:
        return file.read(_LONGEST_MANIFEST)


def _check_stored(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse what could unpack to more than it is: bundles are not compressed."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise InvalidBundle(f"{info.filename!r} in {path} is compressed; no bundle is")
    if info.flag_bits & 0x1:
        raise InvalidBundle(f"{info.filename!r} in {path} is encrypted; no bundle is")


def _members(
    archive: zipfile.ZipFile, manifest: Manifest, path: Path
) -> dict[str, zipfile.ZipInfo]:
    """Return path in the bundle -> entry, if the archive holds what is listed and nothing else."""
    from astrollava.models._bundled import MANIFEST

    infos = archive.infolist()
    if len(infos) > _MOST_FILES:
        raise InvalidBundle(f"{path} holds {len(infos)} files")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename == MANIFEST:
            continue
        if info.filename not in manifest.files:
            raise InvalidBundle(f"{path} holds {info.filename!r}, which it does not list")
        if info.filename in members:
            raise InvalidBundle(f"{path} holds {info.filename!r} twice")
        _check_stored(info, path)
        size = manifest.files[info.filename][0]
        if info.file_size != size:
            raise InvalidBundle(
                f"{info.filename!r} in {path} has {info.file_size} bytes", expected=f"{size}"
            )
        members[info.filename] = info
    missing = manifest.files.keys() - members.keys()
    if missing:
        raise InvalidBundle(f"{path} lacks {min(missing)!r}, which it lists")
    # Parts that overlap would unpack to more than the file.
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise InvalidBundle(f"{path} claims to hold more than it is long")
    return members


def _settings(manifest: Manifest, path: Path) -> dict[str, Any]:
    try:
        return check_settings(manifest.settings)
    except InvalidRequest as error:
        raise InvalidBundle(
            f"the settings of {path} cannot be used: {error}", hint="Update astrollava"
        ) from None


def _check_name(manifest: Manifest, path: Path) -> None:
    """Refuse a bundle that calls something by the name of a model of the catalogue it is not."""
    from astrollava.models import catalog

    entry = catalog.find(manifest.name)
    if entry is None:
        return
    files = {"text": manifest.text, "mmproj": manifest.mmproj}
    for role, inside in files.items():
        known = entry.files[role].sha256 if entry.files else None
        if manifest.files[inside][1] != known and (known is not None or not entry.files):
            raise InvalidBundle(
                f"{path} calls its model {entry.name!r}, but holds another {role} file",
                expected=f"SHA-256 {known}" if known else "another name",
                hint="Do not use it unless you know who made it and why",
            )


def _require_space(target: Path, size: int) -> None:
    there = next(p for p in (target, *target.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(there).free
    if free < size + _SPARE:
        raise NotEnoughSpace(
            f"the bundle needs {size / 1e6:.0f} MB and {there} has {free / 1e6:.0f} MB left",
            hint="Unpack it elsewhere: -o FOLDER, or set ASTROLLAVA_CACHE",
        )


def _is_there(target: Path, manifest: Manifest, digest: str, report: Progress) -> bool:
    """Tell whether this very bundle is unpacked there; refuse a folder that holds anything else."""
    from astrollava.models import _bundled

    if not target.exists():
        return False
    if not target.is_dir():
        raise InvalidRequest(f"{target} is a file", expected="a new or empty folder")
    if not any(target.iterdir()):
        return False
    _refuse_other(target, manifest, digest)
    total = sum(size for size, _ in manifest.files.values())
    done = 0
    for inside, changed in _bundled.altered(target, manifest):
        if changed:
            raise InvalidRequest(
                f"{target} holds this bundle already, but its {inside} is missing or was changed",
                hint="Nothing was touched. Move that folder away, or unpack elsewhere: -o DIR",
            )
        done += manifest.files[inside][0]
        report("verify", done, total)
    return True


def _refuse_other(target: Path, manifest: Manifest, digest: str) -> None:
    from astrollava.models import _bundled

    text = b""
    with contextlib.suppress(OSError):
        text = (target / _bundled.MANIFEST).read_bytes()
    there = hashlib.sha256(text).hexdigest()
    if there == digest:
        return
    other = None
    with contextlib.suppress(InvalidBundle):
        other = _bundled.read_manifest(text, str(target))
    if other is None:
        raise InvalidRequest(
            f"{target} holds other things",
            expected="a new or empty folder, or this very bundle's",
            hint="Nothing in it was touched. Unpack elsewhere: -o DIR",
        )
    kept = target == Path(os.path.realpath(_bundled.folder_of(other.name)))
    first = f"Remove that first: astrollava models remove {other.name}. Or unpack" if kept else ""
    raise InvalidRequest(
        f"{target} holds another bundle, of {other.name}: its digest is {there}, and that of this "
        f"one, of {manifest.name}, is {digest}",
        hint=f"Nothing in it was touched. {first or 'Unpack'} elsewhere: -o DIR",
    )


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that vanishes, if it did not take its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _take_place(fresh: Path, target: Path) -> bool:
    """Rename a folder to what is new or empty; the system refuses that for anything else."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            # There, even an empty folder is in the way. One that is not stays.
            with contextlib.suppress(FileNotFoundError):
                target.rmdir()
        fresh.rename(target)
        return True
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        raise ModelError(
            f"{target} cannot be made or replaced",
            hint="Unpack into a new folder inside or beside it: -o DIR",
        )
    return False


def _unpack(
    archive: zipfile.ZipFile,
    manifest: Manifest,
    members: Mapping[str, zipfile.ZipInfo],
    folder: Path,
    path: Path,
    report: Progress,
) -> None:
    total = sum(size for size, _ in manifest.files.values())
    done = 0
    for name in ("model", "cutouts"):
        (folder / name).mkdir()
    for inside, (size, content) in manifest.files.items():
        taken = hashlib.sha256()
        with archive.open(members[inside]) as source, (folder / inside).open("xb") as out:
            left = size
            while left > 0 and (piece := source.read(min(left, _CHUNK))):
                taken.update(piece)
                out.write(piece)
                left -= len(piece)
                done += len(piece)
                report("unpack", done, total)
            out.flush()
            os.fsync(out.fileno())
        if left or taken.hexdigest() != content:
            raise InvalidBundle(
                f"{inside} in {path} was altered or damaged: its SHA-256 is {taken.hexdigest()}",
                expected=content,
                hint="Copy the bundle again, or make it again",
            )
