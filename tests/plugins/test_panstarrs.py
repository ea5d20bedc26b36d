"""Pan-STARRS1 at MAST: a list of files, then a cutout of each band."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import CutoutTooLarge, EmptyCutout, OutsideFootprint, ServiceError
from astrollava.hooks.testing import Answer, PluginSuite, Request, Service, serving
from astrollava_plugins import panstarrs
from astrollava_plugins.panstarrs import PanStarrs, parse_files
from fetcher_suites import CoreSuite

AT = SkyCoord(202.4696, 47.1953, unit="deg")
HEAD = "projcell subcell ra dec filter mjd type filename shortname badflag"
#: A cell is a grid of its own: the position falls beside the middle of a pixel.
OFF = 0.3


def file_of(band: str) -> str:
    return f"/rings.v3.skycell/2246/056/rings.v3.skycell.2246.056.stk.{band}.unconv.fits"


def listing(bands: str, *, flag: int = 0) -> bytes:
    lines = [HEAD]
    for band in bands:
        name = file_of(band)
        shown = name.rpartition("/")[2]
        lines.append(
            f"2246 56 {AT.ra.deg:.8f} {AT.dec.deg:.8f} {band} 0.0 stack {name} {shown} {flag}"
        )
    return ("\n".join(lines) + "\n").encode()


def cutout(asked: dict[str, str], *, fill: float | None = None) -> bytes:
    """What fitscut gives: square, 0.25 arcsec a pixel, on the grid of the sky cell."""
    side = int(asked["size"])
    band = asked["red"].split(".stk.")[1][0]
    rows, columns = np.indices((side, side)) - (side - 1) / 2 - OFF
    data = 100.0 * ("grizy".index(band) + 1) * np.exp(-np.hypot(rows, columns) / 20)
    data += np.random.default_rng(4).normal(0, 1, (side, side))
    if fill is not None:
        data[:] = fill
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = float(asked["ra"]), float(asked["dec"])
    header["CRPIX1"] = header["CRPIX2"] = (side + 1) / 2 + OFF
    header["CDELT1"] = header["CDELT2"] = 0.25 / 3600
    header["CDELT1"] *= -1
    header["HIERARCH FPA.FILTER"] = f"{band}.00000"
    header["EXPTIME"] = 800.0
    file = io.BytesIO()
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(file)
    return file.getvalue()


def answer(request: Request) -> Answer:
    if request.path == "/ps1filenames.py":
        assert request.query["type"] == "stack"
        return Answer(listing(request.query["filters"]), "text/plain")
    assert request.path == "/fitscut.cgi"
    assert request.query["format"] == "fits"
    return Answer(cutout(dict(request.query)), "image/x-fits")


class TestPanStarrs(CoreSuite):
    inside = (AT.ra.deg, AT.dec.deg)
    outside = (83.6, -45.0)

    def make(self, base_url: str) -> PanStarrs:
        return PanStarrs(base_url=base_url)

    def answer(self, request: Request) -> Answer:
        return answer(request)

    def answer_blank(self, request: Request) -> Answer:
        if request.path == "/fitscut.cgi":
            return Answer(cutout(dict(request.query), fill=np.nan), "image/x-fits")
        return Answer(listing(request.query.get("filters", "")), "text/plain")


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = panstarrs
    entry = "panstarrs"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(answer) as running:
        yield running


def test_the_stacks_keep_their_own_pixels(service: Service) -> None:
    """At the survey's own scale, resampling would only blur."""
    image = PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin)
    assert image.shape == (240, 240)
    assert image.pixel_scale == pytest.approx(0.25)
    assert image.bands == ("g", "r", "i")
    listed, *cuts = service.requests
    assert listed.query["filters"] == "gri"
    assert [request.query["size"] for request in cuts] == ["242"] * 3
    assert image.source["files"] == [file_of(band) for band in "gri"]
    # The noise of neighbours is independent only where nothing was interpolated.
    sky = image.pixels[0, :40, :40]
    shared = np.corrcoef(sky[:, :-1].ravel(), sky[:, 1:].ravel())[0, 1]
    assert abs(shared) < 0.3


def test_each_band_is_its_own_file(service: Service) -> None:
    """Colours come from the right files, in the order of the bands asked for."""
    image = PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin, bands="yg")
    peaks = [float(np.nanmax(plane)) for plane in image.pixels]
    assert peaks[0] == pytest.approx(500, rel=0.1)
    assert peaks[1] == pytest.approx(100, rel=0.2)


def test_another_scale_is_made_here(service: Service) -> None:
    """fitscut ignores `output_size` for FITS: the pixels asked for must come all the same."""
    image = PanStarrs(base_url=service.url).fetch(AT, 2 * u.arcmin, pixels=96)
    assert image.shape == (96, 96)
    assert image.pixel_scale == pytest.approx(1.25)
    assert all("output_size" not in request.query for request in service.requests)
    row, column = np.unravel_index(np.nanargmax(image.pixels[0]), image.shape)
    assert abs(row - 47.5) <= 1
    assert abs(column - 47.5) <= 1


def test_a_list_of_nothing_means_outside(service: Service) -> None:
    """Outside of the survey the list is its header, with status 200."""
    service.answer = lambda r: Answer(HEAD.encode() + b"\n", "text/plain")
    with pytest.raises(OutsideFootprint):
        PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin)
    assert len(service.requests) == 1


def test_a_band_that_is_not_listed_is_named(service: Service) -> None:
    """Few sky cells lack a band; the others are no substitute."""
    service.answer = lambda r: Answer(listing("gr"), "text/plain")
    with pytest.raises(EmptyCutout, match="no i image"):
        PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin)


def test_a_position_beyond_the_edge_of_its_cell_is_said(service: Service) -> None:
    """The cutout then is NaN where the object would be: a model would describe the sky beside."""

    def clipped(request: Request) -> Answer:
        if request.path == "/ps1filenames.py":
            return answer(request)
        with fits.open(io.BytesIO(cutout(dict(request.query)))) as hdus:
            hdus[0].data[:, 100:] = np.nan
            file = io.BytesIO()
            hdus.writeto(file)
        return Answer(file.getvalue(), "image/x-fits")

    service.answer = clipped
    with pytest.raises(OutsideFootprint, match="end before the position"):
        PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin)


def test_more_than_a_sky_cell_is_refused(service: Service) -> None:
    """Beyond the sky cell there would be NaN, and nobody would be told."""
    with pytest.raises(CutoutTooLarge):
        PanStarrs(base_url=service.url).fetch(AT, 0.3 * u.deg)
    assert service.requests == []


def test_the_time_is_for_all_requests_together(service: Service) -> None:
    """Four requests of 0.4 s each are more than one second."""
    service.latency = 0.4
    with pytest.raises(TimeoutError):
        PanStarrs(base_url=service.url).fetch(AT, 1 * u.arcmin, timeout=1.0)


def test_bad_stacks_are_passed_over() -> None:
    """A flagged stack has known defects."""
    assert parse_files(listing("g", flag=2048).decode()) == {}


@given(st.text(max_size=300))
def test_no_list_raises_anything_else(noise: str) -> None:
    """What is no list, or a broken one, is an error of the service."""
    for text in (noise, f"{HEAD}\n{noise}"):
        try:
            found = parse_files(text)
        except ServiceError:
            continue
        assert all(found.values())


@pytest.mark.remote_data
def test_the_real_service() -> None:
    """The service changes; this says when."""
    image = PanStarrs().fetch(AT, 1 * u.arcmin)
    assert image.shape == (240, 240)
    assert np.isfinite(image.pixels).mean() > 0.9
