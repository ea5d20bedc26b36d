"""Names, positions in words, tables: where somebody points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import sesame_url
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given
from hypothesis import strategies as st

import sky_service as sky
from astrollava.errors import AstrollavaError, FetchTimeout, InvalidRequest, ServiceError
from astrollava.hooks.fetching import locate
from astrollava.hooks.fetching.targets import targets_of
from sky_service import Asked, Reply, SkyService

#: As Sesame writes it.
KNOWN = b"""# M51\t#Q22523669
#=S=Simbad (via url):    1
%@ 1316461
%I.0 M  51
%C.0 GiP
%J 202.469575 +47.195258 = 13 29 52.698 +47 11 42.93
%J.E [500.00 500.00 90] D 2006AJ....131.1163S
#====Done (2026-Jan-01,00:00:00z)====
"""
UNKNOWN = b"# Nothing\n#!SIMBAD: No known catalog could be found\n#====Done====\n"


@pytest.fixture
def sesame(service: SkyService) -> Iterator[SkyService]:
    """CDS's name resolver, and its mirror, on the loopback device."""

    def answer(asked: Asked) -> Reply:
        known = "M51" in asked.query or "ngc 5194" in asked.query
        return Reply(KNOWN if known else UNKNOWN, "text/plain")

    service.route("/sesame/", answer)
    service.route("/mirror/", answer)
    with sesame_url.set([service.url + "/sesame/", service.url + "/mirror/"]):
        yield service


@pytest.mark.parametrize(
    "words",
    [
        "13h29m52.698s +47d11m42.93s",
        "13:29:52.698 +47:11:42.93",
        "13 29 52.698 47 11 42.93",
        "13:29:52.698, +47:11:42.93",
        "202.469575 47.195258",
        "202.469575,+47.195258",
        " 202.469575d  47.195258d ",
        "202.469575° 47.195258°",
    ],
)
def test_positions_in_words(words: str) -> None:
    found = locate(words)
    assert found.name == ""
    assert found.position.ra.deg == pytest.approx(202.469575, abs=1e-5)
    assert found.position.dec.deg == pytest.approx(47.195258, abs=1e-5)


def test_the_south_stays_in_the_south() -> None:
    for words in ("00:40:00 -00:30:00", "10.0 -0.5", "10.0 −0.5"):
        assert locate(words).position.dec.deg == pytest.approx(-0.5)


@pytest.mark.parametrize("words", ["", "   ", "202.47 97.2", "25:99:00 1 2 3", "1" * 300])
def test_what_is_no_position_says_so(words: str) -> None:
    with pytest.raises(InvalidRequest):
        locate(words)


@pytest.mark.parametrize(
    ("words", "say"),
    [
        ("202.4 +47:11:43", "mixed"),
        ("13.5 +47:11:43", "mixed"),
        ("13.5, +47 11 43", "mixed"),
        ("202.4 47d11m43s", "mixed"),
        ("13:29:52.7 47.1953", "mixed"),
        ("202:28:10 +47:11:43", "24 hours"),
        ("202 28 10 47 11 43", "24 hours"),
        ("24:00:00 +47:11:43", "24 hours"),
        ("24h00m00s +47d11m43s", "no position"),
        ("-13:29:52 +47:11:43", "24 hours"),
        ("402.4696 47", "360 degrees"),
        ("-10 47", "360 degrees"),
        ("402.4696d 47d", "360 degrees"),
        ("13:29:52.7 +5h", "hours"),
        ("1937+21", "mixed"),
    ],
)
def test_no_position_is_turned_into_another(words: str, say: str) -> None:
    """Degrees read as hours, and wrapped, would give the image of another place in silence."""
    with pytest.raises(InvalidRequest, match=say):
        locate(words)


@pytest.mark.parametrize(
    ("words", "ra", "dec"),
    [
        ("360 0", 0.0, 0.0),
        ("10 .5", 10.0, 0.5),
        ("202.5d +47:30:00", 202.5, 47.5),
        ("202.5° 47.5", 202.5, 47.5),
        ("13h30m +47.5", 202.5, 47.5),
        ("13:30:00 +47d30m", 202.5, 47.5),
        ("13h30m00s+47d30m00s", 202.5, 47.5),
        ("13 30 00 -47 30", 202.5, -47.5),
        ("13h 30m 0s -47d 30m 0s", 202.5, -47.5),
        ("23:59:59.99 0:0:0", 359.99995833, 0.0),
    ],
)
def test_what_is_clear_is_taken(words: str, ra: float, dec: float) -> None:
    found = locate(words).position
    assert (found.ra.deg, found.dec.deg) == (pytest.approx(ra), pytest.approx(dec))


def test_a_name_is_looked_up_once(sesame: SkyService, own_cache: Path) -> None:
    """Without a network, what was fetched by name before is there by name still."""
    found = locate("M51")
    assert found.name == "M51"
    assert found.position.separation(SkyCoord(202.469575, 47.195258, unit="deg")) < 1 * u.mas
    assert sesame.asked[0].path == "/sesame/SNV"
    sesame.always(sky.status(503))
    assert locate(" M51 ").position.ra.deg == found.position.ra.deg
    assert len(sesame.asked) == 1
    for kept in own_cache.rglob("*.position"):
        kept.write_text('["a", null]')
    with pytest.raises(ServiceError):
        locate("M51")


@pytest.mark.parametrize("name", ["MS 0451.6-0305", "HD 189733", "47 Tuc", "3C 273", "4C +01.02"])
def test_names_with_numbers_are_names(sesame: SkyService, name: str) -> None:
    with pytest.raises(ServiceError, match="no catalogue knows"):
        locate(name)
    assert len(sesame.asked) == 1


def test_the_mirror_is_asked_where_the_first_fails(sesame: SkyService) -> None:
    sesame.next(sky.status(500))
    assert locate("ngc 5194").position.ra.deg == pytest.approx(202.469575)
    assert [asked.path for asked in sesame.asked] == ["/sesame/SNV", "/mirror/SNV"]


def test_a_silent_resolver_ends_in_time(sesame: SkyService) -> None:
    sesame.always(sky.hang())
    with pytest.raises(FetchTimeout, match=r"Without a network.*position"):
        locate("M51", timeout=0.6)


def test_an_unreachable_resolver_says_what_to_do() -> None:
    with (
        sesame_url.set(["http://127.0.0.1:9/"]),
        pytest.raises(ServiceError, match=r"'M51' cannot be looked up.*give the position"),
    ):
        locate("M51")


def test_a_name_cannot_change_the_address(sesame: SkyService) -> None:
    with pytest.raises(ServiceError):
        locate("x&y=/../..?#")
    assert sesame.asked[0].path == "/sesame/SNV"
    assert list(sesame.asked[0].query) == ["x&y=/../..?#"]


@given(st.text("0123456789:+-. hmsd'°", max_size=30))
def test_any_words_like_a_position_are_one_or_refused(words: str) -> None:
    with sesame_url.set([]):
        try:
            found = locate(words)
        except AstrollavaError:
            return
    assert abs(found.position.dec.deg) <= 90


def positions(given: object) -> list[SkyCoord]:
    return list(targets_of(given))


def test_tables_in_their_many_spellings() -> None:
    ra, dec = np.array([10.0, 20.0]), np.array([-5.0, 5.0])
    tables = [
        Table({"id": [1, 2], "ra": ra, "dec": dec}),
        Table({"RAJ2000": ra * u.deg, "DEJ2000": dec * u.deg}),
        QTable({"RA": (ra / 15) * u.hourangle, "Dec": dec * u.deg}),
        Table({"name": ["a", "b"], "where": SkyCoord(ra, dec, unit="deg")}),
        Table({"RA_ICRS": MaskedColumn(ra), "DE_ICRS": MaskedColumn(dec)}),
        SkyCoord(ra, dec, unit="deg"),
        SkyCoord(ra, dec, unit="deg").reshape(2, 1),
    ]
    for table in tables:
        found = positions(table)
        assert [round(each.ra.deg, 9) for each in found] == [10.0, 20.0]
        assert [round(each.dec.deg, 9) for each in found] == [-5.0, 5.0]
    assert len(targets_of(tables[0])) == 2  # type: ignore[arg-type]


def test_a_table_without_positions_says_what_it_has() -> None:
    with pytest.raises(InvalidRequest, match="flux, mass"):
        positions(Table({"flux": [1.0], "mass": [2.0]}))
    with pytest.raises(InvalidRequest, match="no coordinates"):
        positions(Table({"ra": [1.0] * u.kg, "dec": [2.0] * u.deg}))
    with pytest.raises(InvalidRequest, match="single"):
        positions(SkyCoord(1, 2, unit="deg"))
