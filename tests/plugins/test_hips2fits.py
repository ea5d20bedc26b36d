"""hips2fits, as astroquery asks it and as it answers."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from astropy import units as u

import cutout_answers as answers
from astrollava.errors import EmptyCutout, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import hips2fits
from astrollava_plugins.hips2fits import (
    DSS2,
    SDSS9,
    AllWISE,
    Galex,
    Hips2Fits,
    LegacySurveys,
    PanStarrs,
    TwoMass,
)
from fetcher_suites import CoreSuite

PLACE = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)


def as_the_service(request: Request) -> Answer:
    asked = request.query
    return Answer(answers.hips2fits(asked["wcs"], asked["hips"]), "application/fits")


class TestPlugin(PluginSuite):
    plugin = hips2fits
    entry = "hips2fits"


class Survey(CoreSuite):
    kind: ClassVar[type[Hips2Fits]]
    inside = PLACE

    def make(self, base_url):
        return self.kind(base_url=base_url)

    def answer(self, request):
        return as_the_service(request)

    def answer_blank(self, request):
        asked = request.query
        return Answer(answers.hips2fits(asked["wcs"], asked["hips"], empty=True), "image/fits")


class TestDSS2(Survey):
    kind = DSS2


class TestPanStarrs(Survey):
    kind = PanStarrs
    outside = (202.47, -60.0)


class TestLegacySurveys(Survey):
    kind = LegacySurveys
    outside = (202.47, 88.0)


class TestSDSS9(Survey):
    kind = SDSS9
    outside = (202.47, -60.0)


class TestTwoMass(Survey):
    kind = TwoMass


class TestAllWISE(Survey):
    kind = AllWISE


class TestGalex(Survey):
    kind = Galex


@pytest.fixture
def service():
    with serving(as_the_service) as service:
        yield service


def fetch(fetcher: Hips2Fits, **options):
    return fetcher.fetch(answers.GALAXY, 1 * u.arcmin, **options)


@pytest.mark.parametrize("kind", [type(each) for each in hips2fits.astrollava_fetchers()])
def test_whole_identifiers_are_asked_for(service, kind) -> None:
    """A part of an identifier matches several surveys, of which one is taken at random."""
    fetcher = kind(base_url=service.url)
    fetch(fetcher, bands=fetcher.bands)
    asked = [request.query["hips"] for request in service.requests]
    assert asked == [fetcher.hips[band] for band in fetcher.bands]
    assert all(name.startswith("CDS/P/") for name in asked)
    assert all(request.query["format"] == "fits" for request in service.requests)


def test_the_grid_is_asked_for_exactly(service) -> None:
    """`query` knows a field of view of the larger side only; a WCS says where each pixel is."""
    image = fetch(DSS2(base_url=service.url), pixels=120, bands=("red",))
    header = json.loads(service.requests[0].query["wcs"])
    assert (header["NAXIS1"], header["NAXIS2"]) == (120, 120)
    assert header["CRVAL1"] == pytest.approx(answers.GALAXY.ra.deg, abs=1e-8)
    assert image.shape == (120, 120)
    assert image.pixel_scale == pytest.approx(0.5)
    row, column = np.unravel_index(np.nanargmax(image.pixels[0]), image.shape)
    assert image.wcs.pixel_to_world(column, row).separation(answers.GALAXY).arcsec < 1.0


def test_what_the_service_says_of_an_error_is_told(service) -> None:
    """astroquery raises AttributeError here, or JSONDecodeError at a page of the proxy."""
    said = {"title": "Bad Request", "description": "hips not found"}
    service.answer = lambda request: Answer(json.dumps(said).encode(), "application/json", 400)
    with pytest.raises(ServiceError, match="hips not found") as caught:
        fetch(DSS2(base_url=service.url))
    assert caught.value.status == 400


def test_zeros_beyond_the_edge_are_no_image(service) -> None:
    """Surveys kept as integers have no NaN: the service fills with zeros."""

    def zeros(request: Request) -> Answer:
        body = answers.hips2fits(request.query["wcs"], "CDS/P/DSS2/red", integers=True, empty=True)
        return Answer(body, "application/fits")

    service.answer = zeros
    with pytest.raises(EmptyCutout, match="red"):
        fetch(DSS2(base_url=service.url), bands=("red",))


def test_pixels_of_another_survey_are_refused(service) -> None:
    """The service may know a survey under another name, or take the next best."""

    def other(request: Request) -> Answer:
        return Answer(answers.hips2fits(request.query["wcs"], "CDS/P/DSS2/blue"), "image/fits")

    service.answer = other
    with pytest.raises(ServiceError, match="sent pixels of CDS/P/DSS2/blue"):
        fetch(DSS2(base_url=service.url), bands=("red",))


def test_the_time_limit_is_ours(service) -> None:
    """astroquery's 30 s are fixed when it is imported: a slow survey would never come."""
    from astroquery.hips2fits import hips2fitsClass

    assert hips2fitsClass.timeout == 30
    service.latency = 0.6
    image = fetch(DSS2(base_url=service.url), bands=("red",), timeout=20.0)
    assert np.isfinite(image.pixels).all()


@pytest.mark.remote_data
@pytest.mark.parametrize("kind", [DSS2, PanStarrs, Galex])
def test_the_real_service(kind) -> None:
    """The service has not changed what it is asked, or how it answers."""
    image = kind().fetch(answers.GALAXY, 6 * u.arcmin, pixels=100)
    assert image.bands == kind.default_bands
    assert image.shape == (100, 100)
    assert np.isfinite(image.pixels).mean() > 0.9
