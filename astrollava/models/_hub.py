"""The hub: which files a repository has, and bringing one into the cache, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astrollava.errors import (
    AstrollavaError,
    DownloadFailed,
    HashMismatch,
    InvalidRequest,
    ModelNotFound,
    NotEnoughSpace,
)

from ._hub_cache import RepositoryCache, is_hash, safe_name
from ._part import Part
from ._progress import Progress
from ._unreachable import WITHOUT_NETWORK, unreachable
from .catalog import RemoteFile

__all__ = ["Listing", "Promise", "ask", "fetch", "is_offline", "listing", "require_space"]

_log = logging.getLogger("astrollava")

#: Left free on a disk: a full one breaks more than this library.
_SPARE: Final = 64 << 20
#: More files than any repository of models has; a listing is untrusted.
_MOST_FILES: Final = 20_000
#: Seconds to wait after each trouble in a row; a piece that comes starts the row again.
_WAITS: Final = (1.0, 2.0, 4.0, 8.0)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Promise:
    """What the hub says of a file before any of it comes.

    Attributes
    ----------
    repo, file, commit : str
        Which file, of which commit.
    content : str
        Its hash.
    size : int
        Its bytes.
    url : str
        Where it is.
    """

    repo: str
    file: str
    commit: str
    content: str
    size: int
    url: str


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit.

    Attributes
    ----------
    commit : str
        The commit.
    files : tuple of RemoteFile
        Its files, with size and hash where the hub tells them.
    licence : str or None
        The licence in the repository's card.
    """

    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None


def is_offline() -> bool:
    """Say whether ``HF_HUB_OFFLINE`` forbids to ask the hub.

    Raises
    ------
    InvalidRequest
        ``HF_ENDPOINT`` is no address: the hub's client cannot even be imported then.
    """
    try:
        from huggingface_hub import constants
    except ValueError as error:
        raise InvalidRequest(
            f"HF_ENDPOINT is {os.environ.get('HF_ENDPOINT')!r} ({error})",
            expected="the address of a hub: https://...",
            hint="Unset it for Hugging Face's own",
        ) from error

    return bool(constants.HF_HUB_OFFLINE)


def listing(repo: str, revision: str | None = None) -> Listing:
    """Ask for the files of a repository.

    Raises
    ------
    ModelNotFound
        There is no such repository or revision, or it is closed to this user.
    DownloadFailed
        The hub cannot be reached or does not make sense.
    """
    from huggingface_hub import HfApi, constants

    with _translated(repo):
        info = HfApi(endpoint=constants.ENDPOINT).model_info(
            repo,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    if not is_hash(info.sha) or len(info.siblings or ()) > _MOST_FILES:
        raise DownloadFailed(f"what the hub says of {repo} does not make sense")
    assert info.sha is not None
    card: Any = info.card_data
    licence = card.get("license") if card is not None else None
    return Listing(
        commit=info.sha,
        files=tuple(_remote(sibling) for sibling in info.siblings or ()),
        licence=licence if isinstance(licence, str) else None,
    )


def _remote(sibling: Any) -> RemoteFile:
    stored = sibling.lfs
    content = getattr(stored, "sha256", None)
    return RemoteFile(
        file=sibling.rfilename,
        bytes=sibling.size if isinstance(sibling.size, int) else None,
        sha256=content if isinstance(content, str) and _SHA256.fullmatch(content) else None,
    )


def ask(repo: str, file: RemoteFile, revision: str | None = None) -> Promise:
    """Ask what a file will be.

    Parameters
    ----------
    repo : str
        ``"owner/name"``.
    file : RemoteFile
        The file, with the hash it must have where it is known.
    revision : str, optional
        A commit, branch or tag; ``main`` by default.

    Raises
    ------
    ModelNotFound
        There is no such repository, revision or file, or it is closed to this user.
    HashMismatch
        The hub has another file under that name than the one that was asked for.
    DownloadFailed
        The hub cannot be reached or does not make sense.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    name = safe_name(file.file)
    with _translated(repo, name):
        url = hf_hub_url(repo, name, revision=revision or "main", endpoint=constants.ENDPOINT)
        said = get_hf_file_metadata(
            url, timeout=constants.HF_HUB_ETAG_TIMEOUT, endpoint=constants.ENDPOINT
        )
    content, commit, size = said.etag, said.commit_hash, said.size
    if not is_hash(content) or not is_hash(commit) or size is None:
        raise DownloadFailed(
            f"what answers for {url} is no hub: it gives no commit, hash and size",
            hint="Check HF_ENDPOINT, and whether a proxy answers in the hub's place",
        )
    assert content is not None
    assert commit is not None
    if (file.sha256 and file.sha256 != content) or (file.bytes and file.bytes != size):
        raise HashMismatch(
            f"{repo} now has another {name} ({size} bytes, {content}) than the one that is known",
            expected=f"{file.bytes or 'any number of'} bytes, SHA-256 {file.sha256 or 'any'}",
            hint="Nothing was downloaded. The repository was changed: report it to astrollava",
        )
    where = hf_hub_url(repo, name, revision=commit, endpoint=constants.ENDPOINT)
    return Promise(repo, name, commit, content, size, where)


def fetch(promise: Promise, progress: Progress, *, revision: str | None = None) -> Path:
    """Bring a file into the cache, unless it is there.

    What came of it before is continued. The file gets its name only when it is whole and has the
    hash that was promised. Of several processes one downloads and the others wait for it.

    Parameters
    ----------
    promise : Promise
        What was asked for by `ask`.
    progress : callable
        Told about every piece.
    revision : str, optional
        The branch or tag that was asked for, to find the file by later; ``main`` by default.

    Raises
    ------
    NotEnoughSpace, DownloadFailed, HashMismatch
    """
    from huggingface_hub.utils import WeakFileLock

    cache = RepositoryCache(promise.repo)
    blob = cache.blob(promise.content)
    with _translated(promise.repo, promise.file):
        if not blob.is_file():
            lock = cache.lock(promise.content)
            lock.parent.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(lock):
                # Another process may have been the first.
                if not blob.is_file():
                    _download(promise, blob, cache.partial(promise.content), progress)
        path = cache.link(promise.file, promise.commit, promise.content)
        cache.refer(revision or "main", promise.commit)
    return path


def require_space(folder: Path, size: int) -> None:
    """Raise `NotEnoughSpace` if `size` bytes do not fit on the disk that `folder` will be on."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < size + _SPARE:
        raise NotEnoughSpace(
            f"{size / 1e6:.0f} MB are to come and {there} has {free / 1e6:.0f} MB left",
            hint="Free some, or set HF_HOME to a folder on another disk",
        )


def _download(promise: Promise, blob: Path, partial: Path, progress: Progress) -> None:
    step = promise.file.rsplit("/", 1)[-1]
    with Part(partial, promise.size, promise.content, step=step, progress=progress) as part:
        resumed = part.done
        require_space(partial.parent, promise.size - resumed)
        if resumed:
            _log.info("continuing %s at byte %d of %d", step, resumed, promise.size)
        _get(promise, part)
        if not part.sound and resumed:
            # What was there from before may have been what is wrong.
            _log.warning("%s has not its hash: downloading it again from the beginning", step)
            part.discard()
            _get(promise, part)
        if not part.sound:
            part.discard()
            raise HashMismatch(
                f"what came for {promise.file} of {promise.repo} has another hash than promised",
                expected=f"the hash {promise.content}",
                hint="Nothing of it was kept. Try again, and from another network if it stays so",
            )
        part.finish(blob)


def _get(promise: Promise, part: Part) -> None:
    """Bring what is missing, going on after troubles that pass.

    `huggingface_hub.file_download.http_get` is not used: it keeps nothing of the last ten megabytes
    when a connection breaks, and since version 2 nothing at all when the process ends.
    """
    waits = iter(_WAITS)
    while part.done < promise.size:
        before = part.done
        try:
            _stream(promise, part)
        except Exception as error:
            if part.done > before:
                waits = iter(_WAITS)
            wait = next(waits, None)
            if wait is None or not _passes(error):
                raise
            _log.warning(
                "%s broke off at byte %d of %d (%s): going on",
                promise.file,
                part.done,
                promise.size,
                _first_line(error),
            )
            time.sleep(wait)


def _stream(promise: Promise, part: Part) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    # Compressed, the bytes could not be counted.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if part.done:
        headers["Range"] = f"bytes={part.done}-"
    with get_session().stream(
        "GET",
        promise.url,
        headers=headers,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        follow_redirects=True,
    ) as response:
        hf_raise_for_status(response)
        if part.done and response.status_code != 206:
            part.discard()
        # As it comes: a size asked for here would be kept back, and lost with the connection.
        for piece in response.iter_raw():
            part.write(piece)
    if part.done < promise.size:
        raise DownloadFailed(
            f"{promise.file} of {promise.repo} ended at byte {part.done} of {promise.size}",
            hint="What came is kept: the same command goes on from there",
        )


def _passes(error: Exception) -> bool:
    """Say whether the same request may succeed a moment later."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in {408, 429, 500, 502, 503, 504}
    # The HTTP library behind huggingface_hub is its own choice: httpx, httpx2.
    return type(error).__module__.startswith("httpx")


@contextlib.contextmanager
def _translated(repo: str, file: str = "") -> Iterator[None]:
    """Turn what the hub's client raises into errors that say what to do."""
    from huggingface_hub import constants, errors

    what = f"{file} of {repo}" if file else repo
    try:
        yield
    except AstrollavaError:
        raise
    except errors.OfflineModeIsEnabled:
        raise DownloadFailed(
            f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub",
            hint=f"Unset HF_HUB_OFFLINE where there is a network. {WITHOUT_NETWORK}",
        ) from None
    except errors.GatedRepoError as error:
        raise ModelNotFound(
            f"{repo} is open only to who accepts its terms",
            hint=f"Accept them on its page, then: hf auth login ({_first_line(error)})",
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ModelNotFound(
            f"the hub has no repository {repo!r} that this user may see",
            expected="owner/repository",
            hint="Check the name; for a private one: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelNotFound(f"{repo} has no such revision", expected="a commit or branch") from None
    except errors.EntryNotFoundError:
        raise ModelNotFound(f"{repo} has no file {file!r}") from None
    except Exception as error:
        # The client's transport errors are those of its own HTTP library, which is its business.
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NotEnoughSpace(
                f"the disk is full: {error}", hint="Free some, then go on by the same command"
            ) from error
        if (nobody := unreachable(error, what, constants.ENDPOINT)) is not None:
            raise nobody from error
        raise DownloadFailed(
            f"{what} cannot be downloaded: {_first_line(error)}",
            hint="What came is kept: the same command goes on from there",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
