"""The suite of the contract, and what an image meets on its way through the core."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from astrollava.hooks import Fetcher
from astrollava.hooks.fetching import fetch
from astrollava.hooks.testing import FetcherSuite, Service

__all__ = ["CoreSuite"]


class CoreSuite(FetcherSuite):
    """A fetcher alone, and behind `astrollava.hooks.fetching.fetch`."""

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
