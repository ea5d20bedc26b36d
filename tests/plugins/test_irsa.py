"""IRSA's image search and cutouts, as astroquery asks and as they answer."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import cutout_answers as answers
import vo_answers
from astrollava.errors import FetchRefused, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import irsa
from astrollava_plugins.irsa import AllWISE, TwoMass
from fetcher_suites import CoreSuite

SEARCH = "/SIA"
VOTABLE = "application/x-votable+xml"
FIELDS = [
    ("s_ra", "double", "", "deg"),
    ("s_dec", "double", "", "deg"),
    ("obs_collection", "char", "*"),
    ("energy_bandpassname", "char", "*"),
    ("dataproduct_subtype", "char", "*"),
    ("access_url", "char", "*"),
]
#: Image -> where its middle lies: one reaches over the galaxy by its edge only.
TILES = {"edge": answers.offset(195, 0), "whole": answers.offset(-60, 40)}


def tile(name: str):
    return answers.grid(TILES[name], pixels=(300, 300), scale=1.375)


def rows(base: str, bands: tuple[str, ...], below: str = "/ibe/data") -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for name, middle in TILES.items():
        for band in bands:
            link = f"{base}{below}/{name}-{band}-int-3.fits"
            where = (middle.ra.deg, middle.dec.deg, "wise_allwise", band)
            found += [
                (*where, "noise", link.replace("int", "unc")),
                (*where, "science", link),
            ]
    return found


def host(request: Request) -> str:
    return f"http://{request.headers['host']}"


def as_the_service(
    request: Request, *, bands: tuple[str, ...] = AllWISE.bands, blank: bool = False
) -> Answer:
    if request.path == f"{SEARCH}/capabilities":
        return Answer(answers.capabilities(host(request) + SEARCH), "text/xml;charset=UTF-8")
    if request.path == SEARCH:
        return Answer(vo_answers.votable(FIELDS, rows(host(request), bands)), VOTABLE)
    assert request.path.startswith("/ibe/data/"), request.path
    wcs = tile(request.path.rpartition("/")[2].partition("-")[0])
    ra, dec = (float(value) for value in request.query["center"].split(","))
    side = float(request.query["size"].removesuffix("arcsec"))
    body = answers.clipped(wcs, SkyCoord(ra, dec, unit="deg"), side)
    if blank:
        body = answers.fits_bytes(wcs[:40, :40], np.full((40, 40), np.nan, np.float32))
    if body is None:
        return Answer(b"Internal Server Error\n", "text/html", 500)
    return Answer(body, "image/x-fits")


class TestPlugin(PluginSuite):
    plugin = irsa
    entry = "irsa"


class TestAllWISE(CoreSuite):
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)
    size = 1.5

    def make(self, base_url):
        return AllWISE(base_url=base_url + SEARCH)

    def answer(self, request):
        return as_the_service(request)

    def answer_blank(self, request):
        return as_the_service(request, blank=True)


class TestTwoMass(CoreSuite):
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)
    size = 1.5

    def make(self, base_url):
        return TwoMass(base_url=base_url + SEARCH)

    def answer(self, request):
        return as_the_service(request, bands=TwoMass.bands)

    def answer_blank(self, request):
        return as_the_service(request, bands=TwoMass.bands, blank=True)


@pytest.fixture
def service():
    with serving(as_the_service) as service:
        yield service


@pytest.fixture
def wise(service):
    return AllWISE(base_url=service.url + SEARCH)


def test_the_image_with_most_of_the_square_is_taken(wise) -> None:
    """At an edge the archive clips in silence: the galaxy would lie beside the middle."""
    image = wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))
    assert image.source["images"][0].endswith("/whole-W1-int-3.fits")
    assert np.isfinite(image.pixels).all()
    row, column = np.unravel_index(np.nanargmax(image.pixels[0]), image.shape)
    assert image.wcs.pixel_to_world(column, row).separation(answers.GALAXY).arcsec < 1.4


def test_a_clipped_square_keeps_the_position_in_its_middle(wise, service) -> None:
    """Where no image has all of it, what is missing is said to be."""

    def only_edge(request: Request) -> Answer:
        if request.path == SEARCH:
            found = [row for row in rows(host(request), ("W1",)) if "edge" in str(row[-1])]
            return Answer(vo_answers.votable(FIELDS, found), VOTABLE)
        return as_the_service(request)

    service.answer = only_edge
    image = wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))
    assert SkyCoord(*image.centre, unit="deg").separation(answers.GALAXY).arcsec < 1.4
    assert 0.05 < np.isnan(image.pixels).mean() < 0.5


def test_the_position_keeps_its_digits(wise, service) -> None:
    """pyvo writes a SkyCoord as "202.47 47.1953"."""
    wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))
    search = next(request for request in service.requests if request.path == SEARCH)
    assert search.query["POS"].startswith("CIRCLE 202.469575 47.195258")
    assert search.query["COLLECTION"] == "wise_allwise"


def test_uncertainties_are_no_images(wise, service) -> None:
    """They share the band's name."""
    wise.fetch(answers.GALAXY, 90 * u.arcsec)
    assert not [request for request in service.requests if "unc" in request.path]


def test_no_whole_mosaic_is_downloaded_in_silence(wise, service) -> None:
    """Below /data/ the parameters of a cutout are ignored: hundreds of megabytes come."""

    def elsewhere(request: Request) -> Answer:
        if request.path == SEARCH:
            found = rows(host(request), ("W1",), below="/data/SPITZER")
            return Answer(vo_answers.votable(FIELDS, found), VOTABLE)
        return as_the_service(request)

    service.answer = elsewhere
    with pytest.raises(ServiceError, match="whole images only"):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))
    assert not [request for request in service.requests if request.path.startswith("/data/")]


def test_links_to_other_hosts_are_not_followed(wise, service) -> None:
    """The table is the service's word: it may say http://169.254.169.254/."""

    def elsewhere(request: Request) -> Answer:
        if request.path == SEARCH:
            found = rows("http://169.254.169.254", ("W1",))
            return Answer(vo_answers.votable(FIELDS, found), VOTABLE)
        return as_the_service(request)

    service.answer = elsewhere
    with pytest.raises(FetchRefused, match="leaves the service"):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))


@pytest.mark.parametrize(
    ("fields", "link", "raised"),
    [
        (FIELDS, "http://[/ibe/data/x.fits", "whole images only"),
        (FIELDS[:-1], None, "cannot read"),
    ],
)
def test_a_link_that_is_no_address_is_an_error_of_the_service(
    wise, service, fields: list, link: str | None, raised: str
) -> None:
    """ "Invalid IPv6 URL", said Python, and the plugin was blamed for what the service sent."""

    def garbled(request: Request) -> Answer:
        if request.path == SEARCH:
            found = [(*row[:-1], *([link] if link else [])) for row in rows("", ("W1",))]
            return Answer(vo_answers.votable(fields, found), VOTABLE)
        return as_the_service(request)

    service.answer = garbled
    with pytest.raises(ServiceError, match=raised):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))


def test_a_search_at_another_host_is_refused(wise, service) -> None:
    """pyvo sends the search wherever the capabilities say, and swallows our refusal."""

    def elsewhere(request: Request) -> Answer:
        if request.path.endswith("capabilities"):
            return Answer(answers.capabilities("http://10.0.0.1/SIA"), "text/xml")
        return as_the_service(request)

    service.answer = elsewhere
    with pytest.raises(FetchRefused, match="leaves the service"):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))


def test_a_table_that_opens_files_is_refused(wise, service, tmp_path) -> None:
    """astropy opens the address of a VOTable's stream, local files among them."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    table = (
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results"><TABLE><FIELD name="a" datatype="char" arraysize="*"/>'
        f'<DATA><BINARY><STREAM href="file://{secret}"/></BINARY></DATA></TABLE></RESOURCE>'
        "</VOTABLE>"
    )
    service.answer = lambda request: (
        Answer(table.encode(), VOTABLE) if request.path == SEARCH else as_the_service(request)
    )
    with pytest.raises(FetchRefused, match="stream"):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))


def test_no_rows_are_outside(wise, service) -> None:
    """An empty table raises nothing in astroquery, and an IndexError in whoever reads it."""
    service.answer = lambda request: (
        Answer(vo_answers.votable(FIELDS, []), VOTABLE)
        if request.path == SEARCH
        else as_the_service(request)
    )
    with pytest.raises(OutsideFootprint, match="no W1 image"):
        wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))


def test_an_internal_error_beside_an_image_is_passed_over(wise, service) -> None:
    """The archive says 500 where the square lies beside the image."""

    def beside(request: Request) -> Answer:
        if "whole" in request.path:
            return Answer(b"Internal Server Error\n", "text/html", 500)
        return as_the_service(request)

    service.answer = beside
    image = wise.fetch(answers.GALAXY, 90 * u.arcsec, bands=("W1",))
    assert image.source["images"][0].endswith("/edge-W1-int-3.fits")


def test_ks_is_k(service) -> None:
    """The archive calls the same band by two names."""
    service.answer = lambda request: as_the_service(request, bands=("J", "H", "Ks"))
    fetcher = TwoMass(base_url=service.url + SEARCH)
    assert fetcher.fetch(answers.GALAXY, 90 * u.arcsec).bands == ("J", "H", "K")


@pytest.mark.remote_data
@pytest.mark.parametrize("kind", [AllWISE, TwoMass])
def test_the_real_service(kind) -> None:
    """The search, its columns and the cutouts are what they were."""
    image = kind().fetch(answers.GALAXY, 3 * u.arcmin, timeout=180.0)
    assert image.bands == kind.default_bands
    assert SkyCoord(*image.centre, unit="deg").separation(answers.GALAXY).arcsec < 3
