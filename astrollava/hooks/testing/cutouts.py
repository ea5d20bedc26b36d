"""What every fetcher must do, whatever its service does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from astrollava.errors import (
    CutoutTooLarge,
    EmptyCutout,
    FetchError,
    FetchRefused,
    FetchTimeout,
    InvalidRequest,
    OutsideFootprint,
    ServiceError,
)
from astrollava.hooks.checks import find_faults
from astrollava.hooks.fetching.measured import TOLERANCE, side_of
from astrollava.hooks.testing._needed import needed
from astrollava.hooks.testing.service import FAULTS, Answer, Fault, Request, Service, serving
from astrollava.images import SkyImage

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.hooks import Fetcher

__all__ = ["FetcherSuite"]

#: How much longer than its time a fetcher may take for an answer that does not come.
_GRACE = 6.0
_SILENT = ("hang", "drip")
_ENDLESS = ("huge", "bomb")
#: Bytes that a fetcher reads at most where its service sends without end.
_BOUND = 32 << 20


class FetcherSuite:
    """Holds a fetcher to the contract, against a service on this machine.

    Subclass it as ``TestSomething`` and write `make` and `answer`.

    Attributes
    ----------
    inside : (float, float)
        ICRS degrees of a position that the survey has.
    outside : (float, float) or None
        One that it has not; None where it has all of the sky.
    size : float
        Arcminutes to ask for.
    pixels : int
        Pixels a side to ask for.
    tolerance : float
        How far the side of what comes may be from what was asked for, as a share of it. More than
        `astrollava.hooks.fetching.measured.TOLERANCE` the core refuses.
    patience : float
        Seconds to give the fetcher for an answer that does not come; more than 0.2, the pause
        between two bytes of a service that drips.
    skip_faults : mapping
        Fault of `FAULTS` that says nothing about this service -> why.
    """

    inside: ClassVar[tuple[float, float]] = needed(
        "give a position that the survey has, in degrees: inside = (202.47, 47.195)"
    )
    outside: ClassVar[tuple[float, float] | None] = None
    size: ClassVar[float] = 1.0
    pixels: ClassVar[int] = 64
    tolerance: ClassVar[float] = TOLERANCE
    patience: ClassVar[float] = 1.5
    skip_faults: ClassVar[dict[Fault, str]] = {}

    def make(self, base_url: str) -> Fetcher:
        """Return the fetcher, pointed at a service at this address."""
        raise NotImplementedError("say how to make the fetcher: def make(self, base_url): ...")

    def answer(self, request: Request) -> Answer:
        """Answer as the service does; a recorded answer will do."""
        raise NotImplementedError("say what the service answers: def answer(self, request): ...")

    def answer_outside(self, request: Request) -> Answer:
        """Answer as the service does outside the survey; by default it is not asked."""
        raise AssertionError(f"the service was asked about a position outside: {request}")

    def answer_blank(self, request: Request) -> Answer:
        """Answer with an image that holds no value; only for a service that does that."""
        raise NotImplementedError("say what a blank image is: def answer_blank(self, request): ...")

    @pytest.fixture
    def service(self) -> Iterator[Service]:
        """Start the service."""
        with serving(self.answer) as service:
            yield service

    @pytest.fixture
    def fetcher(self, service: Service) -> Fetcher:
        """Make the fetcher."""
        return self.make(service.url)

    def position(self, at: tuple[float, float] | None = None) -> SkyCoord:
        """Return a position as a `SkyCoord`."""
        from astropy.coordinates import SkyCoord

        return SkyCoord(*(self.inside if at is None else at), unit="deg")

    def angle(self, arcminutes: float | None = None) -> Quantity:
        """Return an angle."""
        import astropy.units as u

        return (self.size if arcminutes is None else arcminutes) * u.arcmin

    def fetch(self, fetcher: Fetcher, **options: Any) -> SkyImage:
        """Fetch what the suite asks for."""
        options = {"pixels": self.pixels, "timeout": 30.0, **options}
        image: SkyImage = fetcher.fetch(self.position(), self.angle(), **options)
        return image

    def test_it_declares_what_the_contract_asks_for(self, fetcher: Fetcher) -> None:
        """Without a licence, a footprint or a scale nobody can choose it, nor may use it."""
        assert find_faults("fetchers", fetcher) == []

    def test_it_gives_the_image_that_was_asked_for(self, fetcher: Fetcher) -> None:
        """The right place, the right size, values in it, bands by name."""
        image = self.fetch(fetcher)
        assert isinstance(image, SkyImage)
        assert np.isfinite(image.pixels).any()
        if not image.display:
            assert image.bands == tuple(fetcher.default_bands)
        assert image.wcs is not None, "say where it is on the sky: give the SkyImage a WCS"
        assert image.centre is not None
        assert image.pixel_scale is not None
        apart = self.position(image.centre).separation(self.position())
        side = side_of(image)
        assert apart.arcsec < max(2 * image.pixel_scale, 60 * self.size * self.tolerance)
        assert side == pytest.approx(60 * self.size, rel=self.tolerance)

    def test_bands_come_as_asked_for(self, fetcher: Fetcher) -> None:
        """A band under the name of another one is a wrong colour nobody sees."""
        for band in fetcher.bands[:4]:
            image = self.fetch(fetcher, bands=(band,))
            assert image.display or image.bands == (band,)

    def test_a_band_it_has_not_is_refused(self, fetcher: Fetcher, service: Service) -> None:
        """Found before the service is asked, and with the bands there are."""
        with pytest.raises(InvalidRequest) as caught:
            self.fetch(fetcher, bands=("no such band",))
        assert fetcher.bands[0] in str(caught.value)
        assert service.requests == []

    def test_more_sky_than_it_gives_is_refused(self, fetcher: Fetcher, service: Service) -> None:
        """Services clamp in silence; the image would be of another part of the sky."""
        with pytest.raises(CutoutTooLarge):
            fetcher.fetch(self.position(), fetcher.max_size * 1.5, timeout=30.0)
        assert service.requests == []

    def test_outside_the_survey_it_says_so(self, fetcher: Fetcher, service: Service) -> None:
        """An error page, an empty list and a black image all mean the same."""
        if self.outside is None:
            pytest.skip("the suite's `outside` is None: the survey has all of the sky")
        service.answer = self.answer_outside
        with pytest.raises(OutsideFootprint):
            fetcher.fetch(self.position(self.outside), self.angle(), timeout=30.0)

    def test_an_image_without_a_value_is_none(self, fetcher: Fetcher, service: Service) -> None:
        """A model describes a black picture too, and with confidence."""
        if type(self).answer_blank is FetcherSuite.answer_blank:
            pytest.skip("the suite has no `answer_blank`: the service never does that")
        service.answer = self.answer_blank
        with pytest.raises((EmptyCutout, OutsideFootprint)):
            self.fetch(fetcher)

    @pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "unavailable once"])
    def test_whatever_the_service_does_wrong_is_one_of_our_errors(
        self, fetcher: Fetcher, service: Service, fault: Fault
    ) -> None:
        """An AttributeError deep in a library tells a user nothing, and ends a night's run."""
        if fault in self.skip_faults:
            pytest.skip(self.skip_faults[fault])
        timeout = self.patience if fault in _SILENT else 30.0
        with serving(self.answer) as stranger:
            # By another name: the same machine is another host.
            service.elsewhere = stranger.url.replace("127.0.0.1", "localhost") + "/elsewhere"
            service.fault = fault
            # The bound is what is tried, not its size: a small one is met sooner.
            fetcher.max_bytes = min(fetcher.max_bytes, _BOUND)
            began = time.monotonic()
            with pytest.raises(FetchError) as caught:
                self.fetch(fetcher, timeout=timeout)
            took = time.monotonic() - began
        assert stranger.requests == [], "it followed a redirect to another host"
        if fault in _SILENT:
            assert isinstance(caught.value, FetchTimeout)
            assert took < timeout + _GRACE
        if fault in _ENDLESS:
            assert isinstance(caught.value, (CutoutTooLarge, FetchRefused)), "it read without bound"
        if fault == "unavailable":
            assert isinstance(caught.value, ServiceError)
            assert caught.value.status == 503

    def test_it_works_again_after_a_failure(self, fetcher: Fetcher, service: Service) -> None:
        """Libraries keep failures in their caches."""
        service.fault = "unavailable"
        with pytest.raises(FetchError):
            self.fetch(fetcher)
        service.fault = None
        assert np.isfinite(self.fetch(fetcher).pixels).any()

    def test_several_threads_may_use_it(self, fetcher: Fetcher) -> None:
        """Cutouts are fetched ahead, several at a time."""
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(lambda _: self.fetch(fetcher), range(4)))
        for image in images[1:]:
            assert np.array_equal(image.pixels, images[0].pixels, equal_nan=True)
