"""Arrays, NDData, cut-outs, pictures and streams: all the same image in the end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D, NDData
from astropy.wcs import WCS
from PIL import Image

from astrollava.errors import (
    AmbiguousImage,
    CorruptImage,
    EmptyImage,
    ImageError,
    ImageTooLarge,
    InvalidRequest,
    UnsupportedImage,
)
from astrollava.images import SkyImage, example, read

RNG = np.random.default_rng(2)
PLANE = RNG.normal(size=(8, 12)).astype(np.float32)


def sky_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [30.0, -5.0], [6.5, 4.5]
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    wcs.wcs.radesys = "ICRS"
    return wcs


# Arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f4", "f2", "i4", ">u2", "u1", "?"])
def test_plane_arrays(dtype: str) -> None:
    values = (np.abs(PLANE) * 3).astype(dtype)
    image = read(values)
    np.testing.assert_array_equal(image.pixels[0], values.astype("f4"))
    assert (image.origin, image.display, image.bands) == ("lower", False, ("0",))


def test_colour_arrays() -> None:
    last = RNG.integers(0, 255, (8, 12, 3), dtype=np.uint8)
    image = read(last)
    np.testing.assert_array_equal(image.pixels, np.moveaxis(last, -1, 0))
    assert (image.origin, image.display, image.bands) == ("upper", True, ("R", "G", "B"))
    np.testing.assert_array_equal(read(np.moveaxis(last, -1, 0)).pixels, image.pixels)
    data = read(last.astype(float))
    assert (data.origin, data.display) == ("lower", False)
    clear = np.concatenate([last, np.zeros((8, 12, 1), np.uint8)], axis=-1)
    assert not read(clear).pixels.any()


def test_a_float_picture_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Matplotlib's RGB in [0, 1] is stretched and upside down; nothing else would tell why."""
    shades = RNG.random((8, 12, 3))
    with caplog.at_level("WARNING", logger="astrollava"):
        read(shades)
        (record,) = caplog.records
        assert "astype('uint8')" in record.getMessage()
        caplog.clear()
        read(shades * 300)
        read(shades - 0.5)
        read(shades[..., 0])
        read(np.moveaxis(shades, -1, 0))
        read((255 * shades).round().astype("uint8"))
    assert not caplog.records


def test_names_can_be_given_to_planes() -> None:
    assert read(RNG.normal(size=(3, 4, 5)), bands="grz").bands == ("g", "r", "z")
    assert read(RNG.normal(size=(3, 4, 5)), bands="F606W,F814W,F160W").bands[2] == "F160W"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros((0, 5)), EmptyImage),
        (np.zeros((3, 0, 5)), EmptyImage),
        (np.zeros((4, 5), dtype=complex), UnsupportedImage),
        (np.zeros((4, 5), dtype=object), UnsupportedImage),
        (np.full((4, 5), "x"), UnsupportedImage),
        (np.zeros((4, 5), dtype="M8[s]"), UnsupportedImage),
        (np.zeros((4, 5), dtype=[("a", float)]), UnsupportedImage),
        (np.zeros(5), UnsupportedImage),
        (np.float64(3), UnsupportedImage),
        (np.zeros((7, 4, 5)), AmbiguousImage),
        (np.zeros((2, 3, 4, 5)), AmbiguousImage),
        ([[1.0, 2.0]], UnsupportedImage),
        (None, UnsupportedImage),
        (3.0, UnsupportedImage),
        (io.StringIO("text"), UnsupportedImage),
    ],
)
def test_what_is_no_image(values: Any, error: type[ImageError]) -> None:
    with pytest.raises(error) as raised:
        read(values)
    assert raised.value.expected or raised.value.hint


def test_the_input_is_neither_changed_nor_kept() -> None:
    """A result that shares memory with the input would change when the user's array does."""
    for values in (PLANE.copy(), np.stack([PLANE] * 3), PLANE.astype(">f4")):
        before = values.copy()
        image = read(values)
        assert not np.shares_memory(values, image.pixels)
        values[...] = 5
        np.testing.assert_array_equal(image.pixels, np.atleast_3d(before.T).T)
        with pytest.raises(ValueError, match="read-only"):
            image.pixels[0, 0, 0] = 1


def test_masks_and_units() -> None:
    flags = np.zeros(PLANE.shape, bool)
    flags[2, 3] = True
    image = read(np.ma.MaskedArray(PLANE, flags))
    np.testing.assert_array_equal(image.mask, flags)
    assert read(np.ma.MaskedArray(PLANE)).mask is None
    assert read(PLANE * units.mJy).unit == "mJy"
    cube = np.ma.MaskedArray(np.stack([PLANE] * 3), [flags, ~flags & False, ~flags & False])
    np.testing.assert_array_equal(read(cube).mask, flags)
    assert read(cube, bands=[1]).mask is None


def test_values_beyond_float32_are_bad_pixels() -> None:
    image = read(np.array([[1e300, 1.0], [2.0, 3.0]]))
    assert image.mask is not None
    assert image.mask[0, 0]


# astropy.nddata -----------------------------------------------------------------------------


def test_nddata_and_ccddata() -> None:
    flags = PLANE > 1
    header = fits.Header({"FILTER": "r", "OBJECT": "NGC 1"})
    ccd = CCDData(PLANE, unit="adu", mask=flags, wcs=sky_wcs(), meta=header)
    image = read(ccd)
    assert (image.bands, image.unit, image.meta["object"]) == (("r",), "adu", "NGC 1")
    np.testing.assert_array_equal(image.mask, flags)
    assert image.centre == pytest.approx((30.0, -5.0))
    assert read(NDData(PLANE)).origin == "lower"


def test_cutout2d_keeps_its_own_coordinates() -> None:
    cutout = Cutout2D(PLANE, (7, 4), (5, 5), wcs=sky_wcs())
    image = read(cutout)
    np.testing.assert_array_equal(image.pixels[0], cutout.data)
    there = cutout.wcs.pixel_to_world(2, 2)
    assert image.centre == pytest.approx((there.ra.deg, there.dec.deg))


# Cutouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, (4, 6), 5 * units.pix, (3 * units.arcsec, 4 * units.arcsec)])
def test_cutouts_are_those_of_astropy(size: Any) -> None:
    ours = read(CCDData(PLANE, unit="adu", wcs=sky_wcs()), cutout=((7.2, 3.9), size))
    theirs = Cutout2D(PLANE, (7.2, 3.9), size, wcs=sky_wcs())
    np.testing.assert_array_equal(ours.pixels[0], theirs.data)
    np.testing.assert_allclose(ours.wcs.wcs.crpix, theirs.wcs.wcs.crpix)


def test_cutouts_on_the_sky_and_at_the_edge() -> None:
    whole = read(example())
    part = read(example(), cutout=(SkyCoord(150, 20, unit="deg"), 20 * units.arcsec))
    assert part.shape == (44, 44)
    assert part.centre == pytest.approx(whole.centre, abs=2e-4)
    again = read(whole, cutout=((80, 80), 10))
    np.testing.assert_array_equal(again.pixels, whole.pixels[:, 75:85, 75:85])
    assert read(example(), cutout=((0, 0), 10)).shape == (5, 5)
    assert read(example(), cutout=((0, 0), 10)).source["cutout"] == {"x": [0, 5], "y": [0, 5]}
    with pytest.raises(EmptyImage, match="outside"):
        read(example(), cutout=((500, 0), 10))
    with pytest.raises(EmptyImage):
        read(example(), cutout=(SkyCoord(330, -20, unit="deg"), 10))


@pytest.mark.parametrize(
    "cutout",
    [3, (1, 2, 3), ((1, 2), 0), ((1, 2), -4), ((1, 2), (1, 2, 3)), ("a", 3), ((1, 2), "wide"),
     (SkyCoord(1, 2, unit="deg"), 4), ((1, 2), 4 * units.arcsec), ((1, 2), 4 * units.s)],
)  # fmt: skip
def test_cutouts_that_mean_nothing(cutout: Any) -> None:
    with pytest.raises(InvalidRequest):
        read(PLANE, cutout=cutout)


def test_hdu_applies_to_fits_only() -> None:
    for source in (PLANE, Image.new("L", (4, 4)), NDData(PLANE), read(PLANE)):
        with pytest.raises(InvalidRequest, match="hdu"):
            read(source, hdu=1)


# Pictures -----------------------------------------------------------------------------------


def file_of(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG", "JPEG2000"])
def test_picture_files(kind: str, tmp_path: Path) -> None:
    shades = np.full((6, 9, 3), (200, 100, 50), np.uint8)
    path = tmp_path / "picture.any"
    path.write_bytes(file_of(Image.fromarray(shades), kind))
    image = read(path)
    assert image.pixels.shape == (3, 6, 9)
    assert (image.origin, image.display) == ("upper", True)
    np.testing.assert_allclose(image.pixels[:, 0, 0], (200, 100, 50), atol=9)


def test_grey_deep_palette_and_transparent_pictures() -> None:
    grey = read(Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    assert (grey.bands, grey.display) == (("L",), True)
    deep = read(file_of(Image.fromarray(np.full((3, 4), 60_000, np.uint16)), "PNG"))
    assert (deep.display, float(deep.pixels.max())) == (False, 60_000.0)
    floats = read(file_of(Image.fromarray(PLANE), "TIFF"))
    np.testing.assert_array_equal(floats.pixels[0], PLANE)
    assert read(Image.new("P", (4, 4))).bands == ("R", "G", "B")
    assert not read(Image.new("RGBA", (4, 4), (255, 255, 255, 0))).pixels.any()
    assert read(Image.new("1", (4, 4), 1)).pixels.max() == 255
    assert read(Image.new("CMYK", (4, 4))).pixels.shape == (3, 4, 4)


def test_the_exif_tag_says_which_side_is_up() -> None:
    picture = Image.fromarray(np.zeros((4, 9, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(file_of(picture, "JPEG", exif=exif)).shape == (9, 4)


def test_damaged_and_huge_pictures() -> None:
    noise = Image.fromarray(RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "TIFF"):
        data = file_of(noise, kind)
        with pytest.raises(CorruptImage):
            read(data[: len(data) // 2])
    with pytest.raises(CorruptImage):
        read(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ImageTooLarge):
        read(file_of(noise, "PNG"), max_pixels=1000)
    # 400 million pixels in a few hundred kilobytes.
    bomb = file_of(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(ImageTooLarge):
        read(bomb)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"plain words about a galaxy\n", "text"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"<?xml version='1.0'?><VOTABLE/>", "XML"),
        (b"PK\x03\x04" + bytes(50), "zip"),
        (bytes(range(200, 256)), "unknown format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "text"),
    ],
)
def test_other_files_are_named_for_what_they_are(data: bytes, word: str) -> None:
    with pytest.raises(UnsupportedImage, match=word):
        read(data)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.fits").touch()
    with pytest.raises(CorruptImage, match="empty"):
        read(tmp_path / "empty.fits")


# Bytes, streams, SkyImage -------------------------------------------------------------------


def test_paths_bytes_and_streams_agree() -> None:
    data = example().read_bytes()
    images = [read(example()), read(str(example())), read(data), read(bytearray(data))]
    images += [read(memoryview(data)), read(io.BytesIO(data))]
    with example().open("rb") as file:
        images.append(read(file))
    for image in images[1:]:
        np.testing.assert_array_equal(image.pixels, images[0].pixels)
        assert image.source["sha256"] == images[0].source["sha256"]


def test_a_stream_is_read_up_to_the_limit_only() -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked = size
            return bytes(min(size, 70_000_000))

    endless = Endless()
    with pytest.raises(ImageError):
        read(endless, max_pixels=100)
    assert 0 < endless.asked < 100_000_000


def test_arrays_are_identified_by_their_values() -> None:
    assert read(PLANE).source["sha256"] == read(PLANE.astype(">f4")).source["sha256"]
    assert read(PLANE).source["sha256"] != read(PLANE + 1).source["sha256"]


def test_a_sky_image_passes_through_and_is_checked() -> None:
    image = read(example())
    assert read(image) is image
    assert read(image, bands="zr").bands == ("z", "r")
    with pytest.raises(UnsupportedImage, match="name"):
        SkyImage(np.zeros((3, 4, 5)), ("g",))
    with pytest.raises(UnsupportedImage):
        SkyImage(np.zeros((4, 5)), ("g",))
    with pytest.raises(EmptyImage):
        SkyImage(np.zeros((1, 0, 5)), ("g",))
    with pytest.raises(UnsupportedImage):
        SkyImage(np.zeros((1, 4, 5)), ("g",), mask=np.zeros((5, 4), bool))
    values = np.zeros((1, 4, 5), np.float32)
    built = SkyImage(values, ("g",))
    values[...] = 1
    assert not built.pixels.any()


def test_a_sky_image_can_be_pickled() -> None:
    """Images cross to worker processes."""
    import pickle

    image = read(example())
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.centre == pytest.approx(image.centre)
    assert (again.bands, again.source) == (image.bands, image.source)


@pytest.mark.parametrize(("values", "picture"), [(1.0, True), (300.0, False)])
def test_a_picture_of_floats_with_transparency_is_told_what_to_do(
    values: float, picture: bool
) -> None:
    """matplotlib's RGBA was "a cube of 4 planes", of which planes 5 and 9 were to be chosen."""
    floats = np.linspace(0, values, 6 * 7 * 4, dtype=np.float32).reshape(6, 7, 4)
    with pytest.raises(AmbiguousImage) as caught:
        read(floats)
    assert ("(255 * array).round().astype('uint8')" in caught.value.hint) is picture
    assert "bands=[0, 2, 3]" in caught.value.hint
    assert read(floats, bands=[0, 2, 3]).pixels.shape == (3, 6, 7)
    if picture:
        assert read((255 * floats).round().astype("uint8")).display
