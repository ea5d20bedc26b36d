"""Names, positions in words, tables: where somebody points."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from astrollava.hooks.fetching._rows import targets_of
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


@pytest.mark.parametrize(
    ("words", "missing"),
    [("10.68", "declination"), ("10.68d", "declination"), ("-60.5", "right ascension")],
)
def test_half_a_position_is_not_looked_up(sesame: SkyService, words: str, missing: str) -> None:
    """Who forgot the other half was told that no catalogue knows the name '10.68'."""
    with pytest.raises(InvalidRequest, match=f"A {missing} is missing, such as") as caught:
        locate(words)
    assert sesame.asked == []
    # What is given for an example is a position.
    locate(re.search("'(.*)'", caught.value.hint)[1])  # type: ignore[index]


def test_the_mirror_is_asked_where_the_first_fails(sesame: SkyService) -> None:
    sesame.next(sky.status(500))
    assert locate("ngc 5194").position.ra.deg == pytest.approx(202.469575)
    assert [asked.path for asked in sesame.asked] == ["/sesame/SNV", "/mirror/SNV"]


@pytest.mark.parametrize(
    "path",
    ["some/picture.fits", "M51.FITS", "m51.fits.gz", "m51.png", "/data/m51", "./m51", "../m51",
     "~/m51", r"C:\data\m51", r"data\m51", "https://sky.example/m51", Path("m51")],
)  # fmt: skip
def test_a_path_is_not_sent_to_a_resolver_of_names(sesame: SkyService, path: str | Path) -> None:
    """The name of somebody's file went to a service, which knew no such galaxy."""
    with pytest.raises(InvalidRequest, match=r"is a file, not a place.*leave fetch out"):
        locate(path)  # type: ignore[arg-type]
    assert sesame.asked == []


def test_a_file_that_is_there_is_not_taken_for_a_name(
    sesame: SkyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "M51").write_text("not for others")
    (tmp_path / "data").mkdir()
    for path in ("M51", "data/m51"):
        with pytest.raises(InvalidRequest, match="is a file, not a place"):
            locate(path)
    assert sesame.asked == []
    # Names have slashes, too; and a folder is where the pictures of an object lie.
    (tmp_path / "M51").unlink()
    (tmp_path / "M51").mkdir()
    assert locate("M51").name == "M51"
    with pytest.raises(ServiceError, match="no catalogue knows"):
        locate("C/1995 O1")


@pytest.mark.parametrize("image", [np.zeros((4, 4)), b"SIMPLE", None])
def test_an_image_in_place_of_a_target_says_what_to_do(image: object) -> None:
    with pytest.raises(InvalidRequest, match=r"Expected a SkyCoord.*leave fetch out"):
        locate(image)  # type: ignore[arg-type]


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


def positions(given: object) -> list[Any]:
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


NAMES = ["ra", "dec"]
SEXAGESIMAL = ["10:00:24.3", "23:59:59.9"], ["+02:12:18", "-00:30:00"]
DECIMAL = ["150.10125", "359.99958333"], ["2.205", "-.5"]
HOURS = [10.00675, 23.999972222]


@pytest.mark.parametrize(
    "table",
    [
        Table(SEXAGESIMAL, names=NAMES),
        Table(SEXAGESIMAL, names=NAMES, units=[u.hourangle, u.deg]),
        Table(SEXAGESIMAL, names=["RAJ2000", "DEJ2000"], units=['"h:m:s"', '"d:m:s"']),
        Table([["10h00m24.3s", "23h59m59.9s"], ["2d12m18s", "-0d30m"]], names=NAMES),
        Table([["10 00 24.3", "23 59 59.9"], ["+02 12 18", "-00 30 00"]], names=["_RA", "_DE"]),
        Table([[b"10:00:24.3", b"23:59:59.9"], [b"+02:12:18", b"-00:30"]], names=NAMES),
        Table(DECIMAL, names=NAMES),
        Table(DECIMAL, names=NAMES, units=["deg", "deg"]),
        Table([[str(hour) for hour in HOURS], DECIMAL[1]], names=NAMES, units=["hourangle", "deg"]),
        Table([SEXAGESIMAL[0], [2.205, -0.5]], names=NAMES),
        Table([HOURS, SEXAGESIMAL[1]], names=NAMES, units=["h", None]),
        Table([np.array(each, dtype=object) for each in SEXAGESIMAL], names=NAMES),
        dict(zip(NAMES, SEXAGESIMAL, strict=True)),
        np.array([(150.10125, 2.205), (359.99958333, -0.5)], dtype=[("ra", "f8"), ("dec", "f8")]),
    ],
)
def test_columns_of_words_are_read(table: object) -> None:
    """A table as SIMBAD, VizieR or a paper gives it was "no coordinates"."""
    first, second = positions(table)
    assert first.ra.deg == pytest.approx(150.10125, abs=1e-7)
    assert first.dec.deg == pytest.approx(2.205, abs=1e-7)
    assert second.ra.deg == pytest.approx(359.99958333, abs=1e-7)
    assert second.dec.deg == pytest.approx(-0.5)


def test_a_row_of_words_that_is_no_position_says_what_it_holds() -> None:
    """In its own place: the rows beside it are not to blame."""
    ra = ["10:00:24.3", "10:99:00", "25:00:00", "150.1", "", "10:00:24.3", "x", "10:00:00"]
    dec = ["+02:12:18", "+02:00:00", "+02:00:00", "+02:12:18", "+1:0:0", "+2h", "y", "+97:00:00"]
    rows = positions(Table([ra, dec], names=["ra", "dec"]))
    said = [getattr(row, "problem", "") for row in rows]
    assert said[0] == ""
    assert "row 1 of the table is no position: 10:99:00, +02:00:00" in said[1]
    assert "24 hours" in said[2]
    assert "mixed" in said[3]
    assert said[4] == "row 4 of the table has no position: it is masked"
    assert "hours" in said[5]
    assert "no position: x, y" in said[6]
    assert "no position: 10:00:00, +97:00:00" in said[7]
    with pytest.raises(InvalidRequest, match=r"row 3 of the table is no position: 150\.1"):
        locate(rows[3])
    with pytest.raises(InvalidRequest, match="declination is in hours"):
        positions(Table({"ra": ["1:0:0"], "dec": ["1:0:0"]}, units={"dec": u.hourangle}))
    with pytest.raises(InvalidRequest, match="unit km is none of angles"):
        positions(Table({"ra": ["1:0:0"], "dec": ["1:0:0"]}, units={"ra": u.km}))
    (beyond,) = positions(Table({"ra": [402.5], "dec": [1.0]}))
    assert "within 0 to 360" in beyond.problem


def test_a_table_of_pandas_is_one() -> None:
    """Iterated over, it gives the names of its columns, which would be looked up in the sky."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ra": ["10:00:24.3", None], "dec": ["+02:12:18", "+1:0:0"]})
    first, second = positions(frame)
    assert first.dec.deg == pytest.approx(2.205)
    assert "masked" in second.problem


def test_a_table_without_positions_says_what_it_has() -> None:
    with pytest.raises(InvalidRequest, match="flux, mass"):
        positions(Table({"flux": [1.0], "mass": [2.0]}))
    with pytest.raises(InvalidRequest, match="no coordinates"):
        positions(Table({"ra": [1.0] * u.kg, "dec": [2.0] * u.deg}))
    with pytest.raises(InvalidRequest, match="single"):
        positions(SkyCoord(1, 2, unit="deg"))
