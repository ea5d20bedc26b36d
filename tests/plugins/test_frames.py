"""Frames of services become the square that was asked for, or an error in words."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import EmptyCutout, FetchError, OutsideFootprint, ServiceError
from astrollava.hooks.fetching import Cutout
from astrollava_plugins._frames import read_frame, share_of, together
from cutout_answers import GALAXY, fits_bytes, grid, sky

PLAN = Cutout(GALAXY, 30 * u.arcsec, 60, ("g", "r"))


def frame(offset: float = 0.0, *, scale: float = 0.5, angle: float = 0.0, pixels: int = 90) -> Any:
    """A frame whose middle is so many arcsec north of the galaxy."""
    centre = SkyCoord(GALAXY.ra, GALAXY.dec + offset * u.arcsec)
    return read_frame(
        fits_bytes(grid(centre, pixels=(pixels, pixels), scale=scale, angle=angle)), "it"
    )


def peak(plane: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(np.nanargmax(plane), plane.shape)
    return int(row), int(column)


def test_frames_on_one_grid_keep_their_pixels() -> None:
    """Resampling blurs, and correlates the noise of neighbours."""
    one = frame()
    image = together(PLAN, [one, one], "it")
    assert image.shape == (60, 60)
    assert np.isin(image.pixels, one.pixels).all()
    assert image.bands == ("g", "r")


@pytest.mark.parametrize(
    "other",
    [frame(3.3), frame(scale=0.3, pixels=150), frame(angle=37.0, pixels=130)],
    ids=["beside", "finer", "turned"],
)
def test_frames_on_different_grids_are_brought_onto_one(other: Any) -> None:
    """Bands that do not lie on each other give every galaxy coloured edges."""
    image = together(PLAN, [frame(), other], "it")
    assert image.shape == (60, 60)
    rows, columns = zip(*(peak(plane) for plane in image.pixels), strict=True)
    assert abs(rows[0] - rows[1]) <= 1
    assert abs(columns[0] - columns[1]) <= 1
    assert image.pixel_scale == pytest.approx(0.5)


def test_a_frame_that_ends_in_the_square_leaves_it_open() -> None:
    """What was not observed is NaN, not sky."""
    image = together(PLAN, [frame(17.5), frame(17.5)], "it")
    assert image.shape == (60, 60)
    assert np.isnan(image.pixels[:, 0]).all()
    assert np.isfinite(image.pixels[:, -1]).all()


def test_a_frame_elsewhere_is_outside() -> None:
    """The service answered for another position."""
    with pytest.raises(OutsideFootprint):
        together(PLAN, [frame(600.0)] * 2, "it")


def test_a_frame_without_coordinates_is_refused() -> None:
    """Nobody could say of what it is."""
    import io

    from astropy.io import fits

    file = io.BytesIO()
    fits.PrimaryHDU(np.ones((60, 60), np.float32)).writeto(file)
    with pytest.raises(ServiceError, match="no coordinates"):
        together(PLAN, [read_frame(file.getvalue(), "it")] * 2, "it")


def test_a_scale_without_measure_takes_no_memory() -> None:
    """A header may say that a pixel is a millionth of a milliarcsecond wide."""
    tiny = frame(scale=1e-9)
    began = time.monotonic()
    tracemalloc.start()
    try:
        assert share_of(PLAN, tiny) < 1e-6
        with pytest.raises((EmptyCutout, OutsideFootprint)):
            together(PLAN, [tiny, tiny], "it")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 5


KEYS = st.sampled_from(
    ["CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "PC1_1", "PC1_2", "LONPOLE"]
)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -1.0, 1e-300, 1e300, 90.0, 1e5]),
)
KINDS = st.sampled_from(["RA---TAN", "DEC--TAN", "RA---ZPN", "DEC--CAR", "GLON-AIT", "VELO", ""])


@settings(max_examples=150)
@given(
    st.dictionaries(KEYS, NUMBERS, max_size=4),
    st.dictionaries(st.sampled_from(["CTYPE1", "CTYPE2"]), KINDS, max_size=2),
)
def test_no_header_raises_anything_else(numbers: dict[str, float], kinds: dict[str, str]) -> None:
    """Coordinates of a damaged or hostile file end in one of our errors, and soon."""
    wcs = grid(GALAXY, pixels=(40, 40), scale=0.75)
    body = fits_bytes(wcs, sky(wcs), **numbers, **kinds)
    try:
        one = read_frame(body, "it")
        assert 0 <= share_of(PLAN, one) <= 1
        together(PLAN, [one, one], "it")
    except FetchError:
        pass
