"""What was fetched, as a file that others read."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from astrollava.errors import InvalidRequest
from astrollava.hooks import SkyImage
from astrollava.hooks.fetching import fetch
from astrollava.hooks.fetching.saving import save
from astrollava.images import read
from sky_service import SkyFetcher


@pytest.mark.parametrize("bands", ["grz", "r"])
@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_fits_comes_back_with_bands_places_and_source(
    fetcher: SkyFetcher, m51: SkyCoord, tmp_path: Path, bands: str, name: str
) -> None:
    image = fetch(fetcher, m51, 3 * u.arcmin, bands=bands)
    back = read(save(image, tmp_path / name))
    assert np.array_equal(back.pixels, image.pixels)
    assert back.bands == image.bands
    assert back.centre == pytest.approx(image.centre, abs=1e-7)
    assert back.pixel_scale == pytest.approx(image.pixel_scale)
    header = fits.getheader(tmp_path / name)
    assert (header["SURVEY"], header["CREDIT"]) == ("Simulated Sky", "Simulated Sky")
    assert header["SRCURL"] == image.source["url"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_bad_pixels_and_odd_words_are_written(tmp_path: Path) -> None:
    """A credit line with an accent must not cost the image."""
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = True
    image = SkyImage(
        np.arange(20, dtype=np.float32).reshape(1, 4, 5),
        ("g",),
        mask=mask,
        unit="nJy",
        source={"credit": "Observatoire de Paris – Société\n" + "x" * 200, "survey": "S"},
    )
    back = read(save(image, tmp_path / "a.fits"))
    assert back.mask is not None
    assert np.array_equal(back.mask, mask)
    assert back.unit == "nJy"
    assert "Observatoire de Paris ? Soci?t? xxx" in fits.getheader(tmp_path / "a.fits")["CREDIT"]


def test_a_picture_keeps_its_up(tmp_path: Path) -> None:
    top = np.zeros((3, 8, 8), np.float32)
    top[:, :2] = 255
    image = SkyImage(top, ("R", "G", "B"), origin="upper", display=True)
    assert read(save(image, tmp_path / "a.png")).pixels[0, 0].mean() > 200
    back = read(save(image, tmp_path / "a.fits"))
    assert back.origin == "lower"
    assert back.pixels[0, -1].mean() == 255


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    image = SkyImage(np.arange(20, dtype=np.float32).reshape(1, 4, 5), ("g",))
    with pytest.raises(InvalidRequest, match=r"ends with \.txt"):
        save(image, tmp_path / "a.txt")
    with pytest.raises(InvalidRequest, match="cannot be written"):
        save(image, tmp_path / "nowhere" / "a.fits")
    (tmp_path / "a.fits").write_text("old")
    save(image, tmp_path / "a.fits")
    assert read(tmp_path / "a.fits").shape == (4, 5)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.fits"]
