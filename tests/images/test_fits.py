"""FITS as users have it: each test names what a reader could get wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astrollava.errors import (
    AmbiguousImage,
    CorruptImage,
    EmptyImage,
    ImageNotFound,
    ImageTooLarge,
    InvalidRequest,
    NoImageInFile,
    UnsupportedImage,
)
from astrollava.images import example, read

RNG = np.random.default_rng(1)
PLANE = RNG.normal(size=(7, 11)).astype(np.float32)


def packed(*hdus: Any) -> bytes:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return out.getvalue()


def primary(data: Any = PLANE, **cards: Any) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    return hdu


def sky(header: fits.Header) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [30.0, -5.0], [6.0, 4.0]
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    header.update(wcs.to_header())


# Values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">i8", ">f4", ">f8", "u1", "u2"])
def test_every_bitpix_gives_native_float32(dtype: str) -> None:
    """Big-endian planes handed on as they are would make pillow and numpy draw noise."""
    values = np.arange(77).reshape(7, 11).astype(dtype)
    image = read(packed(fits.PrimaryHDU(values)))
    assert image.pixels.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(image.pixels[0], values)
    assert not image.pixels.flags.writeable


def test_bscale_and_bzero_are_applied() -> None:
    hdu = fits.PrimaryHDU(np.arange(12, dtype=np.int16).reshape(3, 4))
    data = packed(hdu).replace(b"END" + b" " * 77, b"BSCALE  = 0.5".ljust(80) + b"END".ljust(80), 1)
    data = data[:2880] + data[-2880:]
    np.testing.assert_allclose(read(data).pixels[0], np.arange(12).reshape(3, 4) * 0.5)


def test_blank_and_nan_are_masked() -> None:
    hdu = fits.PrimaryHDU(np.array([[1, -32768], [3, 4]], dtype=np.int16))
    hdu.header["BLANK"] = -32768
    image = read(packed(hdu))
    np.testing.assert_array_equal(image.mask, [[False, True], [False, False]])
    image = read(packed(fits.PrimaryHDU(np.array([[1.0, np.nan], [np.inf, 4.0]]))))
    np.testing.assert_array_equal(image.mask, [[False, True], [True, False]])


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_compressed_hdus(kind: str) -> None:
    values = np.arange(40 * 50, dtype=np.int32).reshape(40, 50)
    image = read(packed(fits.PrimaryHDU(), fits.CompImageHDU(values, compression_type=kind)))
    np.testing.assert_array_equal(image.pixels[0], values)
    assert image.source["hdu"] == 1


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(squeeze: Any, tmp_path: Path) -> None:
    path = tmp_path / "image.fits.packed"
    path.write_bytes(squeeze(packed(primary())))
    np.testing.assert_array_equal(read(path).pixels[0], PLANE)


def test_without_room_to_unpack_the_archive_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called damaged, and would be fetched again and again."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    large = gzip.compress(packed(primary())[:2880] + bytes(80_000_000), 1)
    with pytest.raises(ImageTooLarge, match=r"temporary files.*TMPDIR"):
        read(large)


def test_a_compressed_bomb_is_refused_early() -> None:
    """A few kilobytes that unpack to gigabytes would fill memory or disk."""
    bomb = gzip.compress(packed(primary())[:2880] + bytes(80_000_000), 1)
    with pytest.raises(ImageTooLarge, match="unpacks to more"):
        read(bomb, max_pixels=1000)


# Which HDU ----------------------------------------------------------------------------------


def table() -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(3.0))])


def test_the_first_image_is_found_behind_tables() -> None:
    image = read(packed(fits.PrimaryHDU(), table(), fits.ImageHDU(PLANE, name="SCI")))
    assert image.source["hdu"] == 2
    assert image.source["hdu_name"] == "SCI"


def test_hdu_by_number_name_and_version() -> None:
    data = packed(
        primary(), fits.ImageHDU(PLANE + 1, name="SCI"), fits.ImageHDU(PLANE + 2, name="SCI", ver=2)
    )
    for hdu, added in ((0, 0), (1, 1), ("sci", 1), (("SCI", 2), 2)):
        np.testing.assert_array_equal(read(data, hdu=hdu).pixels[0], PLANE + np.float32(added))


@pytest.mark.parametrize("hdu", [9, "ERR", ("SCI", 4)])
def test_a_missing_hdu_names_those_there_are(hdu: Any) -> None:
    with pytest.raises(NoImageInFile, match="SCI"):
        read(packed(primary(), fits.ImageHDU(PLANE, name="SCI")), hdu=hdu)


def test_tables_and_spectra_are_no_images() -> None:
    with pytest.raises(NoImageInFile, match="BinTableHDU"):
        read(packed(fits.PrimaryHDU(), table()))
    with pytest.raises(NoImageInFile, match="BinTableHDU"):
        read(packed(fits.PrimaryHDU(), table()), hdu=1)
    with pytest.raises(NoImageInFile):
        read(packed(fits.PrimaryHDU(np.arange(9.0))))
    with pytest.raises(NoImageInFile, match="header only"):
        read(packed(fits.PrimaryHDU(), table()), hdu=0)


# Cubes --------------------------------------------------------------------------------------


def test_planes_are_bands() -> None:
    for count in (1, 2, 3):
        cube = RNG.normal(size=(count, 5, 6)).astype(np.float32)
        image = read(packed(fits.PrimaryHDU(cube)))
        assert image.pixels.shape == (count, 5, 6)
        assert image.bands == tuple(str(n) for n in range(count))


def test_axes_of_length_one_are_no_planes() -> None:
    """Radio images carry Stokes and frequency axes of length one."""
    assert read(packed(fits.PrimaryHDU(PLANE[None, None]))).pixels.shape == (1, 7, 11)


def test_an_unlabelled_cube_is_not_guessed_at() -> None:
    data = packed(fits.PrimaryHDU(np.zeros((5, 4, 6))))
    with pytest.raises(AmbiguousImage, match="bands="):
        read(data)
    assert read(data, bands=[0, 4]).bands == ("0", "4")
    assert read(data, bands="2").bands == ("2",)
    assert read(data, bands=[2]).bands == ("2",)
    assert read(data, bands="ugriz").bands == tuple("ugriz")
    with pytest.raises(AmbiguousImage):
        read(packed(fits.PrimaryHDU(np.zeros((2, 3, 4, 6)))))


def test_labels_name_the_planes() -> None:
    cube = np.arange(5)[:, None, None] * np.ones((5, 4, 6))
    cards = {f"BAND{n}": band for n, band in enumerate("ugriz")}
    data = packed(primary(cube, **cards))
    image = read(data)
    assert image.bands == tuple("ugriz")
    picked = read(data, bands="irg")
    assert picked.bands == ("i", "r", "g")
    np.testing.assert_array_equal(picked.pixels[:, 0, 0], [3, 2, 1])
    with pytest.raises(InvalidRequest, match="u, g, r, i, z"):
        read(data, bands=["K"])
    with pytest.raises(InvalidRequest):
        read(data, bands=[5])


@pytest.mark.parametrize(
    ("cards", "band"),
    [
        ({"FILTER": "g DECam SDSS c0001 4720.0 1520.0"}, "g"),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, "F814W"),
        ({"BAND": "K"}, "K"),
        ({"FILTER": "\tNONE"}, "0"),
        ({}, "0"),
    ],
)
def test_a_single_band_is_named_by_its_filter(cards: dict[str, str], band: str) -> None:
    cards = {key: value.strip() for key, value in cards.items()}
    assert read(packed(primary(**cards))).bands == (band,)


def test_eight_bit_colour_cubes_are_pictures() -> None:
    """Stretching a finished picture again would burn it out."""
    image = read(packed(primary(np.zeros((3, 4, 5), dtype=np.uint8), CTYPE3="RGB")))
    assert image.display
    assert image.origin == "lower"
    assert not read(packed(primary(np.zeros((3, 4, 5), dtype=np.uint8), BANDS="grz"))).display


def test_planes_chosen_from_a_cube_of_bytes_are_no_picture() -> None:
    """Only three planes alone are a colour picture; planes 0, 1 and 2 of ten are a choice."""
    cube = np.zeros((10, 4, 5), dtype=np.uint8)
    chosen = read(packed(primary(cube)), bands=[0, 1, 2])
    assert (chosen.display, chosen.bands) == (False, ("0", "1", "2"))
    picture = read(packed(primary(cube[:3])), bands=[0, 1, 2])
    assert (picture.display, picture.bands) == (True, ("R", "G", "B"))


def test_what_is_no_image_is_named_once() -> None:
    """ "the HDU: HDU  is a BinTableHDU" named an HDU twice, and not by its name."""
    named = table()
    named.name = "EVENTS"
    for hdu, said in ((table(), "the HDU is a"), (named, "the HDU (EVENTS) is a")):
        with pytest.raises(NoImageInFile, match=re.escape(said)):
            read(hdu)
    with pytest.raises(NoImageInFile, match=r"HDU 1 \(EVENTS\) is a BinTableHDU"):
        read(packed(fits.PrimaryHDU(), named), hdu=1)


# Coordinates and meta -----------------------------------------------------------------------


def test_centre_and_scale() -> None:
    hdu = primary()
    sky(hdu.header)
    image = read(packed(hdu))
    assert image.centre == pytest.approx((30.0, -5.0))
    assert image.pixel_scale == pytest.approx(1.0)
    described = image.describe_source()
    assert described["centre"] == [30.0, -5.0]


def test_galactic_coordinates_become_icrs() -> None:
    hdu = primary(
        CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN", CRVAL1=0.0, CRVAL2=0.0, CRPIX1=6.0, CRPIX2=4.0,
        CDELT1=-0.01, CDELT2=0.01,
    )  # fmt: skip
    assert read(packed(hdu)).centre == pytest.approx((266.405, -28.936), abs=1e-3)


def test_declination_first_is_not_swapped() -> None:
    hdu = primary(
        CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=-5.0, CRVAL2=30.0, CRPIX1=6.0, CRPIX2=4.0,
        CDELT1=0.01, CDELT2=0.01,
    )  # fmt: skip
    assert read(packed(hdu)).centre == pytest.approx((30.0, -5.0))


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": 0.0, "CDELT2": 0.0},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 100_000, "B_ORDER": 2},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "WCSAXES": 90_000},
        {"CTYPE1": "WAVE", "CTYPE2": "LINEAR"},
    ],
)
def test_a_broken_wcs_costs_the_coordinates_only(cards: dict[str, Any]) -> None:
    image = read(packed(primary(**cards)))
    assert image.wcs is None
    assert image.meta["wcs_note"]
    assert image.centre is None


def test_no_wcs_is_fine() -> None:
    image = read(packed(primary()))
    assert (image.wcs, image.centre, image.pixel_scale) == (None, None, None)
    assert "wcs_note" not in image.meta


def test_header_text_is_bounded_and_printable() -> None:
    """Text of a header goes to terminals and into records: no escapes, no novels."""
    hdu = primary(OBJECT="x" * 60, BUNIT="MJy/sr", TELESCOP="tele")
    data = packed(hdu).replace(b"'tele    '", b"'t\x1b[31m  '")
    image = read(data)
    assert "\x1b" not in repr(image.meta)
    assert all(len(value) <= 80 for value in image.meta.values())
    assert image.unit == "MJy/sr"
    hdu.header["OBJECT"] = "y" * 900
    assert len(read(packed(hdu)).meta["object"]) == 80


def test_the_source_is_identified(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.fits"
    path.write_bytes(packed(primary()))
    source = read(path).source
    assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source["kind"], source["path"], source["hdu"]) == ("fits", str(path), 0)
    assert source["shape"] == [7, 11]


# Bad files ----------------------------------------------------------------------------------


def test_a_missing_file_and_an_address(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        read(tmp_path / "none.fits")
    with pytest.raises(FileNotFoundError, match="Download"):
        read("https://example.org/a.fits")
    # A path keeps one slash of two, and it is no address that its reader knows.
    for address in ("https://example.org/a.fits", "s3://bucket/a.fits", "HTTP://a.org/?a=1"):
        with pytest.raises(ImageNotFound, match=rf"^'{re.escape(address)}' is an address") as told:
            read(address)
        assert told.value.filename == address
    with pytest.raises(ImageNotFound, match=r"^'https://example.org/a.fits' is an address"):
        read(Path("https://example.org/a.fits"))
    with pytest.raises(ImageNotFound, match="without file://"):
        read("file:///data/a.fits")
    with pytest.raises(ImageNotFound, match="no file"):
        read("C:/data/a.fits")
    with pytest.raises(UnsupportedImage, match="directory"):
        read(tmp_path)


def test_truncated_data_and_header() -> None:
    data = packed(primary(np.zeros((100, 100))))
    with pytest.raises(CorruptImage, match="truncated"):
        read(data[:-2880])
    with pytest.raises(CorruptImage, match="header"):
        read(data[:1500])


def test_a_header_without_end_is_not_read_forever() -> None:
    with pytest.raises(CorruptImage):
        read(b"SIMPLE  =                    T".ljust(80) + b" " * 5_000_000)


def test_truncated_archives() -> None:
    for squeeze in (gzip.compress, bz2.compress, lzma.compress):
        with pytest.raises(CorruptImage, match="archive"):
            read(squeeze(packed(primary(RNG.normal(size=(60, 60)))))[:-400])


def test_an_axis_of_length_zero() -> None:
    data = packed(fits.PrimaryHDU(np.zeros((4, 5))))
    data = data.replace(b"NAXIS1  =                    5", b"NAXIS1  =                    0")
    with pytest.raises(EmptyImage):
        read(data)


def test_the_pixel_limit_is_held_before_reading() -> None:
    """A header of 80 bytes can promise a terabyte."""
    data = packed(fits.PrimaryHDU(np.zeros((4, 5))))
    data = data.replace(b"NAXIS1  =                    5", b"NAXIS1  =           9999999999")
    with pytest.raises(ImageTooLarge, match="max_pixels"):
        read(data)
    with pytest.raises(ImageTooLarge):
        read(packed(fits.PrimaryHDU(np.zeros((3, 20, 20)))), max_pixels=1199)


# HDU objects --------------------------------------------------------------------------------


def test_hdus_and_lists_in_memory_and_from_files(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(fits.ImageHDU(PLANE)).pixels[0], PLANE)
    path = tmp_path / "a.fits"
    path.write_bytes(packed(primary(), fits.CompImageHDU(np.ones((9, 9), np.int16), name="C")))
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(read(hdus).pixels[0], PLANE)
        np.testing.assert_array_equal(read(hdus, hdu="C").pixels[0], 1)
        before = str(hdus[0].header)
        np.testing.assert_array_equal(read(hdus[0]).pixels[0], PLANE)
        assert str(hdus[0].header) == before
    with pytest.raises(NoImageInFile):
        read(table())


def test_a_changed_hdu_is_read_as_changed(tmp_path: Path) -> None:
    """Reading the file behind an HDU would ignore what the user did to its data."""
    path = tmp_path / "a.fits"
    path.write_bytes(packed(primary()))
    with fits.open(path) as hdus:
        hdus[0].data = hdus[0].data * 2
        image = read(hdus[0])
        hdus[0].data[...] = -1
    np.testing.assert_array_equal(image.pixels[0], PLANE * 2)


# Real files ---------------------------------------------------------------------------------


def test_every_real_file_is_read_or_refused_clearly(shared_data: Path) -> None:
    for path in sorted((shared_data / "fits").iterdir()):
        if path.name == "decals_incomplete.fits":
            with pytest.raises(CorruptImage, match="truncated"):
                read(path)
            continue
        image = read(path)
        assert np.isfinite(image.pixels).any(), path.name


def test_real_facts(shared_data: Path) -> None:
    folder = shared_data / "fits"
    decals = read(folder / "decals_a.fits")
    assert decals.bands == ("g", "r", "z")
    assert decals.centre == pytest.approx((146.714, -1.0413), abs=1e-3)
    assert decals.pixel_scale == pytest.approx(0.1, rel=1e-3)
    merger = read(folder / "decam_merger_g.fits")
    assert merger.mask is not None
    assert merger.mask.mean() == pytest.approx(7936 / 256**2)
    assert merger.pixel_scale == pytest.approx(0.263, abs=0.002)
    assert read(folder / "gc_2mass_k.fits").bands == ("K",)
    rosat = read(folder / "allsky_rosat.fits")
    assert rosat.unit == "10**(-6)counts/s"
    assert rosat.pixel_scale == pytest.approx(0.675 * 3600)
    assert read(folder / "reprojected_sdss_g.fits.bz2").meta["object"] == "86 S"
    with pytest.raises(NoImageInFile):
        read(folder / "HorseHead.fits", hdu=1)


def test_the_example_says_that_it_is_simulated() -> None:
    """A simulated galaxy taken for an observation would be a lie in somebody's figure."""
    assert example().stat().st_size < 350_000
    header = fits.getheader(example())
    assert header["OBJECT"] == "simulated"
    assert "SIMULATED" in str(header["COMMENT"])
    image = read(example())
    assert image.bands == ("g", "r", "z")
    assert image.pixel_scale == pytest.approx(0.45)
