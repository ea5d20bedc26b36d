"""ESASky's search, as astroquery asks it, and the products of two archives."""

from __future__ import annotations

import subprocess
import sys
import tarfile

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import sesame_database

import cutout_answers as answers
import vo_answers
from astrollava.errors import (
    CutoutTooLarge,
    FetchRefused,
    InvalidRequest,
    OutsideFootprint,
    ServiceError,
)
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import esasky
from astrollava_plugins.esasky import Herschel, Hubble
from fetcher_suites import CoreSuite

TAP = "/tap/sync"
XML = "application/x-votable+xml"
DESCRIPTORS = [
    ("mission", "char", "*"),
    ("table_name", "char", "*"),
    ("category", "char", "*"),
    ("intersect_polygon_query", "boolean"),
    ("ra", "char", "*"),
    ("dec", "char", "*"),
]
MISSIONS = {
    "HST-OPTICAL": ("observations.mv_v_v_hst_mmi_observation_optical_fdw_fdw", False),
    "Herschel": ("observations.mv_v_v_hsa_esasky_photo_fdw_fdw", True),
}
#: The columns that ESASky states for HST-OPTICAL.
HUBBLE = [
    ("observation_id", "char", "*"),
    ("ra_deg", "double"),
    ("dec_deg", "double"),
    ("instrument_name", "char", "*"),
    ("filter", "char", "*"),
    ("exposure_duration", "double", "", "s"),
    ("stc_s", "char", "*"),
    ("product_url", "char", "*"),
]
HERSCHEL = [
    ("observation_id", "char", "*"),
    ("instrument", "char", "*"),
    ("duration", "double", "", "s"),
    ("stc_s", "char", "*"),
    ("product_url", "char", "*"),
]
NEAR = answers.grid(answers.offset(10, 5), pixels=(200, 200), scale=0.2, angle=20.0)
FAR = answers.grid(answers.offset(150, 0), pixels=(200, 200), scale=0.2)
WIDE = answers.grid(answers.offset(30, 0), pixels=(60, 60), scale=6.0)


def host(request: Request) -> str:
    return f"http://{request.headers['host']}"


def descriptors() -> Answer:
    rows = [
        (mission, table, "observations", "T" if polygons else "F", "ra_deg", "dec_deg")
        for mission, (table, polygons) in MISSIONS.items()
    ]
    return Answer(vo_answers.votable(DESCRIPTORS, rows), XML)


def hubble_rows(base: str) -> list[tuple[object, ...]]:
    def row(name: str, wheels: str, seconds: float, wcs) -> tuple[object, ...]:
        outline = answers.polygon(wcs, "J2000")
        link = f"{base}/ehst-sl-server/servlet/data-action?ARTIFACT_ID={name}_DRZ"
        return (name, *wcs.wcs.crval, "ACS/WFC", wheels, seconds, outline, link)

    rows = [row(f"o{band.lower()}", band, 900.0, NEAR) for band in Hubble.bands]
    rows.append(row("short", "F814W;CLEAR2L", 30.0, NEAR))
    rows.append(row("long", "CLEAR1L;F814W", 2000.0, NEAR))
    rows.append(row("longest", "F814W", 9000.0, FAR))
    return rows


def herschel_rows(base: str) -> list[tuple[object, ...]]:
    outline = answers.polygon(WIDE)
    return [
        (name, instrument, 100.0, outline, f"{base}/hsa/whsa-tap-server/data?OBS={name}")
        for name, instrument in (("1", "PACS"), ("2", "SPIRE"))
    ]


def herschel_product(name: str) -> bytes:
    wanted = ("70", "100", "160") if name == "1" else ("250", "350", "500")
    kind = "hpacs" if name == "1" else "hspire"
    files = {
        f"134220000{name}/level2/{kind}_{Herschel._names[band]}_map.fits.gz": answers.gzipped(
            answers.fits_bytes(WIDE)
        )
        for band in wanted
    }
    return answers.tarred({**files, f"134220000{name}/index.html": b"<html>"})


def as_the_service(request: Request, *, blank: bool = False) -> Answer:
    if request.path == TAP:
        query = request.query["QUERY"]
        if "descriptors" in query:
            return descriptors()
        if "hst" in query:
            return Answer(vo_answers.votable(HUBBLE, hubble_rows(host(request))), XML)
        return Answer(vo_answers.votable(HERSCHEL, herschel_rows(host(request))), XML)
    if request.path.startswith("/hsa/"):
        return Answer(herschel_product(request.query["OBS"]), "application/x-tar")
    data = np.zeros((200, 200), np.float32) if blank else None
    body = answers.gzipped(answers.fits_bytes(NEAR, data))
    named = {"Content-Disposition": 'attachment; filename="../../../tmp/evil.fits.gz"'}
    return Answer(body, "application/fits", headers=named)


class TestPlugin(PluginSuite):
    plugin = esasky
    entry = "esasky"


class TestHubble(CoreSuite):
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)
    outside = (83.8, -5.4)
    size = 0.3

    def make(self, base_url):
        return Hubble(base_url=base_url)

    def answer(self, request):
        return as_the_service(request)

    def answer_outside(self, request):
        # ESASky searches by the middle of an image: it finds some that do not reach there.
        return as_the_service(request)

    def answer_blank(self, request):
        return as_the_service(request, blank=True)


class TestHerschel(CoreSuite):
    inside = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)
    outside = (83.8, -5.4)
    size = 3.0

    def make(self, base_url):
        return Herschel(base_url=base_url)

    def answer(self, request):
        return as_the_service(request)

    def answer_outside(self, request):
        return as_the_service(request)


@pytest.fixture
def service():
    with serving(as_the_service) as service:
        yield service


@pytest.fixture
def hubble(service):
    return Hubble(base_url=service.url)


def test_one_product_is_downloaded_the_longest_that_reaches_there(hubble, service) -> None:
    """`get_images` downloads all of them: hundreds, of 200 MB each."""
    image = hubble.fetch(answers.GALAXY, 20 * u.arcsec)
    products = [request for request in service.requests if request.path != TAP]
    assert [request.query["ARTIFACT_ID"] for request in products] == ["long_DRZ"]
    assert image.source["observation"] == "long"
    assert image.source["product_bytes"] > 0
    row, column = np.unravel_index(np.nanargmax(image.pixels[0]), image.shape)
    assert image.wcs.pixel_to_world(column, row).separation(answers.GALAXY).arcsec < 0.3


def test_observations_are_searched_for_as_far_as_they_reach(hubble, service) -> None:
    """With a radius of zero ESASky finds images whose middle is within 5 arcsec, and no other."""
    hubble.fetch(answers.GALAXY, 20 * u.arcsec)
    query = service.requests[1].query["QUERY"]
    assert "CONTAINS(POINT('ICRS', ra_deg, dec_deg), CIRCLE('ICRS', 202.469575, 47.195258" in query
    radius = float(query.rpartition("47.195258,")[2].strip(" )=1"))
    assert radius == pytest.approx((180 + 10) / 3600)


def test_nothing_is_written_and_no_name_is_taken_from_a_header(
    hubble, tmp_path, monkeypatch
) -> None:
    """astroquery saves products in the working folder under the name that the answer states."""
    monkeypatch.chdir(tmp_path)
    hubble.fetch(answers.GALAXY, 20 * u.arcsec)
    assert list(tmp_path.rglob("*")) == []


def test_how_names_are_resolved_is_left_as_it_was(hubble) -> None:
    """A search sets the resolver of `SkyCoord.from_name` to SIMBAD, for the whole process."""
    with sesame_database.set("ned"):
        hubble.fetch(answers.GALAXY, 20 * u.arcsec)
        assert sesame_database.get() == "ned"


def test_how_tar_archives_are_extracted_is_left_as_it_was() -> None:
    """Importing astroquery.esasky lets every archive of the process write anywhere."""
    code = (
        "import tarfile; before = tarfile.TarFile.__dict__.get('extraction_filter')\n"
        "from astrollava_plugins.esasky import _esasky; _esasky(None)\n"
        "import sys; assert 'astroquery.esasky' in sys.modules\n"
        "assert tarfile.TarFile.__dict__.get('extraction_filter') is before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert hasattr(tarfile, "fully_trusted_filter")  # else the test says nothing


def test_filters_that_are_there_are_named_where_one_is_missing(hubble, service) -> None:
    """Few places have F814W; another one in its stead would be another picture."""

    def only_blue(request: Request) -> Answer:
        if "hst" in request.query.get("QUERY", ""):
            rows = [row for row in hubble_rows(host(request)) if row[0] == "of435w"]
            return Answer(vo_answers.votable(HUBBLE, rows), XML)
        return as_the_service(request)

    service.answer = only_blue
    assert hubble.fetch(answers.GALAXY, 20 * u.arcsec, bands=("F435W",)).bands == ("F435W",)
    with pytest.raises(OutsideFootprint, match="F435W"):
        hubble.fetch(answers.GALAXY, 20 * u.arcsec)


def test_each_band_is_a_product_so_one_is_given(hubble, service) -> None:
    """Three bands would be three downloads of hundreds of megabytes."""
    with pytest.raises(InvalidRequest, match="one"):
        hubble.fetch(answers.GALAXY, 20 * u.arcsec, bands=("F435W", "F814W"))
    assert service.requests == []


def test_a_mission_that_is_gone_is_told(hubble, service) -> None:
    """astroquery raises a KeyError with the mission's name."""

    def renamed(request: Request) -> Answer:
        if "descriptors" in request.query.get("QUERY", ""):
            rows = [("HST", "t", "observations", "F", "ra", "dec")]
            return Answer(vo_answers.votable(DESCRIPTORS, rows), XML)
        return as_the_service(request)

    service.answer = renamed
    with pytest.raises(ServiceError, match="HST-OPTICAL"):
        hubble.fetch(answers.GALAXY, 20 * u.arcsec)


def test_products_of_strangers_are_not_fetched(hubble, service) -> None:
    """The table states where products are: it may say anywhere."""

    def elsewhere(request: Request) -> Answer:
        if "hst" in request.query.get("QUERY", ""):
            rows = hubble_rows("http://169.254.169.254")
            return Answer(vo_answers.votable(HUBBLE, rows), XML)
        return as_the_service(request)

    service.answer = elsewhere
    with pytest.raises(FetchRefused, match="leaves the service"):
        hubble.fetch(answers.GALAXY, 20 * u.arcsec)


def test_herschel_maps_come_out_of_their_archive(service) -> None:
    """A product holds maps of all bands, packed twice; PACS and SPIRE have one each."""
    fetcher = Herschel(base_url=service.url)
    image = fetcher.fetch(answers.GALAXY, 2 * u.arcmin, bands=("350", "500"))
    assert image.bands == ("350", "500")
    assert image.source["observation"] == "2"
    assert fetcher.fetch(answers.GALAXY, 2 * u.arcmin, bands=("70",)).source["observation"] == "1"
    with pytest.raises(OutsideFootprint, match="PACS, SPIRE"):
        fetcher.fetch(answers.GALAXY, 2 * u.arcmin, bands=("160", "250"))


def test_a_product_that_unpacks_to_gigabytes_is_refused(service, monkeypatch) -> None:
    """The bound on what is downloaded says nothing of what is inside."""
    monkeypatch.setattr(Herschel, "max_unpacked", 1_000_000)
    bomb = answers.tarred({"1/hspirepsw.fits": bytes(30_000_000)})
    service.answer = lambda request: (
        Answer(bomb, "application/x-tar")
        if request.path.startswith("/hsa/")
        else as_the_service(request)
    )
    with pytest.raises(CutoutTooLarge, match="bytes at most"):
        Herschel(base_url=service.url).fetch(answers.GALAXY, 2 * u.arcmin, bands=("250",))


@pytest.mark.remote_data
def test_the_real_service() -> None:
    """The search, its columns and the products are what they were."""
    image = Hubble().fetch(answers.GALAXY, 20 * u.arcsec, timeout=600.0)
    assert SkyCoord(*image.centre, unit="deg").separation(answers.GALAXY).arcsec < 2
