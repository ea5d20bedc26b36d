"""A service on the loopback device, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from astropy.coordinates import SkyCoord

from sky_service import SkyFetcher, SkyService, serving


@pytest.fixture
def service() -> Iterator[SkyService]:
    with serving() as service:
        yield service


@pytest.fixture
def fetcher(service: SkyService) -> SkyFetcher:
    return SkyFetcher(base_url=service.url)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What one test fetched must not be found by another."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(folder))
    return folder


@pytest.fixture
def m51() -> SkyCoord:
    return SkyCoord(202.469575, 47.195258, unit="deg")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries of a hundredth of their length."""
    monkeypatch.setattr("astrollava.hooks.fetching.trying._PAUSE", 0.005)
