"""Frames brought to size: a shift here would misplace every galaxy of SDSS, HAP and ESASky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import OutsideFootprint

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import _grid

HERE = SkyCoord(202.4696, 47.1952, unit="deg")


def blob(wcs: WCS, shape: tuple[int, int], at: SkyCoord, width: float) -> np.ndarray:
    """A Gaussian on the sky, `width` arcsec wide: the same brightness on whatever grid."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    apart = wcs.pixel_to_world(columns, rows).separation(at).arcsec
    return np.exp(-0.5 * (apart / width) ** 2).astype(np.float32)


def rotated(pixels: int, scale: float, angle: float, *, flip: bool = False) -> WCS:
    wcs = _grid.north_up(HERE, pixels * scale * u.arcsec, pixels)
    turn = np.radians(angle)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    if flip:
        wcs.wcs.cdelt = [scale / 3600, scale / 3600]
    wcs.wcs.set()
    return wcs


def test_the_grid_has_the_position_in_its_middle_and_east_left() -> None:
    """Half a pixel lost here is half a pixel in every multi-band image."""
    grid = _grid.north_up(HERE, 2 * u.arcmin, 60)
    assert grid.pixel_to_world(29.5, 29.5).separation(HERE).arcsec < 1e-6
    assert grid.pixel_to_world(0, 29.5).ra > HERE.ra
    assert grid.pixel_to_world(29.5, 59).dec > HERE.dec
    assert _grid.scale_of(grid) == pytest.approx(2.0)


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(0, 360),
    scale=st.floats(0.3, 4.0),
    flip=st.booleans(),
    east=st.floats(-8, 8),
    north=st.floats(-8, 8),
)
def test_a_source_stays_where_it_is_on_the_sky(
    angle: float, scale: float, flip: bool, east: float, north: float
) -> None:
    """Rotation, mirroring and scale of the frame must not move what is in it."""
    at = HERE.spherical_offsets_by(east * u.arcsec, north * u.arcsec)
    frame = rotated(120, scale, angle, flip=flip)
    width = max(4.0, 3 * scale)
    moved = _grid.onto(
        blob(frame, (120, 120), at, width), frame, _grid.north_up(HERE, 30 * u.arcsec, 30)
    )
    expected = blob(_grid.north_up(HERE, 30 * u.arcsec, 30), (30, 30), at, width)
    covered = np.isfinite(moved)
    assert covered.mean() > 0.3
    assert np.abs(moved - expected)[covered].max() < 0.06


def test_the_same_grid_changes_nothing() -> None:
    """Interpolation where none is needed would blur the reference band and lose edge pixels."""
    wcs = rotated(40, 0.4, 33.0)
    plane = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
    plane[3, 5] = np.nan
    assert np.array_equal(_grid.onto(plane, wcs, wcs), plane, equal_nan=True)


def test_a_coarser_grid_averages() -> None:
    """A checkerboard sampled, not averaged, would come out as one of its two colours."""
    fine = _grid.north_up(HERE, 64 * u.arcsec, 64)
    board = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)
    coarse = _grid.onto(board, fine, _grid.north_up(HERE, 64 * u.arcsec, 16))
    assert np.allclose(coarse, 0.5)


def test_what_is_not_covered_is_not_a_number() -> None:
    """Zeros painted over the edge of a frame would look like empty sky to the model."""
    frame = _grid.north_up(HERE, 20 * u.arcsec, 20)
    wide = _grid.onto(np.ones((20, 20), np.float32), frame, _grid.north_up(HERE, 40 * u.arcsec, 40))
    assert np.isnan(wide[0, 0])
    assert np.isfinite(wide[15:25, 15:25]).all()


def test_a_cut_over_the_edge_keeps_the_position_in_the_middle() -> None:
    """A trimmed cut would shift the object away from the middle."""
    frame = _grid.north_up(HERE, 100 * u.arcsec, 100)
    corner = frame.pixel_to_world(2, 50)
    plane, wcs = _grid.cut(np.ones((100, 100), np.float32), frame, corner, 21 * u.arcsec)
    assert plane.shape == (21, 21)
    assert wcs.pixel_to_world(10, 10).separation(corner).arcsec < 0.01
    assert np.isnan(plane[:, 0]).all()
    assert np.isfinite(plane[:, 10:]).all()


def test_a_cut_beside_the_frame_is_refused() -> None:
    """All of it unobserved is not an image."""
    frame = _grid.north_up(HERE, 100 * u.arcsec, 100)
    far = HERE.spherical_offsets_by(1 * u.deg, 0 * u.deg)
    with pytest.raises(OutsideFootprint):
        _grid.cut(np.ones((100, 100), np.float32), frame, far, 10 * u.arcsec)
