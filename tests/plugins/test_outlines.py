"""Outlines in STC-S: which of a hundred observations has the galaxy, before one is downloaded."""

from __future__ import annotations

import time

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

import cutout_answers as answers
from astrollava_plugins._outlines import covers

HERE = answers.GALAXY


@settings(max_examples=80, deadline=None)
@given(
    ra=st.floats(0, 359.9),
    dec=st.floats(-88, 88),
    angle=st.floats(0, 360),
    x=st.floats(-150, 150),
    y=st.floats(-150, 150),
    frame=st.sampled_from(["ICRS", "J2000", "FK5", ""]),
)
def test_an_image_covers_its_pixels_and_no_others(ra, dec, angle, x, y, frame) -> None:
    """Near the poles, across the meridian, turned any way: the WCS is the judge."""
    centre = SkyCoord(ra, dec, unit="deg")
    wcs = answers.grid(centre, pixels=(200, 160), scale=2.0, angle=angle)
    at = wcs.pixel_to_world(99.5 + x, 79.5 + y)
    inside = abs(x) < 99 and abs(y) < 79
    outside = abs(x) > 101 or abs(y) > 81
    said = covers(answers.polygon(wcs, frame), at)
    assert not (inside and said is not True)
    assert not (outside and said is not False)


@settings(max_examples=40, deadline=None)
@given(apart=st.floats(0.01, 3), angle=st.floats(0, 6.28), radius=st.floats(0.01, 3))
def test_circles(apart, angle, radius) -> None:
    """A radius in degrees, on the sphere."""
    at = HERE.directional_offset_by(angle * u.rad, apart * u.deg)
    said = covers(f"CIRCLE ICRS {HERE.ra.deg} {HERE.dec.deg} {radius}", at)
    assert abs(apart - radius) < 1e-6 or said == (apart < radius)


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        ("Union ICRS ( Polygon 10 10 11 10 11 11 10 11 Polygon 20 10 21 10 21 11 20 11 )", True),
        ("UNION ICRS TOPOCENTER ( CIRCLE ICRS 10 10 0.1 POLYGON 20 10 21 10 21 11 20 11)", True),
        ("POLYGON ICRS 10 10 11 10 11 11 10 11", False),
        ("polygon icrs 2.0e1 1.0e+1 21. +10 21 11 20 11 ", True),
        ("UNION GALACTIC ( POLYGON 20 10 21 10 21 11 20 11 )", None),
        ("POLYGON GALACTIC 20 10 21 10 21 11 20 11", None),
        ("POLYGON ICRS 20 10 21 10", None),
        ("POLYGON ICRS 20 10 21 10 21 11 20", None),
        ("POLYGON ICRS 200 -10 20 10 21 11", None),
        ("Intersection ICRS ( Polygon 20 10 21 10 21 11 20 11 Circle 20.5 10.5 0.1 )", None),
        ("CIRCLE ICRS 20 10", None),
        ("POLYGON ICRS 200 -10 210 -10 210 -11", False),
        ("BOX ICRS 20 10 1 1", None),
        ("", None),
        ("garbage 1 2 3", None),
    ],
)
def test_what_archives_write(outline, expected) -> None:
    """What is not understood must not cost an observation: it is asked for."""
    assert covers(outline, SkyCoord(20.5, 10.5, unit="deg")) is expected


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="POLYGNCIRE UFKS5J20()-+.eE19", max_size=80))
def test_nothing_in_a_table_can_break_it(outline) -> None:
    """The outline is the archive's word."""
    assert covers(outline, HERE) in (True, False, None)


def test_a_polygon_all_over_the_sky_takes_no_time() -> None:
    """One with 200 corners kept mocpy busy for two minutes; a table has thousands of rows."""
    corners = " ".join(
        f"{(place * 137) % 360} {(place * 71) % 180 - 90}" for place in range(20_000)
    )
    began = time.monotonic()
    covers(f"POLYGON ICRS {corners}", HERE)
    covers("POLYGON " + "1 " * 200_000 + "x", HERE)
    covers("POLYGON " + "1" * 200_000 + "x", HERE)
    assert time.monotonic() - began < 5.0
