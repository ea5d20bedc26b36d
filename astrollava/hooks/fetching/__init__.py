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
    from astrollava.hooks.fetching.choosing import Choice, choose
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
    from astrollava.hooks.fetching.getting import fetch
    from astrollava.hooks.fetching.reading import read_answer
    from astrollava.hooks.fetching.targets import Target, locate
    from astrollava.hooks.fetching.uniform import uniform

__all__ = [
    "AllSky",
    "Choice",
    "Cutout",
    "Declinations",
    "Fetcher",
    "Footprint",
    "GalacticLatitudes",
    "Intersection",
    "Moc",
    "Target",
    "Union",
    "Unknown",
    "choose",
    "fetch",
    "http",
    "locate",
    "read_answer",
    "uniform",
]

_FOOTPRINT = "footprint"
_HOMES = {
    "AllSky": _FOOTPRINT,
    "Choice": "choosing",
    "Cutout": "fetcher",
    "Declinations": _FOOTPRINT,
    "Fetcher": "fetcher",
    "Footprint": _FOOTPRINT,
    "GalacticLatitudes": _FOOTPRINT,
    "Intersection": _FOOTPRINT,
    "Moc": _FOOTPRINT,
    "Target": "targets",
    "Union": _FOOTPRINT,
    "Unknown": _FOOTPRINT,
    "choose": "choosing",
    "fetch": "getting",
    "locate": "targets",
    "read_answer": "reading",
    "uniform": "uniform",
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
