"""Published data, downloaded once: never more than was announced, and nothing without its hash."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from astrollava._cache import cache_folder
from astrollava.errors import DownloadFailed, HashMismatch
from astrollava.models._hub import require_space
from astrollava.models._part import Part, TooLong
from astrollava.models._progress import reporting

__all__ = ["PUBLISHED", "Published", "fetch"]

_TIMEOUT: Final = 60.0  # seconds without a byte
_WAITS: Final = (1.0, 4.0)
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Published:
    """A file somebody publishes.

    Attributes
    ----------
    url : str
        Where it is.
    name : str
        What it is called here.
    size : int
        Its bytes; 0 where `listing` tells.
    sha256 : str
        Its hash; empty where `listing` tells.
    listing : str
        Address of a listing of the Hugging Face hub's API that tells size and hash.
    """

    url: str
    name: str
    size: int = 0
    sha256: str = ""
    listing: str = ""


_HUB_FILE: Final = "data/test-00000-of-00001-cef82967b9d8e57e.parquet"

#: What `fetch` can bring, by the name users give. The hashes of the HDF5 files are those that
#: astroNN (Leung & Bovy) publishes with them.
PUBLISHED: Final[Mapping[str, Published]] = {
    "galaxy10-decals": Published(
        "https://zenodo.org/records/10845026/files/Galaxy10_DECals.h5",
        "Galaxy10_DECals.h5",
        sha256="19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571",
    ),
    "galaxy10-sdss": Published(
        "https://zenodo.org/records/10844811/files/Galaxy10.h5",
        "Galaxy10.h5",
        210_234_548,
        "969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af",
    ),
    "galaxy10-decals-test": Published(
        f"https://huggingface.co/datasets/matthieulel/galaxy10_decals/resolve/main/{_HUB_FILE}",
        "test-galaxy10_decals.parquet",
        listing="https://huggingface.co/api/datasets/matthieulel/galaxy10_decals?blobs=true",
    ),
}

#: More than any of these files has: bounds what a wrong answer may write.
_LARGEST: Final = 8 << 30
_LONGEST_LISTING: Final = 16 << 20


def fetch(published: Published, *, mirror: str | None = None, folder: Path | None = None) -> Path:
    """Bring a published file into the cache, unless it is there.

    What came of it before is continued. The file gets its name only when it is whole and has its
    hash; a file that has the name is not hashed again, since the report hashes what it reads.

    Parameters
    ----------
    published : Published
    mirror : str, optional
        ``"https://host"`` that has the same paths.
    folder : pathlib.Path, optional
        Where it is kept; ``data`` in the cache of astrollava by default.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DownloadFailed
        It cannot be reached, or broke off; what came is kept.
    HashMismatch
        What came is another file.
    NotEnoughSpace
        There is no room for it.
    """
    path = (folder or cache_folder("data")) / published.name
    if path.is_file():
        return path
    if published.listing:
        published = _announced(published, mirror)
    url = _at(published.url, mirror)
    with _explained(url):
        size = published.size or _length(url)
        require_space(path.parent, size)
        partial = path.with_name(f"{path.name}.part")
        with (
            reporting(None) as progress,
            Part(partial, size, published.sha256, step=path.name, progress=progress) as part,
        ):
            waits = iter(_WAITS)
            while part.done < size:
                before = part.done
                try:
                    _stream(url, part, size)
                except (OSError, HTTPException) as error:
                    wait = next(waits, None)
                    if wait is None or _is_final(error):
                        raise
                    if part.done > before:
                        waits = iter(_WAITS)
                    time.sleep(wait)
            if not part.sound:
                part.discard()
                raise HashMismatch(
                    f"what came from {url} has another hash than published",
                    expected=f"SHA-256 {published.sha256}",
                    hint="Nothing of it was kept. Try again, or from another network",
                )
            part.finish(path)
    return path


def _at(url: str, mirror: str | None) -> str:
    if mirror is None:
        return url
    parts = urlsplit(url)
    return mirror.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def _announced(published: Published, mirror: str | None) -> Published:
    """Ask the hub for size and hash of a file."""
    url = _at(published.listing, mirror)
    with _explained(url), _open(url) as answer:
        said: Any = json.loads(answer.read(_LONGEST_LISTING))
        wanted = published.url.partition("/resolve/main/")[2]
        size, content = _listed(said, wanted)
    if not isinstance(size, int) or not isinstance(content, str) or len(content) != 64:
        raise DownloadFailed(
            f"{url} tells neither size nor hash of {wanted}",
            hint="The data may have moved: download the file yourself and name its path",
        )
    return replace(published, size=size, sha256=content)


def _listed(said: Any, wanted: str) -> tuple[Any, Any]:
    """Return size and hash of a file as a listing tells them; None for what it does not."""
    files = said.get("siblings") if isinstance(said, dict) else None
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and file.get("rfilename") == wanted:
            stored = file.get("lfs")
            if isinstance(stored, dict):
                return stored.get("size"), stored.get("sha256")
    return None, None


def _length(url: str) -> int:
    with _open(url, method="HEAD") as answer:
        size = int(answer.headers.get("Content-Length") or 0)
    if not 0 < size <= _LARGEST:
        raise DownloadFailed(f"{url} announces {size} bytes", expected=f"up to {_LARGEST}")
    return size


def _stream(url: str, part: Part, size: int) -> None:
    headers = {"Range": f"bytes={part.done}-"} if part.done else {}
    with _open(url, headers) as answer:
        if part.done and answer.status != 206:
            part.discard()
        while piece := answer.read(_CHUNK):
            part.write(piece)
    if part.done < size:
        # Read in pieces, an answer cut short looks like one that ended.
        raise IncompleteRead(b"", size - part.done)


def _open(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadFailed(f"{url} is no address on the web", expected="https://…")
    # Compressed, the bytes could not be counted.
    sent = {"User-Agent": "astrollava", "Accept-Encoding": "identity", **(headers or {})}
    request = urllib.request.Request(url, headers=sent, method=method)  # noqa: S310 - checked above
    return urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310


def _is_final(error: Exception) -> bool:
    """Whether the same request would fail again."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code not in (408, 429, 500, 502, 503, 504)
    return isinstance(error, TooLong)


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise DownloadFailed(
            f"{url} cannot be downloaded: {error}",
            hint="What came is kept: the same command goes on from there. Without a network, name"
            " the path of a copy",
        ) from error
