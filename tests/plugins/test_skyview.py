"""SkyView, as astroquery asks it and as it answers."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import cutout_answers as answers
from astrollava.errors import EmptyCutout, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import skyview
from astrollava_plugins.skyview import DSS2, NVSS, Galex, Rosat, SkyView
from fetcher_suites import CoreSuite

SURVEYS = {
    "Optical:DSS": ["DSS", "DSS2 Red", "DSS2 Blue", "DSS2 IR"],
    "UV": ["GALEX Near UV", "GALEX Far UV"],
    "Radio:GHz": ["NVSS"],
    "ROSATw/sources": ["RASS-Cnt Soft", "RASS-Cnt Hard", "RASS-Cnt Broad"],
}
FORM, RESULTS, IMAGES = "/cgi/basicform.pl", "/cgi/runquery.pl", "/tempspace/fits/"


def as_the_service(request: Request, *, empty: bool = False) -> Answer:
    """The form, the page of results, the image: what was asked for is kept in the link."""
    if request.path == FORM:
        return Answer(answers.skyview_form(SURVEYS).encode(), "text/html; charset=UTF-8")
    if request.path == RESULTS:
        where = [request.query[key].replace(" ", ",") for key in ("Position", "imscale", "pixels")]
        link = f"..{IMAGES}{'_'.join(where)}.fits"
        return Answer(answers.skyview_results([link]).encode(), "text/html; charset=UTF-8")
    position, scale, pixels = request.path.removeprefix(IMAGES).removesuffix(".fits").split("_")
    ra, dec = (float(value) for value in position.split(","))
    side = int(pixels)
    wcs = answers.grid(
        SkyCoord(ra, dec, unit="deg"),
        pixels=(side, side),
        scale=3600 * float(scale.split(",")[0]) / side,
    )
    data = np.zeros((side, side), np.float32) if empty else None
    return Answer(answers.fits_bytes(wcs, data, SURVEY="made by the tests"), "")


class TestPlugin(PluginSuite):
    plugin = skyview
    entry = "skyview"


class Survey(CoreSuite):
    kind: ClassVar[type[SkyView]]
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)

    def make(self, base_url):
        return self.kind(base_url=base_url + FORM)

    def answer(self, request):
        return as_the_service(request)

    def answer_blank(self, request):
        return as_the_service(request, empty=True)


class TestNVSS(Survey):
    kind = NVSS
    outside = (202.47, -60.0)
    size = 20.0


class TestDSS2(Survey):
    kind = DSS2


class TestGalex(Survey):
    kind = Galex
    outside = (83.8, 0.0)
    size = 2.0

    def answer_outside(self, request):
        if request.path.startswith(IMAGES):
            return Answer(b"<html><h1>Not Found</h1></html>", "text/html", 404)
        return as_the_service(request)


class TestRosat(Survey):
    kind = Rosat
    size = 60.0


@pytest.fixture
def service():
    with serving(as_the_service) as service:
        yield service


@pytest.fixture
def dss(service):
    return DSS2(base_url=service.url + FORM)


def test_the_position_keeps_its_digits(service, dss) -> None:
    """astroquery writes "202.47 47.1953": nearly two arcseconds beside the galaxy."""
    at = answers.offset(0.6, -0.6)
    image = dss.fetch(at, 1 * u.arcmin, bands=("red",))
    asked = next(request for request in service.requests if request.path == RESULTS)
    ra, dec = (float(value) for value in asked.query["Position"].split())
    assert SkyCoord(ra, dec, unit="deg").separation(at).arcsec < 0.001
    assert SkyCoord(*image.centre, unit="deg").separation(at).arcsec < 0.01


def test_each_band_is_asked_for_by_its_survey(service) -> None:
    """Several surveys in one request come as several links in no stated order."""
    fetcher = Rosat(base_url=service.url + FORM)
    image = fetcher.fetch(answers.GALAXY, 1 * u.deg, bands=fetcher.bands, pixels=40)
    asked = [request.query["survey"] for request in service.requests if request.path == RESULTS]
    assert asked == ["RASS-Cnt Soft", "RASS-Cnt Hard", "RASS-Cnt Broad"]
    assert image.bands == ("soft", "hard", "broad")


def test_a_link_to_nothing_is_outside(service, dss) -> None:
    """Beyond a survey's edge the page has its link all the same; what it leads to is a 404."""

    def missing(request: Request) -> Answer:
        if request.path.startswith(IMAGES):
            return Answer(b"<html><h1>Not Found</h1></html>", "text/html", 404)
        return as_the_service(request)

    service.answer = missing
    with pytest.raises(OutsideFootprint, match="DSS2 Red"):
        dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",))
    service.answer = as_the_service
    assert dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",)).bands == ("red",)


def test_zeros_beyond_the_edge_are_no_image(service, dss) -> None:
    """Some surveys are filled up with zeros instead."""
    service.answer = lambda request: as_the_service(request, empty=True)
    with pytest.raises(EmptyCutout):
        dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",))


def test_a_page_without_a_link_says_why(service, dss) -> None:
    """An empty list, and an IndexError at its first image, tell nobody anything."""

    def refusing(request: Request) -> Answer:
        if request.path == RESULTS:
            page = b"<html><title>Sky</title><body><h2>Error: survey is offline</h2></body></html>"
            return Answer(page, "text/html")
        return as_the_service(request)

    service.answer = refusing
    with pytest.raises(ServiceError, match="0 images") as caught:
        dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",))
    assert caught.value.first_line == "Sky"


def test_a_survey_that_is_gone_is_told(service, dss) -> None:
    """SkyView takes surveys out of its form; astroquery raises a ValueError then."""
    page = answers.skyview_form({"Optical:DSS": ["DSS"]}).encode()
    service.answer = lambda request: Answer(page, "text/html")
    with pytest.raises(ServiceError, match="not among the surveys"):
        dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",))


def test_nothing_is_left_in_astroquerys_cache(service, dss, tmp_path, monkeypatch) -> None:
    """What it keeps are pickles, failures among them, that every later request would get."""
    from astropy.config import paths

    monkeypatch.setattr(paths, "get_cache_dir", lambda *_: str(tmp_path))
    dss.fetch(answers.GALAXY, 1 * u.arcmin, bands=("red",))
    assert list(tmp_path.rglob("*.pickle")) == []


def test_surveys_are_called_as_astroquery_lists_them() -> None:
    """A name that the form does not have can never be fetched."""
    from pathlib import Path

    import astroquery.skyview

    recorded = Path(astroquery.skyview.__file__).parent / "tests/data/survey_dict.json"
    known = {name for names in json.loads(recorded.read_text()).values() for name in names}
    for fetcher in skyview.astrollava_fetchers():
        assert set(fetcher.surveys.values()) <= known
        assert tuple(fetcher.surveys) == fetcher.bands


@pytest.mark.remote_data
def test_the_real_service() -> None:
    """The form, the page of results and the images are what they were."""
    image = DSS2().fetch(answers.GALAXY, 6 * u.arcmin, pixels=100, bands=("red",), timeout=120.0)
    assert image.shape == (100, 100)
    assert SkyCoord(*image.centre, unit="deg").separation(answers.GALAXY).arcsec < 4
