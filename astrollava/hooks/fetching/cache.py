"""Fetched images on disk, for processes to come and processes beside this one; never failures."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from os import PathLike
from typing import TYPE_CHECKING, Final

from astrollava._cache import Shelf, cache_folder
from astrollava.hooks.fetching._stored import encode, load
from astrollava.images import SkyImage

if TYPE_CHECKING:
    from astrollava.hooks.fetching.fetcher import Cutout, Fetcher

__all__ = ["LIMIT_BYTES", "CutoutCache", "cutout_key", "found_again", "shared_cache", "tell_found"]

#: Raised whenever a stored image, or what a key is made of, changes.
_FORMAT: Final = 3
_SUFFIX: Final = ".cutout"

#: What fetched images may take on disk; those used longest ago are removed.
LIMIT_BYTES: Final = 2 << 30


_found: ContextVar[list[str] | None] = ContextVar("astrollava_found", default=None)


@contextmanager
def found_again() -> Iterator[list[str]]:
    """Collect the keys of the images that `fetch` finds on disk within, instead of asking."""
    keys: list[str] = []
    token = _found.set(keys)
    try:
        yield keys
    finally:
        _found.reset(token)


def tell_found(key: str) -> None:
    """Say to whoever collects them that an image was found."""
    keys = _found.get()
    if keys is not None:
        keys.append(key)


def cutout_key(fetcher: Fetcher, wanted: Cutout) -> str:
    """Return the name of a cutout's entry, in hexadecimal.

    It is made of the fetcher's name, version and parameters, of the distribution that its plugin
    came in and the version of that, and of the position (to 0.04 milliarcseconds), size, pixels and
    bands wanted.

    Parameters
    ----------
    fetcher : Fetcher
        Whom it is fetched from.
    wanted : Cutout
        What is wanted.
    """
    from astrollava.hooks.manager import offer_of

    offer = offer_of("fetchers", fetcher)
    said = [
        _FORMAT,
        # Who mends a plugin raises the version of its distribution, and thinks of no other.
        None if offer is None else [offer.distribution, offer.version],
        fetcher.name,
        fetcher.version,
        dict(fetcher.parameters),
        f"{wanted.ra % 360.0:.8f}",
        f"{wanted.dec:.8f}",
        f"{float(wanted.size.to_value('arcsec')):.6f}",
        wanted.pixels,
        wanted.bands,
    ]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class CutoutCache:
    """Images in a folder that any number of processes may share.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    limit_bytes : int
        Bytes of all images in it; those used longest ago are removed.
    """

    def __init__(self, folder: str | PathLike[str], limit_bytes: int = LIMIT_BYTES) -> None:
        self._shelf = Shelf(folder, _SUFFIX, limit_bytes, what="fetched images")

    def get(self, key: str) -> SkyImage | None:
        """Return an image, or None; a file that is damaged or cut short is removed."""
        try:
            with self._shelf.opened(key) as (file, size):
                image = load(file, size) if size <= self._shelf.limit_bytes else None
        except OSError:
            return None
        if image is None:
            self._shelf.remove(key)
        else:
            self._shelf.used(key)
        return image

    def put(self, key: str, image: SkyImage) -> None:
        """Keep an image, and make room for it; one that cannot be kept to the last bit is not."""
        parts = encode(image)
        if parts is not None:
            self._shelf.write(key, *parts)


def shared_cache(folder: str | PathLike[str] | None = None) -> CutoutCache:
    """Return the cache in a folder, by default in the user's cache folder."""
    return _cache_in(str(cache_folder("cutouts") if folder is None else folder))


@functools.lru_cache(maxsize=16)
def _cache_in(folder: str) -> CutoutCache:
    return CutoutCache(folder)
