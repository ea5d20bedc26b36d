"""Any SIA2 service: finding images, finding who cuts them, and never fetching a whole one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astrollava.errors import (
    CutoutTooLarge,
    FetchRefused,
    InvalidRequest,
    OutsideFootprint,
    ServiceError,
)
from astrollava.hooks.fetching import fetch
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava.images import read
from astrollava_plugins import sia
from astrollava_plugins.sia import VARIABLE, Sia2, named_services
from command_line import run
from cutout_answers import fits_bytes, grid, sky
from fetcher_suites import CoreSuite
from vo_answers import datalink, obscore, soda, votable

pytest.importorskip("pyvo", reason="the extra `fetch` is not installed")

AT = SkyCoord(202.469575, 47.195258, unit="deg")
VOTABLE = "application/x-votable+xml"
LINKS = "application/x-votable+xml;content=datalink"
#: Name of the image -> its scale in arcsec, its wavelengths in metres, its level of calibration.
IMAGES: dict[str, tuple[float, float, float, int]] = {
    "raw.fits": (0.2, 5.5e-7, 7.0e-7, 1),
    "red.fits": (0.5, 5.5e-7, 7.0e-7, 3),
    "blue.fits": (0.5, 4.0e-7, 5.4e-7, 3),
}
BANDS = {
    "g": (400 * u.nm, 540 * u.nm),
    "r": (550 * u.nm, 700 * u.nm),
}


class Archive:
    """An SIA2 service and the services its answers lead to.

    Parameters
    ----------
    form : str
        How an image says where it is cut: ``"datalink"`` in its own address, ``"described"`` in
        the table of images, ``"described badly"`` there for one of them, ``"whole"`` not at all.
    """

    def __init__(self, form: str = "datalink") -> None:
        self.form = form
        self.images = dict(IMAGES)
        self.elsewhere = ""
        self.uncut = False
        self.sent = np.zeros((0, 0), np.float32)

    def __call__(self, request: Request) -> Answer:
        host = f"http://{request.headers['host']}"
        cutter = f"{self.elsewhere or host}/soda/sync"
        if request.path == "/sia2":
            assert request.query["DPTYPE"] == "image"
            return Answer(self.found(request.query, host, cutter), VOTABLE)
        if request.path == "/links":
            file = request.query["ID"]
            return Answer(datalink([(file, file, cutter)], product=f"{host}/whole"), LINKS)
        assert request.path == "/soda/sync", request.path
        return Answer(self.cut(request.query), "application/fits")

    def found(self, asked: Mapping[str, str], host: str, cutter: str) -> bytes:
        shape, ra, dec, _ = asked["POS"].split()
        assert shape == "CIRCLE"
        assert SkyCoord(float(ra), float(dec), unit="deg").separation(AT).arcsec < 1
        shortest, longest = map(float, asked.get("BAND", "0 1").split())
        least = 2 if "CALIB" in asked else 0
        rows = []
        for file, (scale, low, high, level) in self.images.items():
            if high < shortest or low > longest or level < least:
                continue
            row: dict[str, object] = {
                "dataproduct_type": "image",
                "calib_level": level,
                "obs_collection": "TESTS",
                "obs_publisher_did": file,
                "access_url": f"{host}/whole/{file}",
                "access_format": "application/fits",
                "access_estsize": 1_600_000,
                "s_ra": AT.ra.deg,
                "s_dec": AT.dec.deg,
                "s_pixel_scale": scale,
                "em_min": low,
                "em_max": high,
            }
            if self.form == "datalink":
                row["access_url"] = f"{host}/links?ID={file}"
                row["access_format"] = LINKS
            rows.append(row)
        forms = {
            "described": soda("cut", cutter, column="obs_publisher_did"),
            "described badly": soda("cut", cutter, "raw.fits"),
        }
        return obscore(rows, resources=forms.get(self.form, ""))

    def cut(self, asked: Mapping[str, str]) -> bytes:
        file = asked["ID"]
        scale = self.images[file][0]
        ra, dec, radius = map(float, asked["CIRCLE"].split())
        side = 2000 if self.uncut else round(2 * radius * 3600 / scale)
        wcs = grid(SkyCoord(ra, dec, unit="deg"), pixels=(side, side), scale=scale)
        self.sent = sky(wcs, width=4.0, factor=list(self.images).index(file) + 1)
        return fits_bytes(wcs, self.sent)


class TestSia2(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (10.0, -80.0)

    def make(self, base_url: str) -> Sia2:
        return Sia2(f"{base_url}/sia2", bands=BANDS)

    def answer(self, request: Request) -> Answer:
        return Archive()(request)

    def answer_outside(self, request: Request) -> Answer:
        assert request.path == "/sia2"
        return Answer(obscore([]), VOTABLE)

    def answer_blank(self, request: Request) -> Answer:
        if request.path != "/soda/sync":
            return Archive()(request) if request.query else Answer()
        wcs = grid(AT, pixels=(180, 180), scale=0.5)
        return Answer(fits_bytes(wcs, np.zeros((180, 180), np.float32)), "application/fits")


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = sia
    entry = "sia"


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def service(archive: Archive) -> Iterator[Service]:
    with serving(archive) as running:
        yield running


def test_the_best_image_of_a_position_is_cut(service: Service) -> None:
    """Raw frames have the finest pixels: they are not what is meant by an image."""
    image = Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    assert image.source["files"] == ["red.fits"]
    assert image.bands == ("image",)
    assert image.shape == (120, 120)
    assert image.pixel_scale == pytest.approx(0.25)
    assert [request.path for request in service.requests] == ["/sia2", "/links", "/soda/sync"]
    assert "BAND" not in service.requests[0].query


def test_an_image_keeps_its_pixels_where_their_scale_is_known(
    service: Service, archive: Archive
) -> None:
    """Resampled to a finer grid, noise would look like structure."""
    image = Sia2(f"{service.url}/sia2", pixel_scale=0.5 * u.arcsec).fetch(AT, 30 * u.arcsec)
    assert image.shape == (60, 60)
    assert np.isin(image.pixels[0], archive.sent).all()


def test_raw_frames_are_used_only_where_there_is_nothing_else(
    service: Service, archive: Archive
) -> None:
    """A service lists a hundred images of a thousand, in no order: it is asked for good ones."""
    archive.images = {"raw.fits": IMAGES["raw.fits"]}
    image = Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    assert image.source["files"] == ["raw.fits"]
    asked = [request.query for request in service.requests if request.path == "/sia2"]
    assert ["CALIB" in query for query in asked] == [True, False]


def test_more_images_than_are_told_of_are_no_failure(service: Service, archive: Archive) -> None:
    """pyvo warns of a table that was cut off, and a warning may be an error."""

    def overflowing(request: Request) -> Answer:
        answer = archive(request)
        if request.path != "/sia2":
            return answer
        return Answer(answer.body.replace(b'value="OK"', b'value="OVERFLOW"'), VOTABLE)

    service.answer = overflowing
    image = Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    assert image.source["files"] == ["red.fits"]


def test_bands_are_asked_for_by_their_wavelengths(service: Service) -> None:
    """A service knows no letters; the plane called g must be the blue image."""
    image = Sia2(f"{service.url}/sia2", bands=BANDS).fetch(AT, 30 * u.arcsec)
    assert image.bands == ("g", "r")
    assert image.source["files"] == ["blue.fits", "red.fits"]
    blue = service.requests[0].query["BAND"].split()
    assert [float(end) for end in blue] == pytest.approx([4.0e-7, 5.4e-7])


def test_a_service_described_beside_the_images_is_used(service: Service, archive: Archive) -> None:
    """Some services describe their cutouts in the table of images itself."""
    archive.form = "described"
    image = Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    assert image.source["files"] == ["red.fits"]
    assert [request.path for request in service.requests] == ["/sia2", "/soda/sync"]


def test_a_description_of_another_image_is_not_used(service: Service, archive: Archive) -> None:
    """Cut would be whatever one image it names, under the name of each."""
    archive.form = "described badly"
    with pytest.raises(CutoutTooLarge, match="only whole files"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)


def test_a_whole_image_is_never_fetched(service: Service, archive: Archive) -> None:
    """pyvo falls back to the full data set, gigabytes of it, without a word."""
    archive.form = "whole"
    with pytest.raises(CutoutTooLarge, match="only whole files"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    assert [request.path for request in service.requests] == ["/sia2"]


def test_an_image_that_was_not_cut_is_refused(service: Service, archive: Archive) -> None:
    """A service that ignores the circle sends all of the image, with status 200."""
    archive.uncut = True
    with pytest.raises(CutoutTooLarge, match="did not cut"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)


def test_what_a_service_does_not_have_is_said(service: Service, archive: Archive) -> None:
    """An empty table is an answer, not a failure."""
    archive.images = {}
    with pytest.raises(OutsideFootprint, match="no image image"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)


def test_an_error_of_the_service_comes_in_its_words(service: Service) -> None:
    """SIA2 says what is wrong with a query in a VOTable."""
    body = votable([], [], status="ERROR", message="UsageFault: unknown COLLECTION")
    service.answer = lambda request: Answer(body, VOTABLE)
    with pytest.raises(ServiceError, match="unknown COLLECTION"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    service.requests.clear()
    with pytest.raises(ServiceError, match="unknown COLLECTION"):
        fetch(Sia2(f"{service.url}/sia2"), AT, 30 * u.arcsec, cache=False)
    assert len(service.requests) == 1, "it would say the same again"


def test_links_lead_only_to_hosts_that_were_named(service: Service, archive: Archive) -> None:
    """A table of images could send whoever follows it into a private network."""
    archive.elsewhere = "http://192.168.1.1"
    with pytest.raises(FetchRefused, match="leaves the service"):
        Sia2(f"{service.url}/sia2").fetch(AT, 30 * u.arcsec)
    # Named or not: what is private stays so.
    with pytest.raises(FetchRefused, match="private network"):
        Sia2(f"{service.url}/sia2", hosts=["192.168.1.1"]).fetch(AT, 30 * u.arcsec)


def test_the_collection_is_passed_on_and_kept_apart(service: Service) -> None:
    """Images of another collection must not come out of the cache under this one's name."""
    one = Sia2(f"{service.url}/sia2", collection="DEEP")
    one.fetch(AT, 30 * u.arcsec)
    assert service.requests[0].query["COLLECTION"] == "DEEP"
    assert one.parameters != Sia2(f"{service.url}/sia2").parameters
    assert one.parameters != Sia2(f"{service.url}/sia2", collection="DEEP", bands=BANDS).parameters


def test_services_are_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line cannot make objects."""
    monkeypatch.setenv(
        VARIABLE, "mine=https://a.org/sia2,files.a.org other=http://127.0.0.1:8080/q"
    )
    mine, other = sia.astrollava_fetchers()
    assert (mine.name, mine.base_url, mine.hosts) == (
        "mine",
        "https://a.org/sia2",
        ("a.org", "files.a.org"),
    )
    assert other.base_url == "http://127.0.0.1:8080/q"
    monkeypatch.delenv(VARIABLE)
    assert sia.astrollava_fetchers() == []


def test_the_command_line_fetches_from_a_service_by_its_name(
    service: Service, tmp_path: Path
) -> None:
    """The whole way: environment, entry point, service, file."""
    out = tmp_path / "cut.fits"
    asked = ("fetch", "202.469575 47.195258", "--from", "mine", "--size", "30arcsec", "-o", out)
    done = run(*asked, **{VARIABLE: f"mine={service.url}/sia2"})
    assert done.returncode == 0, done.stderr
    image = read(out)
    assert image.centre == pytest.approx((AT.ra.deg, AT.dec.deg), abs=1e-4)
    assert image.shape == (120, 120)


@pytest.mark.parametrize(
    "said",
    [
        "mine",
        "=https://a.org",
        "mine=ftp://a.org",
        "mine=https://",
        "mine=http://[",
        "mine=http://a:b/",
    ],
)
def test_a_garbled_name_is_refused(said: str) -> None:
    """A service that is left out in silence would be looked for in vain."""
    with pytest.raises(InvalidRequest, match="name=https://address"):
        named_services(said)


@pytest.mark.remote_data
def test_a_real_service() -> None:
    """CADC's SIA2, whose links lead to its SODA service."""
    fetcher = Sia2(
        "https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/sia/v2query",
        collection="CFHTMEGAPIPE",
        hosts=["ws-cadc.canfar.net", "ws-uv.canfar.net"],
    )
    image = fetcher.fetch(SkyCoord(36.5, -4.5, unit="deg"), 1 * u.arcmin)
    assert np.isfinite(image.pixels).mean() > 0.9
