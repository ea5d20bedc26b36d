"""Model files on disk: bringing them here, holding them against their hashes, removing them.

Downloads go into the cache of the hub (``HF_HOME``), which other programs share.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

from astrollava._cache import cache_folder, whole_file
from astrollava.errors import (
    InvalidBundle,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    UnsupportedModel,
)

from . import _bundled, _hub, catalog
from ._bytes import open_model, read_ahead
from ._hf_names import PREFIX, HubName, choose_pair, parse
from ._hub_cache import RepositoryCache
from ._progress import Progress, reporting
from .catalog import ModelFiles, RemoteFile

__all__ = [
    "Progress",
    "Verified",
    "cached",
    "expected",
    "pull",
    "remove",
    "reporting",
    "sha256",
    "verify",
]

_CHUNK: Final = 1 << 22
#: Hashing less takes no longer than looking its hash up.
_WORTH_KEEPING: Final = 32 << 20
_SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True)
class Verified:
    """A file held against its hash.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        The hash it has.
    expected : str or None
        The hash it should have, or None where nothing says.
    by : str
        What says so: ``"catalogue"``, ``"hub"``, ``"bundle"``, ``"SHA256SUMS"`` or ``"nothing"``.
    """

    path: Path
    sha256: str
    expected: str | None
    by: str

    @property
    def sound(self) -> bool:
        """Whether it is what it should be; so is a file of which nothing is known."""
        return self.expected is None or self.sha256 == self.expected


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Parameters
    ----------
    path : path-like
        The file. Its hash is kept, for large files beyond the life of the process too, and taken
        anew when the file's size, inode or one of its times differs.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ModelNotFound
        There is no such file.
    InvalidModelFile
        It is not a file or cannot be read.
    """
    path = Path(path).absolute()
    file, size = open_model(path)
    with file:
        there = os.fstat(file.fileno())
        return _sha256(path, (size, there.st_mtime_ns, there.st_ctime_ns, there.st_ino))


@lru_cache(maxsize=64)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    if state[0] < _WORTH_KEEPING:
        return _hash(path, None)
    key = hashlib.sha256(repr((os.path.realpath(path), state)).encode()).hexdigest()
    kept = cache_folder("hashes", key)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = kept.read_text(encoding="ascii")
        if len(known) == 64:
            return known
    found = _hash(path, None)
    # A cache that cannot be written costs time, nothing else.
    with contextlib.suppress(ModelError), whole_file(kept) as file:
        file.write(found.encode())
    return found


def _hash(path: Path, progress: Progress | None) -> str:
    file, size = open_model(path)
    taken = hashlib.sha256()
    done = 0
    with file:
        for piece in _pieces(file):
            taken.update(piece)
            done += len(piece)
            if progress is not None:
                progress(path.name, done, size)
    return taken.hexdigest()


def _pieces(file: BinaryIO) -> Iterator[memoryview]:
    """Read a file while the piece before is being hashed: neither disk nor core waits."""
    buffers = [memoryview(bytearray(_CHUNK)) for _ in range(2)]
    read_ahead(file, 0, 4 * _CHUNK)
    with ThreadPoolExecutor(1) as reader:
        turn = done = 0
        coming = reader.submit(file.readinto, buffers[turn])  # type: ignore[attr-defined]
        while count := coming.result():
            piece = buffers[turn][:count]
            done += count
            read_ahead(file, done + 2 * _CHUNK, 2 * _CHUNK)
            turn = 1 - turn
            coming = reader.submit(file.readinto, buffers[turn])  # type: ignore[attr-defined]
            yield piece


def pull(name: str, *, progress: Progress | None = None) -> ModelFiles:
    """Bring a model here, if it is not here yet.

    What is already here is not downloaded again, and a download that broke off is continued.

    Parameters
    ----------
    name : str
        A name of the catalogue, or ``hf:owner/repository:QUANTIZATION``.
    progress : callable, optional
        Called with what is done, the bytes done and the bytes in all. By default a bar is drawn on
        standard error where that is a terminal.

    Returns
    -------
    ModelFiles
        The files, each with the hash it should have.

    Raises
    ------
    ModelNotFound
        There is no such model, or it has to be converted first.
    UnsupportedModel
        This release lacks what the model needs.
    DownloadFailed, HashMismatch, NotEnoughSpace
        The files could not be brought here.
    """
    here = cached(name)
    if here is not None:
        return here
    entry = catalog.find(name)
    if entry is not None and entry.unsupported:
        raise UnsupportedModel(
            f"{entry.name} needs {entry.unsupported}, which this release of astrollava lacks",
            hint="Nothing was downloaded. Choose another one: astrollava models list",
        )
    wanted = _remote(name)
    promises = {
        role: _hub.ask(wanted.repo, file, wanted.revision) for role, file in wanted.files.items()
    }
    root = RepositoryCache(wanted.repo).root
    _hub.require_space(root, sum(p.size for p in promises.values() if not _is_here(p)))
    with reporting(progress) as report:
        paths = {
            role: _hub.fetch(promise, report, revision=wanted.revision)
            for role, promise in promises.items()
        }
    return wanted.model(paths, promises["text"].commit)


def _is_here(promise: _hub.Promise) -> bool:
    return RepositoryCache(promise.repo).blob(promise.content).is_file()


@dataclass(frozen=True)
class _Remote:
    """A pair of files on the hub."""

    name: str
    repo: str
    revision: str | None
    files: dict[str, RemoteFile]
    licence: str | None

    def model(self, paths: dict[str, Path], commit: str) -> ModelFiles:
        source = f"hf:{self.repo}@{commit}"
        return ModelFiles(self.name, paths["text"], paths["mmproj"], self.licence, source)


def _remote(name: str) -> _Remote:
    """Find out what a name stands for, asking the hub for the files of ``hf:`` names."""
    if not _is_hub_name(name):
        return _of_catalogue(name)
    asked = parse(name)
    there = _hub.listing(asked.repo, asked.revision)
    files = choose_pair(asked, there.files)
    # Of one commit: a repository may change between two questions. What finds it again later is
    # the branch, which the cache then knows.
    return _Remote(name.strip(), asked.repo, asked.revision or "main", files, there.licence)


def _of_catalogue(name: str) -> _Remote:
    entry = catalog.get(name)
    if entry.repo is None:
        raise _no_pair(entry)
    return _Remote(entry.name, entry.repo, entry.revision, entry.files, entry.licence)


def _no_pair(entry: catalog.Entry) -> ModelNotFound:
    if entry.checkpoint is None:
        return ModelNotFound(f"{entry.name} is not on the hub", hint="It comes with astrollava")
    return ModelNotFound(
        f"there is no GGUF pair of {entry.name}: it is made from the checkpoint {entry.checkpoint}",
        hint=entry.next_step,
    )


def _is_hub_name(name: str) -> bool:
    return name.strip().lower().startswith(PREFIX)


def cached(name: str) -> ModelFiles | None:
    """Return the files of a model if both are here; nothing asks the network.

    Parameters
    ----------
    name : str
        A name of the catalogue, or ``hf:owner/repository:QUANTIZATION``.
    """
    wanted = _cached_pair(parse(name), name) if _is_hub_name(name) else None
    if not _is_hub_name(name):
        entry = catalog.get(name)
        if entry.repo is not None:
            wanted = _of_catalogue(name)
    if wanted is None:
        return None
    cache = RepositoryCache(wanted.repo)
    paths = {r: cache.find(f.file, wanted.revision, f.sha256) for r, f in wanted.files.items()}
    found = {role: path for role, path in paths.items() if path is not None}
    if len(found) != len(paths):
        return None
    commit = found["text"].relative_to(cache.folder / "snapshots").parts[0]
    return wanted.model(found, commit)


def _cached_pair(asked: HubName, name: str) -> _Remote | None:
    """Choose among the files that are here, as `pull` would among those on the hub."""
    if asked.quantization is None and not _hub.is_offline():
        return None
    names = RepositoryCache(asked.repo).names(asked.revision)
    with contextlib.suppress(ModelNotFound):
        files = choose_pair(asked, [RemoteFile(file) for file in names])
        return _Remote(name.strip(), asked.repo, asked.revision or "main", files, None)
    return None


def verify(files: ModelFiles, *, progress: Progress | None = None) -> Iterator[Verified]:
    """Hold the files of a model against the hashes they should have, reading every byte.

    Parameters
    ----------
    files : ModelFiles
        The model.
    progress : callable, optional
        As for `pull`.

    Yields
    ------
    Verified
        One for each file.
    """
    with reporting(progress) as report:
        for role, path in (("text", files.text), ("mmproj", files.mmproj)):
            known, by = expected(files, role)
            yield Verified(path, _hash(path, report), known, by)


def expected(files: ModelFiles, role: str) -> tuple[str | None, str]:
    """Return the SHA-256 a file should have, if anything says, and what says so.

    Parameters
    ----------
    files : ModelFiles
        The model.
    role : {"text", "mmproj"}
        Which of its files.

    Returns
    -------
    str or None
        64 hexadecimal digits.
    str
        ``"catalogue"``, ``"hub"``, ``"bundle"``, ``"SHA256SUMS"`` or ``"nothing"``.
    """
    path = files.text if role == "text" else files.mmproj
    if files.source.startswith(PREFIX):
        entry = catalog.find(files.name)
        known = entry.files[role].sha256 if entry is not None and entry.files else None
        if known:
            return known, "catalogue"
        named = RepositoryCache(parse(files.source).repo).content(path)
        return (named, "hub") if named and len(named) == 64 else (None, "nothing")
    folder = path.parent.parent
    with contextlib.suppress(OSError, InvalidBundle):
        text = (folder / _bundled.MANIFEST).read_bytes()
        listed = _bundled.read_manifest(text, str(folder)).files
        if (inside := f"{path.parent.name}/{path.name}") in listed:
            return listed[inside][1], "bundle"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in (path.parent / _SUMS).read_text(encoding="utf-8").splitlines():
            content, _, name = line.partition(" ")
            if name.strip().lstrip("*") == path.name:
                return content.lower(), _SUMS
    return None, "nothing"


def remove(name: str) -> int:
    """Remove the files of a model from this machine, and the copies made of its projector.

    Parameters
    ----------
    name : str
        A name of the catalogue, ``hf:owner/repository:QUANTIZATION``, or the name of a model that
        came on a bundle. Files given by a path are left to their owner.

    Returns
    -------
    int
        The bytes that were freed; content that other files of the cache share stays, and so does
        what somebody added to the folder of a bundle, or changed there.

    Raises
    ------
    ModelNotFound
        It is not here.
    InvalidRequest
        It belongs to the package.
    """
    bundled = _bundled.find(name)
    if bundled is not None:
        manifest = bundled[1]
        copies = _remove_copies({manifest.files[manifest.mmproj][1]})
        return copies + _bundled.discard(*bundled)
    entry = catalog.find(name)
    if entry is not None and entry.repo is None and entry.checkpoint is None:
        raise InvalidRequest(f"{entry.name} comes with astrollava", hint="Nothing was removed")
    if entry is None and not _is_hub_name(name):
        catalog.get(name)
    files = _removable(name)
    if files is None:
        raise ModelNotFound(f"{name} is not on this machine", hint="Nothing was removed")
    repo, names = files
    cache = RepositoryCache(repo)
    here = [path for name in names for path in (cache.folder / "snapshots").glob(f"*/{name}")]
    contents = {path: cache.content(path) or "" for path in here if path.is_file()}
    # The hub names large files by their SHA-256.
    copies = _remove_copies(
        {name if len(name) == 64 else sha256(path) for path, name in contents.items()}
    )
    return copies + sum(cache.discard(file) for file in names)


def _remove_copies(digests: set[str]) -> int:
    # Here, because `repair` stands on this module.
    from . import repair

    return sum(repair.discard(digest) for digest in digests)


def _removable(name: str) -> tuple[str, list[str]] | None:
    """Return the repository and the files of a model, those too that are here by half."""
    entry = catalog.find(name)
    if entry is not None and entry.repo is not None:
        cache = RepositoryCache(entry.repo)
        names = [f.file for f in entry.files.values()]
        begun = [cache.partial(f.sha256) for f in entry.files.values() if f.sha256]
        there = any(cache.find(f.file, entry.revision, f.sha256) for f in entry.files.values())
        for path in begun:
            there |= path.exists()
            path.unlink(missing_ok=True)
        return (entry.repo, names) if there else None
    if not _is_hub_name(name):
        return None
    asked = parse(name)
    wanted = _cached_pair(HubName(asked.repo, asked.quantization or None, asked.revision), name)
    return (wanted.repo, [f.file for f in wanted.files.values()]) if wanted else None
