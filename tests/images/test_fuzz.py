"""Damaged files: an error of ours or an image, never a crash, a hang or a full memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrollava.images import example

# The child reads one file after another and writes a line before and after each, so that the parent
# knows which one killed it. Its address space and its time are bounded.
CHILD = """
import json, resource, sys, warnings
warnings.simplefilter("error")
import astropy.io.fits, astropy.wcs, PIL.Image
from pathlib import Path
from astrollava.errors import ImageError
from astrollava.images import read, render
read({example!r})
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1_500_000_000,) * 2)
for path in sorted(Path({folder!r}).iterdir()):
    print(path.name, end=" ", flush=True)
    try:
        image = read(path, max_pixels=5_000_000)
        render(image, size=(32, 32))
        image.describe_source()
        json.dumps([dict(image.meta), image.describe_source()], allow_nan=False)
        print("image", flush=True)
    except ImageError as error:
        assert str(error)
        print(type(error).__name__, flush=True)
"""


def seeds() -> dict[str, bytes]:
    """Small files of every kind that is read, with a WCS and tables."""
    rng = np.random.default_rng(5)
    whole = fits.getdata(example())
    header = fits.getheader(example())
    small = fits.PrimaryHDU(whole[:, 60:90, 60:90], header)
    short = (whole[1, 50:90, 50:90] * 1000).astype(np.int16)
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(9.0))])
    files = {
        "cube": [small],
        "ints": [fits.PrimaryHDU(short)],
        "later": [fits.PrimaryHDU(), table, fits.ImageHDU(whole[0, :20, :30], name="SCI")],
    }
    for kind in ("RICE_1", "GZIP_1", "PLIO_1", "HCOMPRESS_1"):
        values = np.abs(short) if kind == "PLIO_1" else short
        files[kind.lower()] = [fits.PrimaryHDU(), fits.CompImageHDU(values, compression_type=kind)]
    files["quantized"] = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(rng.normal(size=(40, 40)).astype(np.float32), quantize_level=8),
    ]
    packed = {}
    for name, hdus in files.items():
        out = io.BytesIO()
        fits.HDUList(hdus).writeto(out)
        packed[name] = out.getvalue()
    return packed


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to a few random faults: bits, cuts, header values, swapped and repeated blocks."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(6)
        if kind == 0:
            for at in rng.integers(0, len(out), rng.integers(1, 12)):
                out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del out[int(rng.integers(1, len(out))) :]
        elif kind in (2, 3):
            replace_value(out, rng)
        elif kind == 4:
            start = 2880 * int(rng.integers(0, max(1, len(out) // 2880)))
            block = out[start : start + 2880]
            out[start:start] = block
        else:
            start = int(rng.integers(0, len(out)))
            out[start : start + 64] = rng.bytes(min(64, len(out) - start))
        if not out:
            return b"SIMPLE  ="
    return bytes(out)


KEYS = (
    "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BITPIX", "GCOUNT", "PCOUNT", "BSCALE", "BZERO", "BLANK",
    "ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZTILE2", "ZBITPIX", "ZCMPTYPE", "ZVAL1", "ZVAL2", "TFIELDS",
    "TFORM1", "TTYPE1", "CRPIX1", "CDELT1", "CTYPE1", "CRVAL1", "WCSAXES", "XTENSION", "SIMPLE",
    "EXTEND", "BAND0", "BANDS", "OBJECT", "ZIMAGE", "ZQUANTIZ", "ZDITHER0", "ZSCALE",
)  # fmt: skip
VALUES = (
    "0", "-1", "1", "2", "3", "7", "8", "16", "-32", "-64", "99", "1000", "65536", "2147483647",
    "-2147483648", "4294967296", "9223372036854775807", "1E400", "NaN", "T", "F", "''", "'RICE_1'",
    "'GZIP_2'", "'1PB(9)'", "'1QB(99999999999)'", "'9999999999E'", "'\x01\x7f'", "(1,2)", "1.5",
    "'RA---ZEA'", "'TABLE   '", "'IMAGE   '", "'BINTABLE'", "",
)  # fmt: skip


def replace_value(out: bytearray, rng: np.random.Generator) -> None:
    key = KEYS[int(rng.integers(len(KEYS)))].ljust(8).encode()
    places = [at for at in range(0, len(out) - 79, 80) if out[at : at + 8] == key]
    if places:
        at = places[int(rng.integers(len(places)))]
        value = VALUES[int(rng.integers(len(VALUES)))]
        card = key + b"= " + value.rjust(20).encode("latin-1")
        out[at : at + 80] = card.ljust(80)[:80]


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the child's memory through /proc")
def test_hundreds_of_damaged_fits_files(tmp_path: Path) -> None:
    """astropy answers damage with a dozen kinds of exception; a user must see one documented."""
    rng = np.random.default_rng(6)
    originals = seeds()
    for number in range(600):
        name, data = list(originals.items())[number % len(originals)]
        (tmp_path / f"{number:04}-{name}.fits").write_bytes(damaged(data, rng))
    outcome = run_child(tmp_path)
    assert len(outcome) == 600
    # A fuzzer whose files are all refused at the first byte, or all sound, tests nothing.
    assert sum(word == "image" for word in outcome.values()) > 60
    assert sum(word == "CorruptImage" for word in outcome.values()) > 100
    assert len(set(outcome.values())) >= 5


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the child's memory through /proc")
def test_damaged_pictures_and_archives(tmp_path: Path) -> None:
    import bz2
    import gzip

    from PIL import Image

    rng = np.random.default_rng(7)
    shades = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    originals = []
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"):
        out = io.BytesIO()
        shades.save(out, format=kind)
        originals.append(out.getvalue())
    plain = next(iter(seeds().values()))
    originals += [gzip.compress(plain, mtime=0), bz2.compress(plain)]
    for number in range(160):
        data = damaged(originals[number % len(originals)], rng)
        (tmp_path / f"{number:04}.any").write_bytes(data)
    assert len(run_child(tmp_path)) == 160


def test_a_tile_that_lies_about_its_size(tmp_path: Path) -> None:
    """The decompressor that astropy carries believes the stream and overwrites the heap."""
    data = bytearray(seeds()["hcompress_1"])
    start = data.index(b"\xdd\x99")
    data[start + 2 : start + 6] = (4000).to_bytes(4, "big")
    (tmp_path / "tile.fits").write_bytes(data)
    assert run_child(tmp_path) == {"tile.fits": "CorruptImage"}


def test_a_billion_axes_and_planes(tmp_path: Path) -> None:
    """astropy lists every axis a header promises: minutes and gigabytes for one damaged digit."""
    data = seeds()["cube"]
    for number, key in enumerate((b"NAXIS   =", b"NAXIS3  =", b"WCSAXES =")):
        at = data.index(key)
        card = key + b" 2147483647".rjust(21)
        (tmp_path / str(number)).write_bytes(data[:at] + card + data[at + len(card) :])
    outcome = run_child(tmp_path)
    assert outcome == {"0": "CorruptImage", "1": "AmbiguousImage", "2": "image"}


def run_child(folder: Path) -> dict[str, str]:
    code = CHILD.format(example=str(example()), folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240
    )
    last = done.stdout.splitlines()[-1:] or [""]
    assert done.returncode == 0, f"{last[0]}: exit {done.returncode}\n{done.stderr[-3000:]}"
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())
