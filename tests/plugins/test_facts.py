"""What SIMBAD and NED say of objects, read as they say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from astrollava import Describer
from astrollava.errors import FetchRefused, ServiceError
from astrollava.hooks import FactProvider, hookimpl
from astrollava.hooks.testing import (
    Answer,
    FactProviderSuite,
    PluginSuite,
    Request,
    Service,
    in_place,
    serving,
)
from astrollava_plugins import ned, simbad
from astrollava_plugins.ned import Ned
from astrollava_plugins.simbad import Simbad
from cutout_answers import grid, sky
from vo_answers import Field, ned_error, ned_objects, ned_redshifts, votable

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

AT = SkyCoord(202.469575, 47.195258, unit="deg")
VOTABLE = "application/x-votable+xml;serialization=TABLEDATA"

SIMBAD: list[Field] = [
    ("main_id", "char", "*", "", "meta.id;meta.main"),
    ("ra", "double", "", "deg", "pos.eq.ra;meta.main"),
    ("dec", "double", "", "deg", "pos.eq.dec;meta.main"),
    ("otype_txt", "char", "*", "", "src.class"),
    ("description", "char", "*"),
    ("rvz_redshift", "double", "", "", "src.redshift"),
    ("rvz_bibcode", "char", "*", "", "meta.bib.bibcode"),
    ("apart", "double", "", "deg"),
]
REFERENCE = "1991RC3.9.C...0000d"
#: In the order in which the service has them: not that of their distance.
NEAR_M51: list[tuple[object, ...]] = [
    ("NAME  X", 202.4800, 47.1953, "X", None, None, None, 0.007),
    (
        "M  51",
        202.469575,
        47.195258,
        "AGN",
        "Active Galaxy Nucleus",
        0.001534,
        "1991RC3.9.C...0000d",
        0.0,
    ),
    ("", 202.4696, 47.1953, "?", "Unknown", 0.5, "", 0.0),
]
REGION = [
    ("WISEA J132952.0+471143", 202.4667, 47.1953, "IrS", None, "", 0.12),
    ("MESSIER 051a", 202.469575, 47.195258, "G", 0.001534, "", 0.0),
    ("SN 1994I", 202.4720, 47.1943, "!SN", None, "", 0.11),
]


def adql(request: Request) -> str:
    (query,) = parse_qs(request.body.decode())["QUERY"]
    return query


class TestSimbad(FactProviderSuite):
    at = (AT.ra.deg, AT.dec.deg)
    patience = 0.5

    def make(self, base_url: str) -> Simbad:
        return Simbad(base_url=f"{base_url}/simbad/sim-tap")

    def answer(self, request: Request) -> Answer:
        assert request.path == "/simbad/sim-tap/sync"
        assert request.method == "POST"
        assert "ORDER BY apart" in adql(request)
        return Answer(votable(SIMBAD, NEAR_M51), VOTABLE)

    def answer_nothing(self, request: Request) -> Answer:
        return Answer(votable(SIMBAD, []), VOTABLE)


class TestNed(FactProviderSuite):
    at = (AT.ra.deg, AT.dec.deg)
    patience = 0.5

    def make(self, base_url: str) -> Ned:
        return Ned(base_url=f"{base_url}/cgi-bin")

    def answer(self, request: Request) -> Answer:
        if request.path == "/cgi-bin/objsearch":
            assert request.query["search_type"] == "Near Position Search"
            return Answer(ned_objects(REGION), "text/xml")
        assert request.path == "/cgi-bin/datasearch"
        assert request.query["objname"] == "MESSIER 051a"
        published = [(0.002, "1950Wrong..00...0X"), (0.001534, "1991RC3.9.C...0000d")]
        return Answer(ned_redshifts(published), "text/xml")

    def answer_nothing(self, request: Request) -> Answer:
        return Answer(ned_error(" No object found."), "text/xml")


class TestSimbadPlugin(PluginSuite):
    plugin: ClassVar[Any] = simbad
    entry = "simbad"


class TestNedPlugin(PluginSuite):
    plugin: ClassVar[Any] = ned
    entry = "ned"


@pytest.fixture
def of_simbad() -> Iterator[Service]:
    with serving(lambda r: Answer(votable(SIMBAD, NEAR_M51), VOTABLE)) as running:
        yield running


@pytest.fixture
def of_ned() -> Iterator[Service]:
    with serving(TestNed().answer) as running:
        yield running


def test_simbad_says_name_type_and_redshift_with_their_sources(of_simbad: Service) -> None:
    """Each fact with whose it is, where it is from and how far away."""
    facts = Simbad(base_url=of_simbad.url).facts(AT, 1 * u.arcmin)
    assert [(f.kind, f.value, f.reference) for f in facts[:3]] == [
        ("name", "M 51", ""),
        ("type", "Active Galaxy Nucleus", ""),
        ("redshift", 0.001534, "1991RC3.9.C...0000d"),
    ]
    assert {f.source for f in facts[:3]} == {"SIMBAD: M 51"}
    assert facts[0].separation is not None
    assert facts[0].separation.to_value("arcsec") == pytest.approx(0.0, abs=1e-3)
    # SIMBAD's short word where it has no description; no redshift where it has none.
    assert [(f.kind, f.value) for f in facts[3:]] == [("name", "NAME X"), ("type", "X")]
    assert facts[3].separation is not None
    assert facts[3].separation.to_value("arcsec") == pytest.approx(25.5, abs=0.1)


def test_simbad_is_asked_once(of_simbad: Service) -> None:
    """astroquery would look up the service's limits before each query, and keep the answers."""
    provider = Simbad(base_url=of_simbad.url)
    provider.facts(AT, 30 * u.arcsec)
    provider.facts(AT, 30 * u.arcsec)
    assert [request.method for request in of_simbad.requests] == ["POST", "POST"]
    query = adql(of_simbad.requests[0])
    assert "CIRCLE('ICRS', 202.469575, 47.195258, 0.008333" in query
    assert query.startswith("SELECT TOP 3 ")


def test_an_object_beyond_the_radius_is_left_out(of_simbad: Service) -> None:
    """A mirror that rounds the circle up would name a neighbour."""
    facts = Simbad(base_url=of_simbad.url).facts(AT, 10 * u.arcsec)
    assert {fact.source for fact in facts} == {"SIMBAD: M 51"}


def test_an_error_of_simbad_comes_in_its_words(of_simbad: Service) -> None:
    """TAP says what is wrong with a query in a VOTable."""
    words = "Incorrect ADQL query: Unknown column rvz_redshift"
    of_simbad.answer = lambda r: Answer(votable([], [], status="ERROR", message=words), VOTABLE)
    with pytest.raises(ServiceError, match="Unknown column rvz_redshift"):
        Simbad(base_url=of_simbad.url).facts(AT, 30 * u.arcsec)


def test_a_table_elsewhere_is_not_opened(of_simbad: Service) -> None:
    """A VOTable may name a file of this machine as its data."""
    body = votable(SIMBAD, []).replace(
        b"<TABLEDATA>\n\n</TABLEDATA>", b'<BINARY><STREAM href="file:///etc/hostname"/></BINARY>'
    )
    of_simbad.answer = lambda r: Answer(body, VOTABLE)
    with pytest.raises(FetchRefused):
        Simbad(base_url=of_simbad.url).facts(AT, 30 * u.arcsec)


def test_ned_says_name_type_and_redshift_with_their_sources(of_ned: Service) -> None:
    """The redshift with the publication that has it, not with the first in the list."""
    facts = Ned(base_url=f"{of_ned.url}/cgi-bin").facts(AT, 1 * u.arcmin)
    assert [(f.kind, f.value, f.reference, f.source) for f in facts] == [
        ("name", "MESSIER 051a", "", "NED: MESSIER 051a"),
        ("type", "galaxy", "", "NED: MESSIER 051a"),
        ("redshift", 0.001534, "1991RC3.9.C...0000d", "NED: MESSIER 051a"),
        ("name", "SN 1994I", "", "NED: SN 1994I"),
        ("type", "supernova", "", "NED: SN 1994I"),
        ("name", "WISEA J132952.0+471143", "", "NED: WISEA J132952.0+471143"),
        ("type", "infrared source", "", "NED: WISEA J132952.0+471143"),
    ]
    # One question for the region, one for the only redshift there is.
    assert [request.path for request in of_ned.requests] == [
        "/cgi-bin/objsearch",
        "/cgi-bin/datasearch",
    ]
    assert of_ned.requests[0].query["radius"] == "1.0"
    # astroquery gives hours, which is what NED takes a bare number for.
    assert float(of_ned.requests[0].query["lon"]) == pytest.approx(AT.ra.hour, abs=1e-4)


def test_a_redshift_without_a_publication_is_told_without(of_ned: Service) -> None:
    """A reference that does not have the value would be worse than none."""

    def answer(request: Request) -> Answer:
        if request.path.endswith("datasearch"):
            return Answer(ned_redshifts([(0.0021, "1950Wrong..00...0X")]), "text/xml")
        return Answer(ned_objects(REGION), "text/xml")

    of_ned.answer = answer
    facts = Ned(base_url=f"{of_ned.url}/cgi-bin", most=1).facts(AT, 1 * u.arcmin)
    assert [(f.kind, f.reference) for f in facts] == [("name", ""), ("type", ""), ("redshift", "")]


def test_an_error_of_ned_comes_in_its_words(of_ned: Service) -> None:
    """An error with status 200 is no empty sky."""
    of_ned.answer = lambda r: Answer(ned_error("The database is down for maintenance"), "text/xml")
    with pytest.raises(ServiceError, match="down for maintenance"):
        Ned(base_url=f"{of_ned.url}/cgi-bin").facts(AT, 1 * u.arcmin)


def test_failures_of_ned_are_not_kept(of_ned: Service) -> None:
    """astroquery's cache gives yesterday's error again."""
    provider = Ned(base_url=f"{of_ned.url}/cgi-bin")
    of_ned.fault = "server error"
    with pytest.raises(ServiceError):
        provider.facts(AT, 1 * u.arcmin)
    of_ned.fault = None
    assert provider.facts(AT, 1 * u.arcmin)


class Catalogues:
    """A plugin that gives both catalogues, asked on this machine."""

    astrollava_contract = 1

    def __init__(self, of_simbad: str, of_ned: str) -> None:
        self._given = [Simbad(base_url=of_simbad), Ned(base_url=f"{of_ned}/cgi-bin")]

    @hookimpl
    def astrollava_fact_providers(self) -> list[FactProvider]:
        return self._given


def test_what_is_catalogued_stands_apart_from_what_was_seen(
    of_simbad: Service, of_ned: Service
) -> None:
    """The model is not told, and the catalogues are asked only where they are named."""
    header = fits.Header(grid(AT, pixels=(64, 64)).to_header())
    image = fits.PrimaryHDU(sky(grid(AT, pixels=(64, 64))), header)
    with in_place(Catalogues(of_simbad.url, of_ned.url)), Describer() as describer:
        plain = describer.describe(image, max_tokens=8)
        assert of_simbad.requests == of_ned.requests == []
        told = describer.describe(image, max_tokens=8, facts="simbad, ned")
    assert told.text == plain.text
    assert not plain.catalogued
    said = [(fact.source, fact.kind, fact.value, fact.reference) for fact in told.catalogued]
    assert ("SIMBAD: M 51", "redshift", 0.001534, REFERENCE) in said
    assert ("NED: MESSIER 051a", "type", "galaxy", "") in said


@pytest.mark.remote_data
@pytest.mark.parametrize("provider", [Simbad(), Ned()], ids=lambda p: p.name)
def test_the_real_catalogues(provider: Simbad | Ned) -> None:
    """The services change; this says when."""
    facts = provider.facts(AT, 10 * u.arcsec)
    assert {fact.kind for fact in facts} == {"name", "type", "redshift"}
    (first, *_) = [fact for fact in facts if fact.kind == "redshift"]
    assert first.value == pytest.approx(0.0015, abs=0.0003)
