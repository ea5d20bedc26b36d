"""MegaPipe at CADC: a query, links to what can be cut, then the cutouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astrollava.errors import (
    CutoutTooLarge,
    EmptyCutout,
    FetchRefused,
    OutsideFootprint,
    ServiceError,
)
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava_plugins import cadc
from astrollava_plugins.cadc import Cadc
from cutout_answers import fits_bytes, grid, sky
from fetcher_suites import CoreSuite
from vo_answers import Field, datalink, votable

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

AT = SkyCoord(202.469575, 47.195258, unit="deg")
VOTABLE = "application/x-votable+xml;content=datalink"
PLANES: list[Field] = [
    ("publisherID", "char", "*"),
    ("energy_bandpassName", "char", "*"),
    ("time_exposure", "double", "", "s"),
]
#: Filter -> exposure of the stacks there, in the service's order: none.
STACKS = {
    "g.MP9401": (200.0, 3000.0),
    "r.MP9601": (1000.0,),
    "i.MP9703": (500.0,),
    "z.MP9801": (9.0,),
}


def identifier(band: str, exposure: float) -> str:
    return f"ivo://cadc.nrc.ca/CFHTMEGAPIPE?MegaPipe.310.232/MegaPipe.310.232.{band}.{exposure:.0f}"


def cutout(position: str, file: str, *, seen: slice | None = None) -> bytes:
    """What the SODA service cuts: the box around a circle, on the grid of the stack."""
    ra, dec, radius = position.split()
    side = round(2 * float(radius) * 3600 / 0.186)
    wcs = grid(SkyCoord(float(ra), float(dec), unit="deg"), pixels=(side, side), scale=0.186)
    data = sky(wcs, width=4.0, factor="ugriz".index(file.split(".")[3][0]) + 1)
    if seen is not None:
        blank = np.zeros_like(data)
        blank[:, seen] = data[:, seen]
        data = blank
    return fits_bytes(wcs, data, PHOTZP=30.0, OBJECT="M 51")


class Archive:
    """The three programs of the archive, and what is public in it."""

    def __init__(self, stacks: dict[str, tuple[float, ...]] | None = None) -> None:
        self.stacks = STACKS if stacks is None else stacks
        self.cutouts = True
        self.seen: dict[str, slice] = {}
        self.url = ""
        self.elsewhere = ""

    def __call__(self, request: Request) -> Answer:
        host = f"http://{request.headers['host']}"
        if request.path == "/argus/sync":
            (query,) = parse_qs(request.body.decode())["QUERY"]
            assert "CFHTMEGAPIPE" in query
            rows = [
                (identifier(band, exposure), band, exposure)
                for band, exposures in self.stacks.items()
                for exposure in exposures
                if f"LIKE '{band[0]}.%'" in query
            ]
            return Answer(votable(PLANES, rows), VOTABLE)
        if request.path == "/caom2ops/datalink":
            access = (self.elsewhere or host) + "/caom2ops/sync"
            links = []
            for band, exposures in self.stacks.items():
                for exposure in exposures:
                    name = identifier(band, exposure)
                    if name in request.query["ID"]:
                        file = f"cadc:CFHTMEGAPIPE/MegaPipe.310.232.{band}.{exposure:.0f}"
                        links += [
                            (name, f"{file}.weight.fits", access),
                            (name, f"{file}.fits", access),
                        ]
            body = datalink(links, product=host, cutouts=self.cutouts)
            return Answer(body, VOTABLE)
        assert request.path == "/caom2ops/sync", request.path
        file = request.query["ID"]
        assert "weight" not in file
        name = file.partition("232.")[2].removesuffix(".fits")
        return Answer(
            cutout(request.query["CIRCLE"], file, seen=self.seen.get(name)), "application/fits"
        )


class TestCadc(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (10.0, -80.0)

    def make(self, base_url: str) -> Cadc:
        fetcher = Cadc(base_url=base_url)
        fetcher.rate = 100.0
        return fetcher

    def answer(self, request: Request) -> Answer:
        return Archive({**STACKS, "u.MP9302": (50.0,)})(request)

    def answer_outside(self, request: Request) -> Answer:
        assert request.path == "/argus/sync"
        return Answer(votable(PLANES, []), VOTABLE)

    def answer_blank(self, request: Request) -> Answer:
        if request.path == "/":
            return Answer()
        archive = Archive()
        archive.seen = dict.fromkeys(
            [f"{band}.{e:.0f}" for band, es in STACKS.items() for e in es], slice(0, 0)
        )
        return archive(request)


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = cadc
    entry = "cadc"


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def service(archive: Archive) -> Iterator[Service]:
    with serving(archive) as running:
        yield running


def test_one_query_names_what_covers_the_position(service: Service) -> None:
    """astroquery's own asks for every column of thousands of rows, and looks up two addresses."""
    image = Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec)
    assert [request.path for request in service.requests] == [
        "/argus/sync",
        *["/caom2ops/datalink", "/caom2ops/sync"] * 3,
    ]
    (query,) = parse_qs(service.requests[0].body.decode())["QUERY"]
    assert query.startswith("SELECT TOP 100 p.publisherID")
    assert "CONTAINS(POINT('ICRS', 202.469575, 47.195258), p.position_bounds) = 1" in query
    assert image.bands == ("g", "r", "i")
    assert image.pixel_scale == pytest.approx(0.186, rel=1e-3)
    peaks = [round(float(np.nanmax(plane)) / 100) for plane in image.pixels]
    assert peaks == [2, 3, 4]


def test_the_deepest_stack_is_taken(service: Service) -> None:
    """Short exposures of a calibration lie beside the survey's stack, in no order."""
    image = Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="g")
    assert image.source["files"] == ["cadc:CFHTMEGAPIPE/MegaPipe.310.232.g.MP9401.3000.fits"]


def test_a_stack_that_ends_there_gives_way_to_one_that_does_not(
    service: Service, archive: Archive
) -> None:
    """At the edge of a stack the cutout is half zeros, though another stack has all of it."""
    archive.seen = {"g.MP9401.3000": slice(0, 60)}
    image = Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="g")
    assert image.source["files"] == ["cadc:CFHTMEGAPIPE/MegaPipe.310.232.g.MP9401.200.fits"]
    assert np.isfinite(image.pixels).all()


def test_a_stack_that_is_not_public_gives_way_too(service: Service, archive: Archive) -> None:
    """New stacks are their owners' for a year; older ones of the field are everybody's."""

    def closed(request: Request) -> Answer:
        if request.path == "/caom2ops/sync" and "3000" in request.query["ID"]:
            return Answer(b"permission denied", "text/plain", 403)
        return archive(request)

    service.answer = closed
    image = Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="g")
    assert image.source["files"] == ["cadc:CFHTMEGAPIPE/MegaPipe.310.232.g.MP9401.200.fits"]
    service.answer = lambda request: (
        Answer(b"permission denied", "text/plain", 403)
        if request.path == "/caom2ops/sync"
        else archive(request)
    )
    with pytest.raises(ServiceError, match="permission denied") as caught:
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="g")
    assert caught.value.status == 403


def test_what_ends_before_the_position_is_said(service: Service, archive: Archive) -> None:
    """A footprint is a polygon, and rounder than the stack."""
    archive.seen = dict.fromkeys(["g.MP9401.3000", "g.MP9401.200"], slice(0, 60))
    with pytest.raises(OutsideFootprint, match="end before the position"):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="g")


def test_a_band_that_was_not_observed_is_named(service: Service) -> None:
    """Most fields lack a band."""
    with pytest.raises(EmptyCutout, match="no u image"):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec, bands="ug")


def test_whole_files_are_never_fetched(service: Service, archive: Archive) -> None:
    """A stack is 1.6 GB: without a cutout service there is no image, rather than all of it."""
    archive.cutouts = False
    with pytest.raises(CutoutTooLarge, match="only whole files"):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec)
    assert all(not request.path.endswith(".fits") for request in service.requests)


def test_a_stack_that_was_not_cut_is_refused(service: Service, archive: Archive) -> None:
    """A service that ignores the circle sends all of the stack, with status 200."""
    whole = fits_bytes(grid(AT, pixels=(900, 900), scale=0.186))

    def uncut(request: Request) -> Answer:
        if request.path == "/caom2ops/sync":
            return Answer(whole, "application/fits")
        return archive(request)

    service.answer = uncut
    with pytest.raises(CutoutTooLarge, match="did not cut"):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec)


def test_links_to_other_hosts_are_not_followed(service: Service, archive: Archive) -> None:
    """Links come from outside: one may lead into the network of whoever follows it."""
    archive.elsewhere = "http://192.168.1.1"
    with pytest.raises(FetchRefused):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec)


def test_an_error_of_the_archive_comes_in_its_words(service: Service) -> None:
    """TAP says what is wrong with a query in a VOTable."""
    body = votable([], [], status="ERROR", message="IllegalArgumentException: no such column")
    service.answer = lambda request: Answer(body, VOTABLE)
    with pytest.raises(ServiceError, match="no such column"):
        Cadc(base_url=service.url).fetch(AT, 30 * u.arcsec)


@pytest.mark.remote_data
def test_the_real_archive() -> None:
    """The archive changes; this says when. D1 of the CFHT Legacy Survey has all bands."""
    image = Cadc().fetch(SkyCoord(36.5, -4.5, unit="deg"), 1 * u.arcmin)
    assert np.isfinite(image.pixels).mean() > 0.9
