"""MAST's cutout services, as astroquery asks them and as they answer."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import cutout_answers as answers
from astrollava.errors import CutoutTooLarge, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, serving

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import mast
from astrollava_plugins._archives import unzip
from astrollava_plugins._planes import filter_of, stacked_cadences
from astrollava_plugins.mast import Hapcut, Tesscut, Zcut
from fetcher_suites import CoreSuite

SECTORS, TESS = "/tesscut/api/v0.1/sector", "/tesscut/api/v0.1/astrocut"
ZCUT, HAPCUT = "/zcut/api/v0.1/astrocut", "/hapcut/api/v0.1/astrocut"
SKYCELL = "hst_cutout_skycell-p2007x09y05-ra202d4695-decn47d1952"
#: The first four, which every suite asks for, and the default.
FILTERS = (*mast._HST[:4], "F606W", "F814W", "F160W")
INSIDE = (answers.GALAXY.ra.deg, answers.GALAXY.dec.deg)


def zipped(files: dict[str, bytes]) -> Answer:
    return Answer(answers.packed(files), "application/zip")


def said(**words: object) -> Answer:
    return Answer(json.dumps(words).encode(), "application/json")


def form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode()))


def tess(request: Request) -> Answer:
    if request.path == SECTORS:
        rows = [
            {
                "sectorName": f"tess-s{number:04d}-4-3",
                "sector": str(number),
                "camera": "4",
                "ccd": "3",
            }
            for number in (50, 23, 77)
        ]
        return said(results=rows)
    assert request.path == TESS
    asked = form(request)
    side = int(asked["x"])
    wcs = answers.grid(
        SkyCoord(float(asked["ra"]), float(asked["dec"]), unit="deg"),
        pixels=(side, side),
        scale=21.0,
        angle=64.0,
    )
    name = f"tess-s{int(asked['sector']):04d}-4-3_astrocut.fits"
    return zipped({name: answers.tess_pixels(wcs, width=80.0)})


def deep(request: Request) -> Answer:
    assert request.path == ZCUT
    asked = form(request)
    side = 3600 * float(asked["x"])
    at = SkyCoord(float(asked["ra"]), float(asked["dec"]), unit="deg")

    def plane(scale: float):
        pixels = round(side / scale)
        return answers.grid(at, pixels=(pixels, pixels), scale=scale)

    fine, coarse = plane(0.3), plane(0.6)
    every = dict.fromkeys(mast._HST, coarse)
    fine_planes = {"F606W": fine, "F814W": fine}
    return zipped(
        {
            "candels_gn_60mas_astrocut.fits": answers.deep_field(every),
            "candels_gn_30mas_astrocut.fits": answers.deep_field(fine_planes),
        }
    )


def hap(request: Request) -> Answer:
    assert request.path == HAPCUT
    asked = json.loads(request.body)
    side = 3600 * asked["x"]
    at = SkyCoord(asked["ra"], asked["dec"], unit="deg")

    def cutout(scale: float, **kw):
        pixels = round(side / scale)
        return answers.hap_cutout(answers.grid(at, pixels=(pixels, pixels), scale=scale), **kw)

    files = {f"{SKYCELL}_wfc3_uvis_{band.lower()}.fits": cutout(0.5) for band in FILTERS}
    files[f"{SKYCELL}_wfc3_ir_f160w_coarse.fits"] = cutout(1.5, factor=7.0)
    files[f"{SKYCELL}_acs_wfc_f814w-jbp505jg.fits"] = cutout(0.5, factor=50.0)
    return zipped(files)


class TestPlugin(PluginSuite):
    plugin = mast
    entry = "mast"


class Mast(CoreSuite):
    inside = INSIDE
    outside = (102.7, 70.5)

    def answer_outside(self, request):
        if request.path == SECTORS:
            return said(results=[])
        return said(msg="Missing HAP files for input target. Cutout not performed.", results=[])


class TestTesscut(Mast):
    size = 8.0

    def make(self, base_url):
        return Tesscut(base_url=base_url)

    def answer(self, request):
        return tess(request)


class TestZcut(Mast):
    size = 0.8

    def make(self, base_url):
        return Zcut(base_url=base_url)

    def answer(self, request):
        return deep(request)


class TestHapcut(Mast):
    size = 0.5

    def make(self, base_url):
        return Hapcut(base_url=base_url)

    def answer(self, request):
        return hap(request)


@pytest.fixture
def service():
    routes = {SECTORS: tess, TESS: tess, ZCUT: deep, HAPCUT: hap}
    with serving(lambda request: routes[request.path](request)) as service:
        yield service


def test_the_earliest_sector_is_taken(service) -> None:
    """Later ones have nine times the cadences: a gigabyte for the same picture."""
    image = Tesscut(base_url=service.url).fetch(answers.GALAXY, 8 * u.arcmin)
    assert form(service.requests[1])["sector"] == "23"
    assert image.source["sector"] == 23
    assert image.unit == "e-/s"


def test_the_median_leaves_out_what_is_flagged_or_struck() -> None:
    """A mean would be of empty cadences and of one full of scattered light."""
    wcs = answers.grid(pixels=(9, 7), scale=21.0)
    frame = stacked_cadences(answers.tess_pixels(wcs), "it", "a.fits")
    assert np.allclose(frame.pixels[0], answers.sky(wcs), atol=1e-3)
    assert frame.wcs.pixel_to_world(4, 3).separation(answers.GALAXY).arcsec < 0.1


def test_the_finest_image_of_a_filter_is_taken(service) -> None:
    """Coarse copies and single exposures come in the same archive."""
    fetcher = Hapcut(base_url=service.url)
    image = fetcher.fetch(answers.GALAXY, 20 * u.arcsec, bands=("F814W", "F160W"))
    assert [name.removeprefix(SKYCELL) for name in image.source["files"]] == [
        "_wfc3_uvis_f814w.fits",
        "_wfc3_uvis_f160w.fits",
    ]
    assert np.nanmax(image.pixels) < 2 * answers.BRIGHT


def test_filters_that_are_there_are_named_where_one_is_missing(service) -> None:
    """Few places have any three; another one in its stead would be a wrong colour nobody sees."""
    wcs = answers.grid(pixels=(60, 60), scale=0.5)
    files = {
        f"{SKYCELL}_{name}.fits": answers.hap_cutout(wcs)
        for name in ("wfc3_uvis_f275w", "wfc3_uvis_f336w")
    }
    service.answer = lambda request: zipped(files)
    fetcher = Hapcut(base_url=service.url)
    assert fetcher.fetch(answers.GALAXY, 10 * u.arcsec, bands=("F336W",)).bands == ("F336W",)
    with pytest.raises(OutsideFootprint, match=r"no F814W image there.*F275W, F336W"):
        fetcher.fetch(answers.GALAXY, 10 * u.arcsec)


def test_what_mast_says_of_nothing_is_told(service) -> None:
    """astroquery warns, and gives an empty list."""
    service.answer = lambda request: said(msg="No surveys matched.", results=[])
    with pytest.raises(OutsideFootprint, match="No surveys matched"):
        Zcut(base_url=service.url).fetch(answers.GALAXY, 10 * u.arcsec)


@pytest.mark.parametrize(
    "words",
    [{"error": "x"}, {"msg": "Internal failure", "status": "ERROR"}, {"results": [1]}, [1], "x", 5],
)
def test_trouble_is_no_empty_sky(service, words) -> None:
    """Outside means that nobody tries again; a service in trouble may be back in a minute."""
    service.answer = lambda request: Answer(json.dumps(words).encode(), "application/json")
    with pytest.raises(ServiceError):
        Hapcut(base_url=service.url).fetch(answers.GALAXY, 10 * u.arcsec)
    with pytest.raises(ServiceError):
        Tesscut(base_url=service.url).fetch(answers.GALAXY, 5 * u.arcmin)


def test_a_gateway_that_gives_up_is_told(service) -> None:
    """The services stand behind one that answers 504 after half a minute."""
    page = b"<html><head><title>504 Gateway Time-out</title></head></html>"
    service.answer = lambda request: Answer(page, "text/html", 504)
    with pytest.raises(ServiceError, match="504 Gateway Time-out") as caught:
        Hapcut(base_url=service.url).fetch(answers.GALAXY, 10 * u.arcsec)
    assert caught.value.status == 504


def test_an_archive_that_unpacks_to_gigabytes_is_refused(service, monkeypatch) -> None:
    """The bound on what is downloaded says nothing of what is inside."""
    monkeypatch.setattr(Hapcut, "max_unpacked", 1_000_000)
    service.answer = lambda request: zipped({"a_f606w.fits": bytes(30_000_000)})
    with pytest.raises(CutoutTooLarge, match="bytes at most"):
        Hapcut(base_url=service.url).fetch(answers.GALAXY, 10 * u.arcsec)


@pytest.mark.parametrize(
    ("header", "name", "expected"),
    [
        ({"FILTER": "F160W"}, "", "F160W"),
        ({"FILTER1": "F606W", "FILTER2": "CLEAR2L"}, "", "F606W"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "POL0V"}, "x_acs_f814w.fits", "F814W"),
        ({"ORIG_FLE": "hlsp_candels_hst_acs_gn-tot-30mas_f850lp_v1.0_drz.fits"}, "", "F850LP"),
        ({}, f"{SKYCELL}_ir_f128n_coarse.fits", "F128N"),
        ({}, "deep_field.fits", ""),
    ],
)
def test_filters_are_found_where_they_are_said(header, name, expected) -> None:
    """ACS says its filter in one of two keywords, WFC3 in a third, HAP in the file's name."""
    assert filter_of(header, name) == expected


def recorded(name: str) -> bytes:
    import astroquery.mast

    path = Path(astroquery.mast.__file__).parent / "tests" / "data" / name
    if not path.is_file():
        pytest.skip("this astroquery comes without its recorded answers")
    return path.read_bytes()


def test_a_recorded_answer_of_tesscut_is_read() -> None:
    """1,282 cadences, flags, and columns that no simulation has."""
    (content,) = unzip(
        recorded("astrocut_107.27_-70.0_5x5.zip"), max_bytes=1 << 20, what="it"
    ).values()
    frame = stacked_cadences(content, "it", "a.fits")
    assert frame.shape == (5, 5)
    assert np.isfinite(frame.pixels).all()
    assert frame.pixel_scale == pytest.approx(21, rel=0.05)


def test_a_recorded_answer_of_zcut_is_read(service) -> None:
    """Its headers mix a CD matrix with CDELT and CROTA, and say the filter in two ways."""
    there = SkyCoord(189.49206, 62.20615, unit="deg")
    data = recorded("astrocut_189.49206_62.20615_100x100px_f.zip")
    service.answer = lambda request: Answer(data, "application/zip")
    fetcher = Zcut(base_url=service.url)
    image = fetcher.fetch(there, 2.4 * u.arcsec, pixels=80, bands=("F606W", "F814W", "F850LP"))
    assert SkyCoord(*image.centre, unit="deg").separation(there).arcsec < 0.05
    assert image.pixel_scale == pytest.approx(0.03, rel=0.01)
    assert np.isfinite(image.pixels).all()


@pytest.mark.remote_data
@pytest.mark.parametrize(
    ("kind", "there", "size", "band"),
    [
        (Tesscut, SkyCoord(107.27, -70.0, unit="deg"), 3 * u.arcmin, "TESS"),
        (Zcut, SkyCoord(189.49206, 62.20615, unit="deg"), 3 * u.arcsec, "F606W"),
        (Hapcut, SkyCoord(351.347812, 28.497808, unit="deg"), 5 * u.arcsec, "F160W"),
    ],
)
def test_the_real_service(kind, there, size, band) -> None:
    """What is asked, and what comes, are what they were."""
    image = kind().fetch(there, size, bands=(band,), timeout=300.0)
    assert np.isfinite(image.pixels).any()
    with pytest.raises(OutsideFootprint):
        Zcut().fetch(SkyCoord(57.1, -30.1, unit="deg"), 3 * u.arcsec, timeout=300.0)
