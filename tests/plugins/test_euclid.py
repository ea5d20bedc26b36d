"""Euclid's mosaics at ESA: a table of tiles, then cutouts of one of them."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astrollava.errors import EmptyCutout, FetchRefused, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava_plugins import euclid
from astrollava_plugins.euclid import Euclid
from cutout_answers import fits_bytes, grid, packed, sky, tarred
from fetcher_suites import CoreSuite
from vo_answers import Field, votable

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

AT = SkyCoord(202.469575, 47.195258, unit="deg")
VOTABLE = "application/x-votable+xml"
TILES: list[Field] = [
    ("file_name", "char", "255"),
    ("file_path", "char", "255"),
    ("tile_index", "long"),
    ("instrument_name", "char", "255"),
    ("filter_name", "char", "255"),
    ("ra", "double"),
    ("dec", "double"),
]
FILTERS = ("VIS", "NIR_Y", "NIR_J", "NIR_H")


def tile(index: int, away: float, *filters: str) -> list[tuple[object, ...]]:
    """Rows of a tile whose middle is so many degrees off."""
    return [
        (
            f"EUC_MER_BGSUB-MOSAIC-{name.replace('_', '-')}_TILE{index}.fits",
            "/euclid/repository/Q1_R1/MER",
            index,
            "VIS" if name == "VIS" else "NISP",
            name,
            AT.ra.deg,
            AT.dec.deg + away,
        )
        for name in filters or FILTERS
    ]


class Archive:
    """The archive's table service and its cutouts."""

    def __init__(self) -> None:
        self.rows = tile(102018211, 0.2) + tile(102018212, 0.1)
        self.seen = slice(None)

    def __call__(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode()))
        assert request.method == "POST"
        if request.path == "/tap-server/tap/sync":
            assert form["FORMAT"] == "votable_plain"
            query = form["QUERY"]
            assert "sedm.mosaic_product" in query
            rows = [row for row in self.rows if f"'{row[4]}'" in query]
            return Answer(votable(TILES, rows, version="1.4"), VOTABLE)
        assert request.path == "/sas-cutout/cutout", request.path
        name = form["FILEPATH"].rpartition("/")[2]
        assert form["FILEPATH"].startswith("/euclid/repository/Q1_R1/MER/EUC")
        assert form["OBSID"] in name
        assert form["COLLECTION"] == ("VIS" if "-VIS_" in name else "NISP")
        shape, ra, dec, radius = form["POS"].split(",")
        assert shape == "CIRCLE"
        side = round(2 * float(radius) * 36000)
        wcs = grid(SkyCoord(float(ra), float(dec), unit="deg"), pixels=(side, side), scale=0.1)
        found = next(i for i, f in enumerate(FILTERS) if f"-{f.replace('_', '-')}_" in name)
        data = sky(wcs, width=3.0, factor=found + 1)
        blank = np.zeros_like(data)
        blank[:, self.seen] = data[:, self.seen]
        return Answer(fits_bytes(wcs, blank, MAGZERO=24.6), "application/fits")


class TestEuclid(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (10.0, -80.0)
    size = 0.5

    def make(self, base_url: str) -> Euclid:
        return Euclid(base_url=base_url)

    def answer(self, request: Request) -> Answer:
        return Archive()(request)

    def answer_outside(self, request: Request) -> Answer:
        assert request.path == "/tap-server/tap/sync"
        return Answer(votable(TILES, []), VOTABLE)

    def answer_blank(self, request: Request) -> Answer:
        archive = Archive()
        archive.seen = slice(0, 0)
        return archive(request) if request.body else Answer()


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = euclid
    entry = "euclid"


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def service(archive: Archive) -> Iterator[Service]:
    with serving(archive) as running:
        yield running


def test_all_bands_come_from_the_tile_around_the_position(service: Service) -> None:
    """Tiles overlap: at the edge of one, half of the cutout would be missing."""
    image = Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)
    assert [request.path for request in service.requests] == [
        "/tap-server/tap/sync",
        *["/sas-cutout/cutout"] * 3,
    ]
    assert all("TILE102018212" in file for file in image.source["files"])
    assert image.bands == ("VIS", "NIR_Y", "NIR_H")
    assert image.shape == (150, 150)
    assert image.pixel_scale == pytest.approx(0.1, rel=1e-3)
    peaks = [round(float(np.nanmax(plane)) / 100) for plane in image.pixels]
    assert peaks == [1, 2, 4]


def test_a_tile_without_a_band_gives_way(service: Service, archive: Archive) -> None:
    """The visible mosaics were made before the infrared ones."""
    archive.rows = tile(102018211, 0.2) + tile(102018212, 0.1, "VIS")
    image = Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)
    assert all("TILE102018211" in file for file in image.source["files"])


def test_a_band_that_is_not_there_is_named(service: Service, archive: Archive) -> None:
    """The other bands are no substitute."""
    archive.rows = tile(102018212, 0.1, "VIS")
    with pytest.raises(EmptyCutout, match="no NIR_Y, NIR_H image"):
        Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)


def test_the_corners_of_the_square_are_there(service: Service) -> None:
    """A cutout service may leave out what lies outside of the circle it is asked for."""
    Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec, bands=("VIS",))
    form = dict(parse_qsl(service.requests[1].body.decode()))
    radius = float(form["POS"].split(",")[3]) * 3600
    assert radius > 7.5 * 2**0.5


def test_what_fails_is_no_empty_sky(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """astroquery logs what fails and gives None."""
    message = "Cannot parse query 'SELECT': table sedm.mosaic_product does not exist"
    body = votable([], [], status="ERROR", message=message)
    service.answer = lambda request: Answer(body, VOTABLE, 400)
    with pytest.raises(ServiceError, match="does not exist") as caught:
        Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)
    assert caught.value.status == 400
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_nothing_is_printed_and_nobody_else_asked(service: Service) -> None:
    """The class's module asks ESA for messages when it is imported, and prints: no JSON is left."""
    code = (
        "import sys\n"
        "from astropy.coordinates import SkyCoord\n"
        "import astropy.units as u\n"
        "from astrollava_plugins.euclid import Euclid\n"
        f"at = SkyCoord({AT.ra.deg}, {AT.dec.deg}, unit='deg')\n"
        f"Euclid(base_url={service.url!r}).fetch(at, 15 * u.arcsec)\n"
        "assert 'astroquery.esa.euclid' not in sys.modules\n"
    )
    # A process of its own: in this one the module may have been imported before.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_packed_table_is_not_unpacked(service: Service) -> None:
    """astroquery unpacks it whatever it holds: a bomb as well."""
    packed = gzip.compress(votable(TILES, tile(1, 0.1)))
    service.answer = lambda request: Answer(packed, VOTABLE)
    with pytest.raises(FetchRefused):
        Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)


@pytest.mark.parametrize("pack", [packed, tarred, gzip.compress])
def test_a_cutout_may_come_in_an_archive(
    service: Service, archive: Archive, pack: Callable[[Any], bytes]
) -> None:
    """astroquery's class unpacks what comes, of any kind; the names inside lead nowhere here."""

    def answer(request: Request) -> Answer:
        plain = archive(request)
        if request.path != "/sas-cutout/cutout":
            return plain
        held = plain.body if pack is gzip.compress else {"../../cutout.fits": plain.body}
        return Answer(pack(held), "application/zip")

    service.answer = answer
    image = Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec, bands=("VIS",))
    assert np.isfinite(image.pixels).all()


def test_the_edge_of_a_mosaic_is_said(service: Service, archive: Archive) -> None:
    """Beyond the edge there are zeros."""
    archive.seen = slice(0, 60)
    with pytest.raises(OutsideFootprint, match="end before the position"):
        Euclid(base_url=service.url).fetch(AT, 15 * u.arcsec)


@pytest.mark.remote_data
def test_the_real_archive() -> None:
    """The archive changes; this says when. In the Euclid Deep Field North."""
    image = Euclid().fetch(SkyCoord(269.73, 66.02, unit="deg"), 30 * u.arcsec)
    assert np.isfinite(image.pixels).mean() > 0.9
