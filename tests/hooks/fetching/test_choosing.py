"""Footprints, and which survey is asked where none is named."""

from __future__ import annotations

from importlib.metadata import entry_points

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

import sky_service as sky
from astrollava.errors import (
    EmptyCutout,
    FetchRefused,
    InvalidRequest,
    OutsideFootprint,
    PluginError,
    ServiceError,
    UnknownFetcher,
)
from astrollava.hooks import Fetcher, Plugins, manager
from astrollava.hooks._selection import Selection
from astrollava.hooks.fetching import (
    AllSky,
    Declinations,
    GalacticLatitudes,
    Moc,
    Unknown,
    choose,
)
from astrollava.hooks.fetching.choosing import fetch_best
from sky_service import SkyFetcher, SkyService, fits_bytes

NORTH = SkyCoord(202.47, 47.195, unit="deg")
SOUTH = SkyCoord(20.0, -45.0, unit="deg")
PLANE = SkyCoord(l=30.0, b=1.0, unit="deg", frame="galactic")


def test_footprints_join_and_do_not_guess() -> None:
    """Unknown is neither: taken for no, a service is never asked; for yes, always in vain."""
    north = Declinations(0, 90)
    assert (north.contains(NORTH), north.contains(SOUTH)) == (True, False)
    assert GalacticLatitudes(15).contains(PLANE) is False
    assert GalacticLatitudes(15).contains(NORTH) is True
    either, both = north | Unknown(), north & Unknown()
    assert [either.contains(each) for each in (NORTH, SOUTH)] == [True, None]
    assert [both.contains(each) for each in (NORTH, SOUTH)] == [None, False]
    assert str(north & GalacticLatitudes(15)).startswith("declinations from 0 to 90 deg and")
    with pytest.raises(InvalidRequest):
        Declinations(10, -10)


def test_coverage_maps_are_looked_into() -> None:
    pytest.importorskip("mocpy")
    from mocpy import MOC

    cone = MOC.from_cone(NORTH.ra, NORTH.dec, radius=1 * u.deg, max_depth=8)
    moc = Moc(cone.to_string())
    assert (moc.contains(NORTH), moc.contains(SOUTH)) == (True, False)
    assert moc.contains(NORTH.galactic) is True


def survey(service: SkyService | None = None, **facts: object) -> Fetcher:
    kind = type("Survey", (SkyFetcher,), {"survey": str(facts["name"]), **facts})
    made: Fetcher = kind(base_url=service.url if service else None)
    return made


def names(position: SkyCoord, *fetchers: Fetcher, size: u.Quantity = 6 * u.arcmin) -> list[str]:
    return [choice.fetcher.name for choice in choose(position, size, fetchers=fetchers)]


DEEP = survey(name="deep", depth=24.0, footprint=Declinations(0, 90))
FINE = survey(
    name="fine", depth=22.0, pixel_scale=0.3 * u.arcsec, scale_range=(0.1 * u.arcsec, 9 * u.arcsec)
)
WIDE = survey(name="wide", depth=20.0, max_size=20 * u.deg, pixel_scale=20 * u.arcsec)
HOT = survey(name="hot", depth=25.0, wavelength="x-ray")
VAGUE = survey(name="vague", depth=26.0, footprint=Unknown())


def test_it_chooses_by_footprint_then_scale_then_depth() -> None:
    every = (WIDE, HOT, VAGUE, FINE, DEEP)
    assert names(NORTH, *every) == ["deep", "fine", "hot", "wide", "vague"]
    # Outside the deep survey the next best has its place.
    assert names(SOUTH, *every) == ["fine", "hot", "wide", "vague"]
    # A field so large that only one gives it.
    assert names(NORTH, *every, size=10 * u.deg) == ["wide"]
    # A field so small that the deep survey has a few pixels of it.
    assert names(NORTH, DEEP, FINE, size=1 * u.arcmin) == ["fine", "deep"]


def test_it_says_why() -> None:
    best = choose(NORTH, 6 * u.arcmin, fetchers=[DEEP, WIDE])
    assert best[0].reason == (
        "deep (deep): its footprint has the position; 180 pixels of 2 arcsec across;"
        " 5-sigma depth 24.0 AB mag"
    )
    assert "18 pixels of 20 arcsec across, which is few" in best[1].reason


def test_no_survey_says_why_not() -> None:
    with pytest.raises(OutsideFootprint, match="deep: deep has no image at"):
        choose(SOUTH, 6 * u.arcmin, fetchers=[DEEP])
    with pytest.raises(UnknownFetcher, match="no fetcher to choose among"):
        choose(SOUTH, 6 * u.arcmin, fetchers=[])
    with pytest.raises(InvalidRequest, match="size is 6"):
        choose(SOUTH, 6, fetchers=[DEEP])


@pytest.mark.parametrize(
    ("said", "hint"), [(None, r"astrollava\[fetch\]"), ("none", "ASTROLLAVA_PLUGINS keeps out all")]
)
def test_without_any_plugin_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: str | None, hint: str
) -> None:
    """Who blocked the plugins was told to install what was installed."""
    if said is None:
        there = Plugins()
    else:
        there = Plugins(entry_points(group="astrollava"), Selection.parse(said))
        assert there.blocked
        with pytest.raises(UnknownFetcher, match=hint):
            there.get_fetcher("a-survey")
    monkeypatch.setattr(manager, "_state", {"plugins": there})
    with pytest.raises(UnknownFetcher, match=hint):
        choose(SOUTH, 6 * u.arcmin)


def test_the_next_best_is_asked_where_the_best_has_nothing(service: SkyService) -> None:
    deep = survey(service, name="deep", depth=24.0)
    fine = survey(service, name="fine", depth=22.0)
    service.next(sky.status(404))
    image = fetch_best(NORTH, 6 * u.arcmin, fetchers=[deep, fine])
    assert image.source["fetcher"] == "fine"
    assert image.source["chosen"].startswith("fine (fine): its footprint has the position")
    assert image.source["chosen"].endswith("deep failed: 127.0.0.1 answered 404: 404 trouble")


def test_a_survey_without_an_image_is_not_asked_for_elsewhere(service: SkyService) -> None:
    """Three services of one survey would use up all the tries on the same hole in it."""
    blank = sky.Reply(fits_bytes(values=np.zeros((1, 8, 8), np.float32)))
    service.route(
        "/cutout", lambda asked: blank if asked.query["pixels"] == "180" else sky.cutout(asked)
    )
    same = [survey(service, name=f"same-{n}", depth=25.0 - n) for n in range(3)]
    other = survey(service, name="other", depth=20.0, pixel_scale=3 * u.arcsec)
    image = fetch_best(NORTH, 6 * u.arcmin, fetchers=[*same, other])
    assert image.source["fetcher"] == "other"
    assert len(service.asked) == 2


def test_the_best_ones_error_is_told_where_all_fail(service: SkyService) -> None:
    both = [survey(service, name=name, depth=d) for name, d in (("deep", 24.0), ("fine", 22.0))]
    service.next(sky.html_error("deep is down"), sky.html_error("fine is down"))
    with pytest.raises(ServiceError, match="deep is down"):
        fetch_best(NORTH, 6 * u.arcmin, fetchers=both)


def broken(name: str, depth: float, error: Exception) -> Fetcher:
    """Make a fetcher that plans as it should, and raises."""

    def fails(*_: object, **__: object) -> None:
        raise error

    return survey(name=name, depth=depth, fetch=fails)


@pytest.mark.parametrize(
    "error",
    [ValueError("bad\nnumber"), PluginError("bad"), InvalidRequest("bad scale for this service")],
)
def test_a_broken_plugin_does_not_end_it(
    service: SkyService, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """One faulty plugin with a deep survey took `auto` away from everybody."""
    # More than are asked at most: they cost no service anything.
    bad = [broken(f"bad-{n}", 25.0 - n, error) for n in range(4)]
    image = fetch_best(NORTH, 6 * u.arcmin, fetchers=[*bad, survey(service, name="good", depth=9)])
    assert image.source["fetcher"] == "good"
    assert "bad-0 failed: " in image.source["chosen"]
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert [each.partition(" ")[0] for each in warnings] == ["bad-0", "bad-1", "bad-2", "bad-3"]


def test_where_all_fail_each_is_told(service: SkyService) -> None:
    """The first alone said nothing of why the others did not help."""
    bad = broken("bad", 25.0, ValueError("out of order"))
    off = broken("off", 24.5, InvalidRequest("no such scale\nand more"))
    down = survey(service, name="down", depth=24.0)
    service.next(sky.status(404))
    with pytest.raises(ServiceError) as caught:
        fetch_best(NORTH, 6 * u.arcmin, fetchers=[bad, off, down])
    assert caught.value.status == 404
    problem = caught.value.problem
    assert "bad failed: the plugin of bad failed with ValueError: out of order; off" in problem
    assert "off failed: no such scale; down failed: 127.0.0.1 answered 404" in problem
    with pytest.raises(PluginError, match=r"bad failed.*; off failed"):
        fetch_best(NORTH, 6 * u.arcmin, fetchers=[bad, off])


def test_a_plugins_own_kind_of_error_is_told_too() -> None:
    """Made anew with other arguments than it takes, it would be a TypeError."""

    class Own(EmptyCutout):
        def __init__(self, hole: int) -> None:
            super().__init__(f"hole {hole}")

    both = [broken("one", 25.0, Own(1)), broken("two", 24.0, PluginError("bad"))]
    both[1].pixel_scale = 3 * u.arcsec
    with pytest.raises(EmptyCutout, match="one has nothing there; two failed: bad"):
        fetch_best(NORTH, 6 * u.arcmin, fetchers=both)


def test_what_is_not_safe_ends_it(service: SkyService) -> None:
    """A service that sends us into private networks is no case for the next: somebody must look."""
    both = [survey(service, name=name, depth=d) for name, d in (("deep", 24.0), ("fine", 22.0))]
    service.next(sky.redirect("http://10.0.0.1/"))
    with pytest.raises(FetchRefused):
        fetch_best(NORTH, 6 * u.arcmin, fetchers=both)


def test_all_of_the_sky_is_all() -> None:
    assert AllSky().contains(SOUTH) is True
