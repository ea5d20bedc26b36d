"""What a plugin gives is of another type than promised: its distribution is to be named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astrollava._fetched import Facts
from astrollava.errors import AstrollavaError
from astrollava.hooks import export, manager
from astrollava.hooks.fetching import fetch
from astrollava.hooks.testing import sample_results
from astrollava.images import read, render
from plugin_files import Shelf

CODE: Final = """
import astropy.units as u
from astrollava.hooks import Exporter, FactProvider, Reader
from sky_service import SkyFetcher

class Sky(SkyFetcher):
    def fetch(self, position, size, **wanted):
        return None

class Facts(FactProvider):
    name = "facts"
    url = credit = "https://example.org/"

    def facts(self, position, radius, **wanted):
        return [None]

class Format(Reader):
    name = "format"
    suffixes = (".odd",)

    def accepts(self, head):
        return head.startswith(b"ODD")

    def read(self, file, **wanted):
        return None

class Writer(Exporter):
    name = "writer"
    suffix = ".txt"

    def write(self, results, path):
        return None

class Failing(Writer):
    name = "failing"

    def write(self, results, path):
        return {}["x"]

@hookimpl
def astrollava_fetchers():
    return [Sky()]

@hookimpl
def astrollava_fact_providers():
    return [Facts()]

@hookimpl
def astrollava_readers():
    return [Format()]

@hookimpl
def astrollava_exporters():
    return [Writer(), Failing()]

@hookimpl
def astrollava_stretches():
    return {"curve": lambda values: None}
"""
M51: Final = SkyCoord(202.4696, 47.1953, unit="deg")


@pytest.fixture(autouse=True)
def odd(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the distribution odd-plugin 1.0: all that it gives breaks its promise in use."""
    shelf.put("odd", CODE, distribution="odd-plugin")
    loaded = shelf.load()
    assert loaded.broken == ()
    monkeypatch.setattr(manager, "_state", {"plugins": loaded})


@pytest.mark.parametrize("kind", ["fetcher", "facts", "reader", "stretch", "exporter", "failing"])
def test_the_distribution_of_what_gives_a_wrong_type_is_named(kind: str, tmp_path: Path) -> None:
    """The fetcher X gave a NoneType, it said, and nobody knew whom to write to."""
    (tmp_path / "image.odd").write_bytes(b"ODD" * 100)
    uses: dict[str, Callable[[], object]] = {
        "fetcher": lambda: fetch("sky", M51, 3 * u.arcmin, cache=False),
        "facts": lambda: Facts("facts", timeout=5.0).look_up(M51, 3 * u.arcsec),
        "reader": lambda: read(tmp_path / "image.odd"),
        "stretch": lambda: render(read(np.eye(8)), size=(8, 8), stretch="curve"),
        "exporter": lambda: export(sample_results(), tmp_path / "said.txt", "writer"),
        "failing": lambda: export(sample_results(), tmp_path / "said.txt", "failing"),
    }
    with pytest.raises(AstrollavaError, match=r"\(odd-plugin 1\.0\)"):
        uses[kind]()
