"""What is put around every fetcher: tries, turns, bounds, cache, record, and the same errors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import example, given
from hypothesis import strategies as st

import sky_service as sky
from astrollava import images
from astrollava.errors import (
    AstrollavaError,
    CutoutTooLarge,
    EmptyCutout,
    FetchTimeout,
    InvalidRequest,
    OutsideFootprint,
    PluginError,
    ServiceError,
    UnknownFetcher,
)
from astrollava.hooks import SkyImage
from astrollava.hooks.fetching import Declinations, fetch
from sky_service import Reply, SkyFetcher, SkyService, fits_bytes

SIZE = 3 * u.arcmin


def test_an_image_says_where_it_is_from(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    """An image without its address, time and credit can be neither repeated nor published."""
    image = fetch(fetcher, m51, SIZE, bands="gz")
    source = image.describe_source()
    assert image.bands == ("g", "z")
    assert image.shape == (90, 90)
    assert source["kind"] == "fetched"
    assert (source["fetcher"], source["survey"], source["credit"]) == (
        "sky",
        "Simulated Sky",
        "Simulated Sky",
    )
    assert source["url"].startswith(f"{service.url}/cutout?ra=202.469575&dec=47.195258&")
    assert source["position"] == [202.469575, 47.195258]
    assert (source["size"], source["pixels"], source["bands"]) == (180.0, 90, ["g", "z"])
    assert len(source["sha256"]) == 64
    assert source["requests"][0]["status"] == 200
    assert source["time"].endswith("+00:00")
    assert source["centre"] == pytest.approx([202.469575, 47.195258], abs=1e-6)
    json.dumps(source)
    assert image.meta["survey"] == "Simulated Sky"


def test_passwords_in_addresses_are_not_recorded(service: SkyService, m51: SkyCoord) -> None:
    class WithToken(SkyFetcher):
        def fetch(self, *args: Any, **options: Any) -> SkyImage:
            self.base_url = service.url + "/secret"
            return super().fetch(*args, **options)

        def get(self, address: str, params: Any = None, **options: Any) -> Any:
            return super().get(address, {**params, "api_token": "hunter2"}, **options)

    service.route("/secret/cutout", sky.cutout)
    image = fetch(WithToken(base_url=service.url), m51, SIZE)
    assert "hunter2" in service.asked[0].query.values()
    assert "hunter2" not in json.dumps(image.describe_source())


@pytest.mark.usefixtures("no_waiting")
def test_what_passes_is_tried_again(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    service.next(sky.status(503), sky.break_off(), sky.truncated())
    image = fetch(fetcher, m51, SIZE)
    assert image.source["tries"] == 4
    assert [record["status"] for record in image.source["requests"]] == [503, 200, 200]
    assert len(service.asked) == 4


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("trouble", "error", "asked"),
    [
        (sky.status(404), ServiceError, 1),
        (sky.status(400), ServiceError, 1),
        (sky.status(503), ServiceError, 4),
        (sky.status(429), ServiceError, 4),
        (sky.html_error(), ServiceError, 1),
        (sky.truncated(), ServiceError, 4),
        (sky.wrong_type(), ServiceError, 1),
        (sky.empty_list(), ServiceError, 1),
        (sky.huge_length(), CutoutTooLarge, 1),
    ],
)
def test_what_does_not_pass_is_not_asked_again(
    service: SkyService,
    fetcher: SkyFetcher,
    m51: SkyCoord,
    trouble: sky.Trouble,
    error: type[Exception],
    asked: int,
) -> None:
    """Asking again for what is not there is what gets an institute blocked."""
    service.always(trouble)
    with pytest.raises(error):
        fetch(fetcher, m51, SIZE)
    assert len(service.asked) == asked
    service.always(None)
    # Nothing of a failure may be found in the cache.
    assert fetch(fetcher, m51, SIZE).source["tries"] == 1


def test_a_service_that_asks_to_wait_is_waited_for(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    service.next(sky.status(429, retry_after=1))
    began = time.monotonic()
    fetch(fetcher, m51, SIZE)
    assert time.monotonic() - began >= 1.0


def test_nobody_is_waited_for_longer_than_allowed(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    """A Retry-After of a day must not hold a program for a day."""
    service.always(sky.status(503, retry_after=86400))
    began = time.monotonic()
    with pytest.raises(ServiceError, match="asks to wait for 86400 s"):
        fetch(fetcher, m51, SIZE, timeout=60)
    # Not even for the time allowed.
    assert time.monotonic() - began < 30.0


def test_all_tries_together_keep_to_the_time(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    service.always(sky.hang())
    began = time.monotonic()
    with pytest.raises(FetchTimeout):
        fetch(fetcher, m51, SIZE, timeout=1)
    assert len(service.asked) == 1
    assert time.monotonic() - began < 6.0  # four tries of one second, and pauses, are more


def test_a_fetcher_that_ignores_its_time_is_left_behind(m51: SkyCoord) -> None:
    """A library inside a plugin may wait without end where nothing can wake it."""
    released = threading.Event()

    class Deaf(SkyFetcher):
        def fetch(self, *_: Any, **__: Any) -> SkyImage:
            released.wait(60)
            raise AssertionError

    try:
        with pytest.raises(FetchTimeout, match="left behind"):
            fetch(Deaf(), m51, SIZE, timeout=0.2)
    finally:
        released.set()


def test_a_host_gets_no_more_at_a_time_than_it_may(service: SkyService, m51: SkyCoord) -> None:
    class Shy(SkyFetcher):
        name = "shy"
        at_once = 2

    service.latency = 0.05
    shy = Shy(base_url=service.url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: fetch(shy, m51, (2 + n) * u.arcmin), range(8)))
    assert len(service.asked) == 8
    assert service.busiest <= 2


def test_a_host_is_asked_no_more_often_than_it_may(service: SkyService, m51: SkyCoord) -> None:
    class Slow(SkyFetcher):
        rate = 20.0

    slow = Slow(base_url=service.url)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: fetch(slow, m51, (2 + n) * u.arcmin), range(8)))
    assert time.monotonic() - began >= 7 / 20.0 - 0.01


class Giving(SkyFetcher):
    """A fetcher that gives or raises what a test says."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def fetch(
        self,
        position: SkyCoord,
        size: u.Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> SkyImage:
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what  # type: ignore[no-any-return]


def image(values: Any) -> SkyImage:
    return SkyImage(np.asarray(values, np.float32), ("g",))


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        (image(np.full((1, 4, 4), np.nan)), EmptyCutout, "no value"),
        (image(np.zeros((1, 4, 4))), EmptyCutout, "no value"),
        (None, PluginError, "NoneType"),
        (KeyError("access_url"), PluginError, "KeyError"),
        (AttributeError("'NoneType' object has no attribute 'x'"), PluginError, "AttributeError"),
        (TimeoutError("slow"), FetchTimeout, "in time"),
        (ConnectionResetError("reset"), ServiceError, "connection to sky failed"),
        (OutsideFootprint("nothing there"), OutsideFootprint, "nothing there"),
    ],
)
def test_whatever_a_fetcher_does_gives_our_errors(
    m51: SkyCoord, what: Any, error: type[AstrollavaError], words: str
) -> None:
    with pytest.raises(error, match=words):
        fetch(Giving(what), m51, SIZE)


@pytest.mark.usefixtures("no_waiting")
def test_errors_of_requests_are_told_apart(m51: SkyCoord) -> None:
    """astroquery lets them through; who describes a table cannot know each library's own."""
    requests = pytest.importorskip("requests")
    with pytest.raises(FetchTimeout):
        fetch(Giving(requests.ReadTimeout("slow")), m51, SIZE)
    with pytest.raises(ServiceError, match="connection"):
        fetch(Giving(requests.ConnectionError("gone")), m51, SIZE)
    answer = requests.Response()
    answer.status_code = 418
    answer._content = b"<title>I am a teapot</title>"
    with pytest.raises(ServiceError, match="I am a teapot") as caught:
        fetch(Giving(requests.HTTPError("418", response=answer)), m51, SIZE)
    assert (caught.value.status, caught.value.first_line) == (418, "I am a teapot")


def test_an_image_of_another_place_is_refused(service: SkyService, fetcher: SkyFetcher) -> None:
    """A service that answers its default field to whatever it does not understand."""
    service.route("/cutout", lambda asked: Reply(fits_bytes(10.0, 10.0)))
    with pytest.raises(ServiceError, match="another place"):
        fetch(fetcher, SkyCoord(20, 20, unit="deg"), SIZE)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"size": 3}, InvalidRequest),
        ({"size": -1 * u.arcmin}, InvalidRequest),
        ({"size": np.nan * u.deg}, InvalidRequest),
        ({"size": 3 * u.kg}, InvalidRequest),
        ({"size": [1, 2] * u.deg}, InvalidRequest),
        ({"size": 2 * u.deg}, CutoutTooLarge),
        ({"pixels": 2000}, CutoutTooLarge),
        ({"pixels": 0}, InvalidRequest),
        ({"pixels": True}, InvalidRequest),
        ({"pixels": 1000}, InvalidRequest),
        ({"bands": "gq"}, InvalidRequest),
        ({"bands": ()}, InvalidRequest),
        ({"bands": "gg"}, InvalidRequest),
        ({"timeout": 0}, InvalidRequest),
        ({"position": "M51"}, InvalidRequest),
        ({"position": SkyCoord([1, 2], [3, 4], unit="deg")}, InvalidRequest),
        ({"position": SkyCoord(np.nan, 4, unit="deg")}, InvalidRequest),
        ({"fetcher": "skye"}, UnknownFetcher),
        ({"fetcher": 3}, InvalidRequest),
    ],
)
def test_what_makes_no_sense_is_not_asked_for(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, given: Any, error: type[Exception]
) -> None:
    asked = {"fetcher": fetcher, "position": m51, "size": SIZE, **given}
    with pytest.raises(error):
        fetch(**asked)
    assert service.asked == []


def test_outside_the_footprint_nobody_is_asked(service: SkyService, m51: SkyCoord) -> None:
    class South(SkyFetcher):
        footprint = Declinations(-90, 30)

    with pytest.raises(OutsideFootprint, match="declinations from -90 to 30") as caught:
        fetch(South(base_url=service.url), m51, SIZE)
    # An option of the command line helps nobody here.
    assert caught.value.hint == 'Try another survey: fetch="auto" chooses one'
    assert service.asked == []


def test_pixels_are_the_surveys_own_unless_that_is_too_many(
    fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    assert fetcher.plan(m51, 3 * u.arcmin).pixels == 90
    assert fetcher.plan(m51, 1 * u.deg).pixels == 1024
    assert fetcher.plan(m51, 1 * u.arcsec).pixels == 1
    assert fetcher.plan(m51.galactic, SIZE).ra == pytest.approx(m51.ra.deg)


@given(st.floats(1e-3, 6000), st.sampled_from([(0.186, 0.186, 6.0), (1.0, 1.0, 1.0), (2, 0.5, 9)]))
@example(180.0, (0.186, 0.186, 6.0))
@example(0.05, (0.186, 0.186, 6.0))
def test_no_size_alone_is_refused_for_its_scale(
    side: float, scales: tuple[float, float, float]
) -> None:
    """The number that was filled in is checked again by the fetcher, as if the user gave it."""
    native, finest, coarsest = scales
    fetcher = SkyFetcher(base_url="http://127.0.0.1:9")
    fetcher.pixel_scale = native * u.arcsec
    fetcher.scale_range = (finest * u.arcsec, coarsest * u.arcsec)
    fetcher.max_pixels, fetcher.max_size = 10_000, 2 * u.deg
    position, size = SkyCoord(10, 10, unit="deg"), side * u.arcsec
    filled = fetcher.plan(position, size)
    assert fetcher.plan(position, size, pixels=filled.pixels).pixels == filled.pixels
    if side >= finest and coarsest > finest:
        assert finest * (1 - 1e-6) <= filled.scale or filled.pixels == 1


def _half(asked: sky.Asked) -> Reply:
    """Answer as a service that takes the side for a diameter, or the other way round."""
    ra, dec, size = (asked.number(name) for name in ("ra", "dec", "size"))
    return Reply(fits_bytes(ra, dec, size=size / 2, pixels=int(asked.number("pixels"))))


def test_an_image_of_another_size_is_refused(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, own_cache: Path
) -> None:
    """Half the side asked for was described as all of it, and the record said 180 arcsec."""
    service.route("/cutout", _half)
    with pytest.raises(ServiceError, match="gave an image of 90 arcsec") as caught:
        fetch(fetcher, m51, SIZE)
    assert caught.value.expected == "a side of 180 arcsec, as asked for"
    assert len(service.asked) == 1
    assert not list(own_cache.rglob("*.cutout"))


@pytest.mark.parametrize(("size", "pixels"), [(3.2, 90), (2.75, 90), (3.0, 3)])
def test_a_size_rounded_to_coarse_pixels_is_not_refused(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, size: float, pixels: int
) -> None:
    """Pixels of 21 arcsec, as TESS has, meet few sizes to a tenth."""
    service.route(
        "/cutout", lambda _: Reply(fits_bytes(m51.ra.deg, m51.dec.deg, size / 60, pixels))
    )
    source = fetch(fetcher, m51, SIZE).source
    assert source["size"] == 180.0
    assert source["shape"] == [3, pixels, pixels]
    assert source["pixel_scale"] == pytest.approx(60 * size / pixels)


def test_a_number_of_pixels_that_the_service_cuts_down_is_refused(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    """300 were asked for, 100 came, and the record said 300."""
    service.route("/cutout", lambda _: Reply(fits_bytes(m51.ra.deg, m51.dec.deg, 0.05, 50)))
    # Where none are asked for, those that the service has will do: also out of the cache.
    for _ in range(2):
        assert fetch(fetcher, m51, SIZE).source["shape"] == [3, 50, 50]
    assert len(service.asked) == 1
    with pytest.raises(ServiceError, match="gave an image of 50 x 50 pixels") as caught:
        fetch(fetcher, m51, SIZE, pixels=90)
    assert caught.value.expected == "90 pixels along a side, as asked for"


@pytest.mark.parametrize("bands", [("0",), ("g", "r")])
def test_fewer_planes_than_bands_are_the_services_fault(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, bands: Sequence[str]
) -> None:
    """The user was told that --bands g,r,z was wrong, and had given none."""

    class Trusting(SkyFetcher):
        def fetch(self, position: SkyCoord, size: u.Quantity, **wanted: Any) -> SkyImage:
            plain = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64)
            body = fits_bytes(m51.ra.deg, m51.dec.deg, 0.05, 64, ("g",), plain[0])
            return images.read(body, bands=wanted["bands"])

    class Blind(Giving):
        """It does not look at what came."""

    with pytest.raises(ServiceError, match=r"the bands are to be .* has 1 unnamed plane") as caught:
        fetch(Trusting(), m51, SIZE)
    assert "bands=" not in str(caught.value)
    pixels = np.random.default_rng(1).normal(size=(len(bands), 4, 4))
    with pytest.raises(ServiceError, match=rf"image of {len(bands)} plane") as caught:
        fetch(Blind(SkyImage(pixels, tuple(bands))), m51, SIZE)
    assert caught.value.expected == "one for each of the bands g, r, z"


def test_a_fetcher_may_refuse_what_is_asked_for(m51: SkyCoord) -> None:
    """What it finds wrong with a request itself is the user's to mend."""
    with pytest.raises(InvalidRequest, match="not these two"):
        fetch(Giving(InvalidRequest("not these two bands together")), m51, SIZE)
