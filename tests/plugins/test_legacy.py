"""The Legacy Surveys' viewer, as it answers and as it misleads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from PIL import Image

from astrollava import Describer
from astrollava.errors import CutoutTooLarge, EmptyCutout, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava_plugins import legacy
from astrollava_plugins.legacy import Legacy, LegacyFootprint, LegacyPicture
from fetcher_suites import CoreSuite

AT = SkyCoord(184.9513, 14.4167, unit="deg")
#: What the viewer clamps to, without a word.
MOST = 3000


def cutout(asked: dict[str, str], fill: Callable[[int, int], np.ndarray] | None = None) -> bytes:
    """A FITS cutout in the shape recorded from the viewer: a cube, its bands named one by one."""
    side, bands = min(int(asked.get("size", 256)), MOST), asked.get("bands", "griz")
    header = fits.Header()
    header["SURVEY"], header["VERSION"], header["IMAGETYP"] = "DECaLS", "DR10", "image"
    header["BANDS"] = bands
    for number, band in enumerate(bands):
        header[f"BAND{number}"] = band
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = float(asked["ra"]), float(asked["dec"])
    header["CRPIX1"] = header["CRPIX2"] = side / 2 + 0.5
    step = float(asked.get("pixscale", 0.262)) / 3600
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -step, 0.0, 0.0, step
    planes = sky(side, bands) if fill is None else fill(side, len(bands))
    data = planes if len(bands) > 1 else planes[0]
    file = io.BytesIO()
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(file)
    return file.getvalue()


def sky(side: int, bands: str) -> np.ndarray:
    """A galaxy whose flux says which band it is."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    light = np.exp(-np.hypot(rows, columns) / (side / 10))
    noise = np.random.default_rng(3).normal(0, 0.01, (len(bands), side, side))
    return light * np.array(["griz".index(b) + 1 for b in bands])[:, None, None] + noise


def picture(side: int, shade: int | None = None) -> bytes:
    shades = np.random.default_rng(2).integers(0, 80, (side, side, 3), dtype=np.uint8)
    # North, the first row of a picture, is bright: what turns it over is found out.
    shades[: side // 2] += 120
    if shade is not None:
        shades[:] = shade
    file = io.BytesIO()
    Image.fromarray(shades).save(file, format="JPEG", quality=95)
    return file.getvalue()


class TestLegacy(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (10.0, 89.0)

    def make(self, base_url: str) -> Legacy:
        return Legacy(base_url=base_url)

    def answer(self, request: Request) -> Answer:
        assert request.path == "/fits-cutout"
        return Answer(cutout(dict(request.query)), "image/fits")

    def answer_blank(self, request: Request) -> Answer:
        asked = {"ra": "1", "dec": "1", "size": str(self.pixels), **request.query}
        return Answer(cutout(asked, lambda side, n: np.zeros((n, side, side))), "image/fits")


class TestLegacyPicture(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (10.0, 89.0)

    def make(self, base_url: str) -> LegacyPicture:
        return LegacyPicture(base_url=base_url)

    def answer(self, request: Request) -> Answer:
        assert request.path == "/jpeg-cutout"
        return Answer(picture(min(int(request.query["size"]), MOST)), "image/jpeg")

    def answer_blank(self, request: Request) -> Answer:
        return Answer(picture(int(request.query.get("size", self.pixels)), 32), "image/jpeg")


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = legacy
    entry = "legacy"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(lambda r: Answer(cutout(dict(r.query)), "image/fits")) as running:
        yield running


def test_the_viewer_is_asked_in_its_own_terms(service: Service) -> None:
    """Another layer, scale or size would be another image of the same place."""
    image = Legacy(base_url=service.url).fetch(AT, 1.048 * u.arcmin)
    (request,) = service.requests
    assert request.query == {
        "ra": "184.9513000",
        "dec": "14.4167000",
        "layer": "ls-dr10",
        "pixscale": "0.262",
        "size": "240",
        "bands": "grz",
    }
    assert image.bands == ("g", "r", "z")
    assert image.unit == "nanomaggy"
    assert image.pixel_scale == pytest.approx(0.262)
    # Each plane under its own name: the galaxy is made brighter from band to band.
    assert [round(float(p.max())) for p in image.pixels] == [1, 2, 4]


def test_more_than_3000_pixels_are_never_asked_for(service: Service) -> None:
    """The viewer would cut the side down in silence, and the image would show less sky."""
    fetcher = Legacy(base_url=service.url)
    with pytest.raises(CutoutTooLarge, match="3000"):
        fetcher.fetch(AT, 20 * u.arcmin, pixels=3001)
    with pytest.raises(CutoutTooLarge):
        fetcher.fetch(AT, 2 * u.deg)
    assert service.requests == []
    fetcher.plan(AT, 15 * u.arcmin)
    assert fetcher.plan(AT, 30 * u.arcmin).pixels == 3000


def test_a_clamped_answer_is_found_out(service: Service) -> None:
    """A mirror with a smaller limit would give another part of the sky than was asked for."""
    service.answer = lambda r: Answer(cutout({**r.query, "size": "100"}), "image/fits")
    with pytest.raises(ServiceError, match="100 x 100"):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=200)


def test_an_image_of_another_place_is_found_out(service: Service) -> None:
    """A mirror that serves one answer to all would have every galaxy look alike."""
    elsewhere = {"ra": "10.0", "dec": "0.0"}
    service.answer = lambda r: Answer(cutout({**r.query, **elsewhere}), "image/fits")
    with pytest.raises(ServiceError, match="another place"):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64)


def test_bands_are_those_that_the_file_names(service: Service) -> None:
    """In another order every colour would be wrong, and nobody would see it."""

    def sorted_bands(request: Request) -> Answer:
        asked = {
            **request.query,
            "bands": "".join(sorted(request.query["bands"], key="griz".index)),
        }
        return Answer(cutout(asked), "image/fits")

    service.answer = sorted_bands
    image = Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64, bands="zg")
    assert image.bands == ("z", "g")
    assert [round(float(plane.max())) for plane in image.pixels] == [4, 1]
    service.answer = lambda r: Answer(cutout({**r.query, "bands": "ri"}), "image/fits")
    with pytest.raises(ServiceError, match="sent bands r, i"):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64, bands="zg")


def test_a_file_in_place_of_a_picture_is_found_out(service: Service) -> None:
    """Its values are no shades."""
    body = cutout({"ra": "1", "dec": "1", "size": "64", "bands": "grz"})
    service.answer = lambda r: Answer(body, "image/jpeg")
    with pytest.raises(ServiceError, match="Expected a picture"):
        LegacyPicture(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64)


def test_zeros_of_a_coadd_are_no_measurements(service: Service) -> None:
    """Where nothing was observed the viewer writes zeros: black holes in the rendering."""

    def half(side: int, count: int) -> np.ndarray:
        planes = sky(side, "grz"[:count])
        planes[:, : side // 2] = 0
        return planes

    service.answer = lambda r: Answer(cutout(dict(r.query), half), "image/fits")
    image = Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64)
    assert np.isnan(image.pixels[:, :32]).all()
    assert np.isfinite(image.pixels[:, 32:]).all()
    assert image.mask is not None
    assert image.mask.mean() == 0.5


def test_a_band_that_was_not_observed_is_named(service: Service) -> None:
    """North of +32 deg there is no i: a black plane would shift every colour."""

    def without_i(side: int, count: int) -> np.ndarray:
        planes = sky(side, "gri")
        planes[2] = 0
        return planes

    service.answer = lambda r: Answer(cutout(dict(r.query), without_i), "image/fits")
    with pytest.raises(EmptyCutout, match="no i image"):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=64, bands="gri")


@pytest.mark.parametrize("status", [200, 404, 500])
def test_no_overlap_means_outside(service: Service, status: int) -> None:
    """A hole in the survey is no failure of the service: it is not to be tried again."""
    page = b"<html><body><h1>NoOverlapError: No overlap</h1></body></html>"
    service.answer = lambda r: Answer(page, "text/html", status)
    with pytest.raises(OutsideFootprint):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin)


def test_another_failure_does_not_mean_outside(service: Service) -> None:
    """An overloaded viewer must be asked again, not be taken for an empty sky."""
    service.answer = lambda r: Answer(b"<h1>Server Error (500)</h1>", "text/html", 500)
    with pytest.raises(ServiceError) as caught:
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin)
    assert caught.value.status == 500


def test_a_file_without_an_image_means_outside(service: Service) -> None:
    """The viewer sends a bare header where nothing overlaps."""
    file = io.BytesIO()
    hdu = fits.PrimaryHDU()
    hdu.header["OVERLAP"] = False
    hdu.writeto(file)
    service.answer = lambda r: Answer(file.getvalue(), "image/fits")
    with pytest.raises(OutsideFootprint):
        Legacy(base_url=service.url).fetch(AT, 1 * u.arcmin)


def test_a_picture_stays_as_it_is_and_knows_where_it_is(service: Service) -> None:
    """North must stay on top, and the position of a pixel be that of the sky."""
    service.answer = lambda r: Answer(picture(int(r.query["size"])), "image/jpeg")
    image = LegacyPicture(base_url=service.url).fetch(AT, 1 * u.arcmin, pixels=120)
    assert "bands" not in service.requests[0].query
    assert service.requests[0].query["layer"] == "ls-dr9"
    assert image.display
    assert image.origin == "upper"
    assert image.bands == ("R", "G", "B")
    assert image.pixels[:, :60].mean() > image.pixels[:, 60:].mean() + 60
    assert image.wcs is not None
    top, bottom = (image.wcs.pixel_to_world(59.5, row) for row in (0, 119))
    assert top.dec.deg - bottom.dec.deg == pytest.approx(119 * 0.5 / 3600, rel=1e-3)
    left, right = (image.wcs.pixel_to_world(column, 59.5) for column in (0, 119))
    assert left.ra.deg > right.ra.deg


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (SkyCoord(202.47, 47.195, unit="deg"), True),
        (SkyCoord(184.95, 14.42, unit="deg"), True),
        (SkyCoord(0.0, 89.0, unit="deg"), False),
        (SkyCoord(266.4, -29.0, unit="deg"), None),
        (SkyCoord(10.68, 41.27, unit="deg"), None),
    ],
    ids=["M 51", "in Virgo", "the pole", "the Galactic centre", "M 31"],
)
def test_the_footprint_is_only_sure_of_what_is_known(position: SkyCoord, said: bool | None) -> None:
    """A wrong yes costs a request; a wrong no hides images that are there."""
    assert LegacyFootprint().contains(position) is said


@pytest.mark.parametrize("kind", [TestLegacy, TestLegacyPicture], ids=["fits", "jpeg"])
def test_a_position_is_described_in_one_line(kind: type[CoreSuite]) -> None:
    """From the sky to words, in data and in a finished picture alike."""
    suite = kind()
    with serving(suite.answer) as service, Describer() as describer:
        fetcher = suite.make(service.url)
        said = describer.describe(AT, fetch=fetcher, size=1 * u.arcmin, pixels=120, max_tokens=8)
    assert said.text
    assert said.provenance.source["fetcher"] == fetcher.name
    assert said.provenance.source["centre"] == pytest.approx((AT.ra.deg, AT.dec.deg), abs=1e-4)
    assert said.provenance.rendering["flipped"] is (kind is TestLegacy)


@pytest.mark.remote_data
@pytest.mark.parametrize("fetcher", [Legacy(), LegacyPicture()], ids=lambda f: f.name)
def test_the_real_viewer(fetcher: Legacy | LegacyPicture) -> None:
    """The service changes; this says when."""
    image = fetcher.fetch(AT, 1 * u.arcmin, pixels=128)
    assert image.shape == (128, 128)
    assert np.isfinite(image.pixels).mean() > 0.9
