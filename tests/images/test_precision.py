"""Values that do not fit single precision: luminosities in erg/s, and what stands for no data."""

from __future__ import annotations

import io
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astrollava.errors import UnsupportedImage
from astrollava.hooks.fetching._stored import decode, encode
from astrollava.hooks.fetching.saving import save
from astrollava.images import SkyImage, read, render

Y, X = np.mgrid[:32, :28]
GALAXY = np.exp(-np.hypot(X - 14, Y - 16) / 4) + np.random.default_rng(6).normal(0, 0.01, (32, 28))
PLAIN = render(read(GALAXY), size=(32, 28))


def in_file(values: np.ndarray, **cards: str) -> bytes:
    raw = io.BytesIO()
    hdu = fits.PrimaryHDU(values)
    hdu.header.update(cards)
    hdu.writeto(raw)
    return raw.getvalue()


@settings(max_examples=40)
@given(st.integers(-55, 55), st.booleans())
def test_luminosities_look_like_what_they_are(power: int, from_file: bool) -> None:
    """Above 3.4e38 all of a galaxy was infinite, hence masked, and the picture black."""
    values = GALAXY * 10.0**power
    image = read(in_file(values, BUNIT="erg / s") if from_file else values * u.Unit("erg / s"))
    assert image.unit == "erg / s"
    assert image.mask is None
    np.testing.assert_allclose(image.pixels[0] * np.float64(image.scale), values, rtol=2e-7)
    made = render(image, size=(32, 28))
    assert np.abs(made.rgb.astype(int) - PLAIN.rgb).max() <= 1
    np.testing.assert_allclose(
        made.record.limits, np.array(PLAIN.record.limits) * 10.0**power, rtol=1e-5
    )


def test_what_fits_is_not_touched() -> None:
    """Nearly all images: their pixels are the file's, bit for bit."""
    for values in (GALAXY, GALAXY * 1e37, GALAXY * 1e-29, np.zeros((3, 3)), np.full((3, 3), 7)):
        image = read(values)
        assert image.scale == 1
        np.testing.assert_array_equal(image.pixels[0], values.astype(np.float32))


@pytest.mark.parametrize("blank", [1.7976931348623157e308, -1e300, np.inf, np.nan])
@pytest.mark.parametrize("factor", [1.0, 1e43])
def test_what_stands_for_no_data_sets_no_scale(blank: float, factor: float) -> None:
    values = GALAXY * factor
    values[3:5] = blank
    image = read(values)
    assert image.mask is not None
    assert image.mask.sum() == 2 * 28
    brightest = float(image.pixels[:, ~image.mask].max()) * image.scale
    assert brightest == pytest.approx(GALAXY.max() * factor, rel=1e-6)


def test_limits_are_in_the_unit_of_the_image() -> None:
    made = render(read(GALAXY * 1e44), size=(32, 28), interval=(0.0, 1e44), stretch="linear")
    plain = render(read(GALAXY), size=(32, 28), interval=(0.0, 1.0), stretch="linear")
    assert np.abs(made.rgb.astype(int) - plain.rgb).max() <= 1
    np.testing.assert_allclose(made.record.limits, [(0.0, 1e44)])


def test_a_part_a_copy_and_a_file_have_the_same_values(tmp_path: Path) -> None:
    values = GALAXY * 1e44
    image = read(values)
    part = read(image, cutout=((14, 16), 10))
    assert part.scale == image.scale
    stored = encode(image)
    assert stored is not None
    kept = decode(b"".join(stored))
    assert kept is not None
    again = read(save(image, tmp_path / "galaxy.fits"))
    for other in (SkyImage(values[None], ("0",)), kept, again):
        assert other.scale == image.scale
        np.testing.assert_array_equal(other.pixels, image.pixels)


def test_a_mosaic_is_scaled_as_one(tmp_path: Path) -> None:
    """It is read in pieces, of which only the last does not fit."""
    values = np.full((1200, 4000), 1e30)
    values[-1] = 1e42
    fits.PrimaryHDU(values).writeto(tmp_path / "mosaic.fits")
    image = read(tmp_path / "mosaic.fits")
    assert image.scale == 1e42
    np.testing.assert_allclose(image.pixels[0, [0, -1], 0], [1e-12, 1.0])


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_is_a_number_above_zero(scale: float) -> None:
    with pytest.raises(UnsupportedImage, match="scale"):
        SkyImage(GALAXY[None], ("0",), scale=scale)
