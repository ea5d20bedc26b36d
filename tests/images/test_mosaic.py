"""Huge files: a cut-out must cost what it shows, not what it is cut from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrollava.errors import ImageTooLarge
from astrollava.images import read

SIDE = 40_000  # 3.2 GB as 16-bit integers

MEASURE = """
import json, time
from pathlib import Path
from astrollava.images import read
from astropy.coordinates import SkyCoord

def peak():
    # Not getrusage: its figure begins with that of the process which started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

read({small!r}, cutout=((1, 1), 2))
before = peak()
start = time.process_time()
image = read({mosaic!r}, cutout=((30_000, 35_000), 500))
print(json.dumps({{
    "mebibytes": (peak() - before) / 1024,
    "seconds": time.process_time() - start,
    "value": float(image.pixels[0, 250, 250]),
    "shape": image.shape,
    "source": dict(image.source),
}}))
"""


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse file: it says 3.2 GB and occupies a few kilobytes."""
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.fits"
    header = fits.PrimaryHDU(np.zeros((2, 2), np.int16)).header
    header["NAXIS1"] = header["NAXIS2"] = SIDE
    start = len(header.tostring())
    with path.open("wb") as file:
        file.write(header.tostring().encode("ascii"))
        file.seek(start + 2 * (35_000 * SIDE + 30_000))
        file.write(np.array([1234], ">i2").tobytes())
        file.truncate(start + -(-2 * SIDE * SIDE // 2880) * 2880)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and /proc/self/status")
def test_a_cutout_of_gigabytes_costs_megabytes(mosaic: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.fits"
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(small)
    code = MEASURE.format(small=str(small), mosaic=str(mosaic))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(done.stdout)
    assert found["value"] == 1234
    assert found["shape"] == [500, 500]
    assert found["mebibytes"] < 40
    assert found["seconds"] < 10
    assert found["source"]["sha256_of"] == "pixels"
    assert found["source"]["cutout"] == {"x": [29_750, 30_250], "y": [34_750, 35_250]}


def test_the_whole_mosaic_is_refused_at_once(mosaic: Path) -> None:
    with pytest.raises(ImageTooLarge, match="cutout"):
        read(mosaic)


def test_a_huge_file_is_not_hashed_whole(mosaic: Path) -> None:
    """The hash of 3.2 GB takes longer than the description; the record says what was hashed."""
    source = read(mosaic, cutout=((100, 100), 10)).source
    assert source["sha256_of"] == "pixels"
    assert source["bytes"] > 3_000_000_000


def test_slices_of_a_memory_mapped_array_stay_on_disk(mosaic: Path) -> None:
    values = np.memmap(mosaic, ">i2", "r", offset=2880, shape=(SIDE, SIDE))
    assert read(values, cutout=((30_000, 35_000), 3)).pixels[0, 1, 1] == 1234
