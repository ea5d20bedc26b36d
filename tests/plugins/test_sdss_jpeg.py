"""SkyServer's pictures, as it sends them and as it misleads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from PIL import Image, ImageDraw

from astrollava.errors import CutoutTooLarge, InvalidRequest, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava.images import read
from astrollava_plugins import sdss_jpeg
from astrollava_plugins._frames import PLAIN, flat_share
from astrollava_plugins.sdss_jpeg import SdssFootprint, SdssPicture
from fetcher_suites import CoreSuite

AT = SkyCoord(184.9513, 14.4167, unit="deg")


def picture(side: int, *, outside: bool = False) -> bytes:
    shades = np.random.default_rng(2).integers(0, 60, (side, side, 3), dtype=np.uint8)
    drawn = Image.fromarray(shades)
    if outside:
        drawn = Image.new("RGB", (side, side), (20, 20, 20))
        words = "Requested (ra, dec) is outside the SDSS footprint"
        ImageDraw.Draw(drawn).text((4, side // 2), words, fill=(255, 255, 0))
    file = io.BytesIO()
    drawn.save(file, format="JPEG", quality=95)
    return file.getvalue()


def answer(request: Request) -> Answer:
    """As SkyServer does: a side that it does not make is moved to the next that it makes."""
    assert request.path == "/getjpeg"
    assert request.query["width"] == request.query["height"]
    side = min(max(int(request.query["width"]), 64), 2048)
    return Answer(picture(side), "image/jpeg")


class TestSdssPicture(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (83.6, -45.0)

    def make(self, base_url: str) -> SdssPicture:
        return SdssPicture(base_url=base_url)

    def answer(self, request: Request) -> Answer:
        return answer(request)

    def answer_blank(self, request: Request) -> Answer:
        return Answer(
            picture(int(request.query.get("width", self.pixels)), outside=True), "image/jpeg"
        )


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = sdss_jpeg
    entry = "sdss_jpeg"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(answer) as running:
        yield running


def test_skyserver_is_asked_in_its_own_terms(service: Service) -> None:
    """Another scale would be another size of sky."""
    image = SdssPicture(base_url=service.url).fetch(AT, 0.396127 * 224 * u.arcsec)
    (request,) = service.requests
    assert request.query == {
        "ra": "184.9513000",
        "dec": "14.4167000",
        "scale": "0.396127",
        "width": "224",
        "height": "224",
    }
    assert image.display
    assert image.pixel_scale == pytest.approx(0.396127)


def test_sides_that_would_be_moved_are_not_asked_for(service: Service) -> None:
    """SkyServer would answer with 64 or 2048 pixels of the same scale: another part of the sky."""
    fetcher = SdssPicture(base_url=service.url)
    with pytest.raises(InvalidRequest, match="64 to 2048"):
        fetcher.fetch(AT, 1 * u.arcmin, pixels=63)
    with pytest.raises(CutoutTooLarge):
        fetcher.fetch(AT, 30 * u.arcmin, pixels=2049)
    assert service.requests == []
    # Where the number is left to us, a finer scale makes 64 of them.
    image = fetcher.fetch(AT, 8 * u.arcsec)
    assert image.shape == (64, 64)
    assert image.pixel_scale == pytest.approx(0.125)


def test_a_moved_side_is_found_out(service: Service) -> None:
    """Should the limits change, the image would be of another scale than its WCS says."""
    service.answer = lambda r: Answer(picture(100), "image/jpeg")
    with pytest.raises(ServiceError, match="100 x 100"):
        SdssPicture(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=128)


@pytest.mark.parametrize("side", [64, 224, 1024])
def test_words_on_a_plain_picture_mean_outside(service: Service, side: int) -> None:
    """A model would describe the words."""
    service.answer = lambda r: Answer(picture(side, outside=True), "image/jpeg")
    with pytest.raises(OutsideFootprint):
        SdssPicture(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=side)


def test_no_real_picture_is_taken_for_a_plain_one(shared_data: Path) -> None:
    """A small galaxy on a dark sky must not count as nothing."""
    shares = [
        flat_share(read(path)) for path in sorted((shared_data / "galaxies").glob("**/*.jpg"))
    ]
    assert len(shares) > 500
    assert max(shares) < PLAIN / 2


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (SkyCoord(184.95, 14.42, unit="deg"), True),
        (SkyCoord(83.6, -45.0, unit="deg"), False),
        (SkyCoord(10.68, 41.27, unit="deg"), None),
    ],
    ids=["in Virgo", "in Pictor", "M 31"],
)
def test_the_footprint_is_only_sure_of_what_is_known(position: SkyCoord, said: bool | None) -> None:
    """A wrong yes costs a request; a wrong no hides images that are there."""
    assert SdssFootprint().contains(position) is said


@pytest.mark.remote_data
def test_the_real_service() -> None:
    """The service changes; this says when."""
    image = SdssPicture().fetch(AT, 1 * u.arcmin, pixels=128)
    assert image.shape == (128, 128)


@pytest.mark.remote_data
def test_the_real_service_outside() -> None:
    """What it draws outside of the survey must still be known as such."""
    with pytest.raises(OutsideFootprint):
        SdssPicture().fetch(SkyCoord(83.6, -20.0, unit="deg"), 1 * u.arcmin, pixels=128)
