"""SDSS frames, as astroquery asks for them and as SkyServer and the archive answer."""

from __future__ import annotations

import bz2
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import cutout_answers as answers
from astrollava.errors import CutoutTooLarge, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import sdss
from astrollava_plugins.sdss import SDSSFrames
from fetcher_suites import CoreSuite

SEARCH = "/dr17/en/tools/search/x_results.aspx"
FRAME = re.compile(
    r"/sas/dr17/eboss/photoObj/frames/301/(\d+)/(\d)/frame-([ugriz])-(\d{6})-\d-0163"
)
FIELDS = [(1904, 301, 3, 163, 2.2), (1739, 301, 3, 163, 7.9)]
SCALE = 0.396


def frame_grid(run: int, band: str):
    """A small frame, turned; each band some pixels beside the others, as drift scans leave them."""
    place = "ugriz".index(band)
    middle = answers.offset(12.0 + 1.3 * place, -8.0 + 2.1 * place)
    if run == 1739:
        middle = answers.offset(0, 300)
    return answers.grid(middle, pixels=(310, 270), scale=SCALE, angle=37.0)


def as_the_service(request: Request) -> Answer:
    if request.path == SEARCH:
        return Answer(answers.sdss_frames(FIELDS).encode(), "text/plain; charset=utf-8")
    run, _, band, again = FRAME.match(request.path).groups()
    assert int(run) == int(again)
    return Answer(answers.sdss_frame(frame_grid(int(run), band), band), "application/x-bzip2")


class TestPlugin(PluginSuite):
    plugin = sdss
    entry = "sdss"


class TestSDSS(CoreSuite):
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)
    outside = (83.8, 20.0)
    size = 0.6

    def make(self, base_url):
        return SDSSFrames(base_url=base_url)

    def answer(self, request):
        return as_the_service(request)

    def answer_outside(self, request):
        assert request.path == SEARCH
        return Answer(answers.sdss_frames([]).encode(), "text/plain; charset=utf-8")


@pytest.fixture
def service():
    with serving(as_the_service) as service:
        yield service


@pytest.fixture
def fetcher(service):
    return SDSSFrames(base_url=service.url)


def brightest(image, plane: int) -> SkyCoord:
    row, column = np.unravel_index(np.nanargmax(image.pixels[plane]), image.shape)
    return image.wcs.pixel_to_world(column, row)


def test_bands_lie_on_each_other(fetcher) -> None:
    """Frames stacked as they come show every galaxy three times, in three colours."""
    image = fetcher.fetch(answers.GALAXY, 30 * u.arcsec)
    assert image.bands == ("g", "r", "i")
    for plane in range(3):
        assert brightest(image, plane).separation(answers.GALAXY).arcsec < SCALE


def test_one_band_keeps_its_pixels(fetcher) -> None:
    """Resampling where nothing has to be aligned would smear the noise."""
    image = fetcher.fetch(answers.GALAXY, 30 * u.arcsec, bands=("r",))
    whole = answers.sky(frame_grid(1904, "r"))
    assert np.isin(image.pixels[0], whole).all()
    assert image.unit == "nanomaggy"
    assert brightest(image, 0).separation(answers.GALAXY).arcsec < SCALE


def test_the_next_field_is_tried_at_the_edge(fetcher, service) -> None:
    """The field whose middle is nearest need not reach as far as the position."""
    service.answer = lambda request: (
        Answer(answers.sdss_frames(FIELDS[::-1]).encode(), "text/plain")
        if request.path == SEARCH
        else as_the_service(request)
    )
    image = fetcher.fetch(answers.GALAXY, 30 * u.arcsec, bands=("r",))
    assert dict(image.source)["run"] == 1904
    assert np.isfinite(image.pixels).all()


def test_the_nearest_field_is_found_by_frames_not_by_objects(fetcher, service) -> None:
    """`get_images(coordinates)` looks for an object within 2 arcsec: None for empty sky."""
    fetcher.fetch(answers.GALAXY, 30 * u.arcsec, bands=("r",))
    search, frame = service.requests
    assert "fGetNearbyFrameEq(202.46957500, 47.19525800, 9.0, 0)" in search.query["cmd"]
    assert frame.path.endswith("/frame-r-001904-3-0163.fits.bz2")


def test_what_skyserver_says_of_an_error_is_told(fetcher, service) -> None:
    """astroquery reads any page as CSV; a refusal comes as a column name."""
    said = b"<p>error_message: Maximum 60 queries allowed per minute</p>"
    service.answer = lambda request: Answer(said, "text/plain")
    with pytest.raises(ServiceError) as caught:
        fetcher.fetch(answers.GALAXY, 30 * u.arcsec)
    assert "Maximum 60 queries" in caught.value.first_line


@pytest.mark.parametrize("said", [b"", b"Too many users, please try again\n", b"#Table1\n"])
def test_a_line_of_words_is_not_an_empty_sky(fetcher, service, said) -> None:
    """It is a table without rows to astroquery: "outside", and nobody would try again."""
    service.answer = lambda request: Answer(said, "text/plain")
    with pytest.raises(ServiceError):
        fetcher.fetch(answers.GALAXY, 30 * u.arcsec)


def test_numbers_of_fields_are_numbers(fetcher, service) -> None:
    """They become parts of an address: ../../ must not."""
    rows = "#Table1\nrun,rerun,camcol,field,distance\n../../x,301,3,163,2.2\n"
    service.answer = lambda request: Answer(rows.encode(), "text/plain")
    with pytest.raises(ServiceError):
        fetcher.fetch(answers.GALAXY, 30 * u.arcsec)
    assert len(service.requests) == 1


def test_a_frame_that_unpacks_to_gigabytes_is_refused(fetcher, service) -> None:
    """bzip2 makes 100 MB of zeros of 100 bytes, behind any bound on what is downloaded."""
    # Streams one after the other are one file.
    bomb = bz2.compress(answers.fits_bytes(answers.grid())) + 12 * bz2.compress(bytes(10_000_000))

    def answer(request: Request) -> Answer:
        return as_the_service(request) if request.path == SEARCH else Answer(bomb, "")

    service.answer = answer
    with pytest.raises(CutoutTooLarge):
        fetcher.fetch(answers.GALAXY, 30 * u.arcsec)


def test_beside_all_frames_is_outside(fetcher) -> None:
    """The look-up gives fields whose corner would reach; most of them do not."""
    with pytest.raises(OutsideFootprint):
        fetcher.fetch(answers.offset(0, -600), 30 * u.arcsec, bands=("r",))


@pytest.mark.remote_data
def test_the_real_service() -> None:
    """The look-up and the addresses of frames are what they were."""
    image = SDSSFrames().fetch(answers.GALAXY, 3 * u.arcmin, timeout=180.0)
    assert image.bands == ("g", "r", "i")
    assert np.isfinite(image.pixels).mean() > 0.5
