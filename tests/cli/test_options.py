"""Words on the command line become what `astrollava.images.read` takes."""

from __future__ import annotations

import astropy.units as u
import pytest

from astrollava.cli._options import parse_bands, parse_cutout, parse_hdu
from astrollava.errors import InvalidRequest


@pytest.mark.parametrize(
    ("words", "hdu"), [("0", 0), ("12", 12), ("SCI", "SCI"), ("-1", "-1"), (None, None)]
)
def test_an_hdu_is_a_number_or_a_name(words: str | None, hdu: int | str | None) -> None:
    assert parse_hdu(words) == hdu


@pytest.mark.parametrize(
    ("words", "cutout"),
    [
        ("120,80,64", ((120.0, 80.0), (64, 64))),
        (" 120.5, 80 ,64", ((120.5, 80.0), (64, 64))),
        # Width before height on the command line, height first in an array.
        ("1,2,30,20", ((1.0, 2.0), (20, 30))),
    ],
)
def test_plain_numbers_are_pixels(words: str, cutout: object) -> None:
    assert parse_cutout(words) == cutout


@pytest.mark.parametrize(
    "words",
    ["202.47d,47.195d,5arcmin", "13h29m52.8s,47d11m42s,5arcmin", "202.47d,47.195d,0.0833333deg"],
)
def test_units_are_on_the_sky(words: str) -> None:
    parsed = parse_cutout(words)
    assert parsed is not None
    position, (height, width) = parsed
    assert position.ra.deg == pytest.approx(202.47)
    assert position.dec.deg == pytest.approx(47.195)
    assert height.to_value(u.arcmin) == pytest.approx(5, rel=1e-4)
    assert width == height


@pytest.mark.parametrize(
    "words", ["", "1", "1,2", "1,2,3,4,5", "x,y,10", "1,2,0", "1,2,-3", "1d,2d,-3arcsec", "1,2,ten"]
)
def test_anything_else_is_refused_by_name(words: str) -> None:
    with pytest.raises(InvalidRequest, match="--cutout"):
        parse_cutout(words)


@pytest.mark.parametrize(
    ("words", "bands"),
    [("grz", "grz"), ("0, 5,9", [0, 5, 9]), ("F606W,F814W", "F606W,F814W"), (None, None)],
)
def test_bands_are_numbers_or_names(words: str | None, bands: object) -> None:
    assert parse_bands(words) == bands
