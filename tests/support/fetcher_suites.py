"""The suite of the contract, and what an image meets on its way through the core."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from astrollava.hooks import Fetcher
from astrollava.hooks.fetching import fetch
from astrollava.hooks.testing import Answer, FetcherSuite, Request, Service

__all__ = ["CoreSuite", "cut_once"]


def cut_once(answer: Callable[[Request], Answer], number: int) -> Callable[[Request], Answer]:
    """Answer as before, but the request of this number with a part of it, as if that were all."""
    count = itertools.count()

    def cut(request: Request) -> Answer:
        right = answer(request)
        if next(count) != number:
            return right
        return dataclasses.replace(right, body=right.body[: 3 * len(right.body) // 5])

    return cut


class CoreSuite(FetcherSuite):
    """A fetcher alone, and behind `astrollava.hooks.fetching.fetch`."""

    patience: ClassVar[float] = 0.5

    def test_an_image_comes_out_of_the_cache_as_it_went_in(
        self, fetcher: Fetcher, service: Service, tmp_path: Path
    ) -> None:
        """A plane, a name or the sky lost on the way would change what is said of it."""
        asked = (fetcher, self.position(), self.angle())
        first = fetch(*asked, pixels=self.pixels, cache=tmp_path)
        service.fault = "server error"
        again = fetch(*asked, pixels=self.pixels, cache=tmp_path)
        assert np.array_equal(first.pixels, again.pixels, equal_nan=True)
        for name in ("bands", "unit", "origin", "display", "red_last", "centre", "pixel_scale"):
            assert getattr(first, name) == getattr(again, name), name
        assert first.wcs is not None
        assert again.wcs is not None
        corners = [(0, 0), (0, self.pixels - 1), (self.pixels - 1, 0)]
        for x, y in corners:
            there = first.wcs.pixel_to_world(x, y).separation(again.wcs.pixel_to_world(x, y))
            assert there.arcsec < 1e-3

    def test_provenance_says_where_it_is_from(
        self, fetcher: Fetcher, service: Service, tmp_path: Path
    ) -> None:
        """Who publishes what a model said of an image must be able to credit it."""
        image = fetch(fetcher, self.position(), self.angle(), pixels=self.pixels, cache=tmp_path)
        source = image.source
        assert source["kind"] == "fetched"
        assert source["fetcher"] == fetcher.name
        assert source["credit"] == fetcher.credit
        assert source["licence"] == fetcher.licence
        assert source["url"].startswith(service.url)
        assert len(source["sha256"]) == 64

    def test_what_passes_is_asked_for_again(
        self, fetcher: Fetcher, service: Service, tmp_path: Path
    ) -> None:
        """A service that restarts costs a second, not an image; asking on and on would cost it."""
        service.fault = "unavailable once"
        asked = (fetcher, self.position(), self.angle())
        image = fetch(*asked, pixels=self.pixels, cache=tmp_path)
        assert image.source["tries"] == 2
        assert np.isfinite(image.pixels).any()

    def test_a_part_of_an_answer_is_asked_for_again(
        self, fetcher: Fetcher, service: Service
    ) -> None:
        """A file cut short behind the service is no other fault than a connection that broke."""
        options = {"pixels": self.pixels, "bands": fetcher.default_bands[:1], "cache": False}
        whole = fetch(fetcher, self.position(), self.angle(), **options)
        for number in range(len(service.requests)):
            service.answer = cut_once(self.answer, number)
            image = fetch(fetcher, self.position(), self.angle(), **options)
            assert np.array_equal(image.pixels, whole.pixels, equal_nan=True)
            # A part of a list, or of a page, may be enough.
            assert image.source["tries"] in (1, 2)
