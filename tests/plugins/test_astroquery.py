"""What stands between astroquery, pyvo and the network."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from astropy import units as u

import cutout_answers as answers
import vo_answers
from astrollava.errors import (
    CutoutTooLarge,
    EmptyCutout,
    FetchRefused,
    FetchTimeout,
    ServiceError,
)
from astrollava.hooks.fetching import fetch, http
from astrollava.hooks.testing import Answer, serving
from astrollava.images import SkyImage

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins._astroquery import Carrier
from astrollava_plugins._blank import without_constants
from astrollava_plugins.hips2fits import DSS2

CSV = "#Table1\nrun,camcol\n1904,3\n"


@pytest.fixture
def service():
    with serving(lambda request: Answer(CSV.encode(), "text/plain")) as service:
        yield service


def carrier(service, **options) -> Carrier:
    known = {"timeout": 20.0, "accept": http.TEXT, **options}
    return Carrier(DSS2(base_url=service.url), **known)


def sdss(way: Carrier, service):
    from astroquery.sdss import SDSSClass

    query = way.adopt(SDSSClass())
    query._get_query_url = lambda release: f"{service.url}/dr{release}/x_results.aspx"
    return query


def test_astroquery_asks_and_reads_as_ever(service) -> None:
    """The transport is ours, the request and the reading are astroquery's."""
    with (way := carrier(service)).reading():
        table = sdss(way, service).query_sql("SELECT 1", data_release=17)
    assert (table["run"][0], table["camcol"][0]) == (1904, 3)
    (request,) = service.requests
    assert request.path == "/dr17/x_results.aspx"
    assert request.query["cmd"].strip() == "SELECT 1"
    assert request.headers["user-agent"].startswith("astrollava/")


def test_one_deadline_for_all_requests(service) -> None:
    """A service that needs four requests would have four times the seconds allowed."""
    service.latency = 0.4
    way = carrier(service, timeout=1.0)
    query = sdss(way, service)
    began = time.monotonic()

    def ask() -> None:
        with way.reading():
            for _ in range(9):
                query.query_sql("SELECT 1")

    with pytest.raises(FetchTimeout):
        ask()
    assert 0.9 < time.monotonic() - began < 3.0


def test_astroquerys_cache_is_passed_by(service, tmp_path) -> None:
    """It unpickles what lies there, keeps failures, and is switched for the whole process."""
    from astroquery import cache_conf

    way = carrier(service)
    query = sdss(way, service)
    query.cache_location = tmp_path
    before = cache_conf.cache_active
    with way.reading():
        for number in (1, 2):
            query.query_sql(f"SELECT {number % 2}", cache=True)
            query.query_sql(f"SELECT {number % 2}", cache=False)
    assert list(tmp_path.iterdir()) == []
    assert len(service.requests) == 4
    assert cache_conf.cache_active is before


def test_no_password_of_the_users_is_sent(service, tmp_path, monkeypatch) -> None:
    """requests looks for one in .netrc, for whatever host it talks to."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with (way := carrier(service)).reading():
        sdss(way, service).query_sql("SELECT 1")
    assert "authorization" not in service.requests[0].headers


def test_bounds_hold_for_each_answer_and_can_only_be_lowered(service) -> None:
    """Whoever asks for more than the service's own bound does not get it."""
    service.answer = lambda request: Answer(bytes(100_000), "text/plain")
    way = carrier(service, max_bytes=1000)
    with pytest.raises(CutoutTooLarge, match="1,000 bytes"), way.reading():
        sdss(way, service).query_sql("SELECT 1")
    assert len(way.get(service.url, max_bytes=200_000).body) == 100_000
    way._service.max_bytes = 5000
    with pytest.raises(CutoutTooLarge, match="5,000 bytes"):
        way.get(service.url, max_bytes=200_000)


def test_what_astroquery_cannot_read_is_said_with_the_services_words(service) -> None:
    """Any page is a CSV table to it, without the columns that are looked for."""
    service.answer = lambda request: Answer(b"Too many users\nPlease wait\n", "text/plain")
    way = carrier(service)
    with pytest.raises(ServiceError, match="KeyError") as caught, way.reading():
        sdss(way, service).query_sql("SELECT 1")["run"]
    assert caught.value.first_line == "Too many users"
    assert caught.value.status == 200


def test_a_programming_error_of_ours_still_shows_itself(service) -> None:
    """It must say what it was, not only that the service is to blame."""
    way = carrier(service)
    with pytest.raises(ServiceError, match="ZeroDivisionError: division") as caught, way.reading():
        1 / 0  # noqa: B018
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("missing", ["astroquery", "requests", "matplotlib"])
def test_what_is_not_installed_is_named(missing) -> None:
    """Without the extra a traceback would end in somebody else's module."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from astropy import units as u; from astropy.coordinates import SkyCoord\n"
        "from astrollava.errors import PluginError\n"
        "from astrollava_plugins.hips2fits import DSS2\n"
        "try: DSS2().fetch(SkyCoord(1 * u.deg, 1 * u.deg), 1 * u.arcmin)\n"
        "except PluginError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert f"{missing} is not installed" in done.stdout, done.stderr
    assert "astrollava[fetch]" in done.stdout


def test_pyvo_cannot_swallow_a_refusal(service) -> None:
    """It catches every exception while it looks for a document, and reports its own."""
    import pyvo

    redirect = {"Location": "http://10.0.0.1/capabilities"}
    service.answer = lambda request: Answer(status=302, headers=redirect)
    way = carrier(service, accept=http.VOTABLE)
    with pytest.raises(FetchRefused, match="leaves the service"), way.reading():
        pyvo.dal.SIA2Service(f"{service.url}/SIA", session=way.session)


def test_pyvo_looks_in_both_places(service) -> None:
    """Capabilities lie below a service's address, or beside it: a 404 is no end."""
    import pyvo

    def beside(request):
        if request.path == "/SIA/capabilities":
            return Answer(b"<html>no</html>", "text/html", 404)
        return Answer(answers.capabilities(f"{service.url}/SIA"), "text/xml")

    service.answer = beside
    way = carrier(service, accept=http.VOTABLE)
    with way.reading():
        found = pyvo.dal.SIA2Service(f"{service.url}/SIA", session=way.session)
    assert found.query_ep == f"{service.url}/SIA"
    assert [request.path for request in service.requests] == [
        "/SIA/capabilities",
        "/capabilities",
    ]


def test_a_failure_that_was_got_over_is_not_told_later(service) -> None:
    """The 404 of the first place is not why the second answer could not be read."""
    import pyvo

    def beside(request):
        if request.path == "/SIA/capabilities":
            return Answer(b"", "text/html", 404)
        return Answer(vo_answers.votable([("a", "int")], [(1,)]), "text/xml")

    service.answer = beside
    way = carrier(service, accept=http.VOTABLE)
    with pytest.raises(ServiceError) as caught, way.reading():
        pyvo.dal.SIA2Service(f"{service.url}/SIA", session=way.session)
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("plane", "empty"),
    [
        (np.zeros((4, 4)), True),
        (np.full((4, 4), -99.0), True),
        (np.where(np.eye(4), np.nan, 7.0), True),
        (np.full((4, 4), np.nan), True),
        (np.eye(4), False),
        (np.ones((1, 1)), False),
    ],
)
def test_a_plane_of_one_value_holds_none(plane, empty) -> None:
    """Filled with zeros, or with -99: a model describes it all the same."""
    image = SkyImage(
        np.stack([plane, np.arange(plane.size).reshape(plane.shape) + 0.5]), ("a", "b")
    )
    found = without_constants(image)
    assert np.isnan(found.pixels[0]).all() == empty
    assert np.array_equal(found.pixels[1], image.pixels[1])


def test_through_the_core_it_is_tried_again_kept_and_recorded(tmp_path) -> None:
    """Retries, the cache and provenance are the core's: with a plugin of ours they must meet."""

    def as_the_service(request):
        asked = request.query
        return Answer(answers.hips2fits(asked["wcs"], asked["hips"]), "application/fits")

    with serving(as_the_service) as service:
        fetcher = DSS2(base_url=service.url)
        wanted = {"pixels": 32, "bands": ("red",), "cache": tmp_path}
        service.fault = "unavailable once"
        image = fetch(fetcher, answers.GALAXY, 1 * u.arcmin, **wanted)
        asked = len(service.requests)
        again = fetch(fetcher, answers.GALAXY, 1 * u.arcmin, **wanted)
        assert len(service.requests) == asked == 2
        assert np.array_equal(again.pixels, image.pixels)
        source = image.source
        assert source["tries"] == 2
        assert source["hips"] == {"red": "CDS/P/DSS2/red"}
        assert "wcs=" in source["url"]
        assert (source["fetcher"], source["survey"]) == ("hips2fits", "DSS2")
        service.fault = "truncated"
        with pytest.raises((ServiceError, EmptyCutout)):
            fetch(fetcher, answers.GALAXY, 2 * u.arcmin, timeout=2.0, **wanted)
        service.fault = None
        assert fetch(fetcher, answers.GALAXY, 2 * u.arcmin, **wanted).shape == (32, 32)
