"""Images of the sky from services that are slow, far away and not to be trusted.

`Fetcher` is what a plugin derives from, `http` how it asks. `fetch` puts around any fetcher what
all of them need: retries, a pause between requests, a cache on disk, and a record of where an
image came from.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrollava.hooks.fetching import http
    from astrollava.hooks.fetching.fetcher import Cutout, Fetcher
    from astrollava.hooks.fetching.footprint import (
        AllSky,
        Declinations,
        Footprint,
        GalacticLatitudes,
        Intersection,
        Moc,
        Union,
        Unknown,
    )

__all__ = [
    "AllSky",
    "Cutout",
    "Declinations",
    "Fetcher",
    "Footprint",
    "GalacticLatitudes",
    "Intersection",
    "Moc",
    "Union",
    "Unknown",
    "http",
]

_FOOTPRINT = "footprint"
_HOMES = {
    "AllSky": _FOOTPRINT,
    "Cutout": "fetcher",
    "Declinations": _FOOTPRINT,
    "Fetcher": "fetcher",
    "Footprint": _FOOTPRINT,
    "GalacticLatitudes": _FOOTPRINT,
    "Intersection": _FOOTPRINT,
    "Moc": _FOOTPRINT,
    "Union": _FOOTPRINT,
    "Unknown": _FOOTPRINT,
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        home = importlib.import_module(f"astrollava.hooks.fetching.{_HOMES[name]}")
        value = getattr(home, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'astrollava.hooks.fetching' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
