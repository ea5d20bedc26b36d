"""Real but tiny models and images for the command."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from astrollava.cli import main
from command_line import UNWANTED
from tiny_pair import TinyPair, byte_token, write_pair

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process, which spares a start; llama.cpp's own output counts too."""
    for name in UNWANTED:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path, stdin: bytes = b"") -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        assert isinstance(left.value.code, int)
        shown = capfd.readouterr()
        return CompletedProcess(arguments, left.value.code, shown.out, shown.err)

    return run


def options(folder: Path, pair: TinyPair) -> list[str]:
    text, mmproj = write_pair(folder, pair)
    # One thread: on a busy machine, threads that wait for each other take most of the time.
    return ["--model", str(text), "--mmproj", str(mmproj), "--threads", "1"]


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a model that says "A disk", with control characters among the words."""
    # No letter may come twice: the scripted model knows only what follows what.
    words = dict.fromkeys(b"A disk,\x1b[2Jmuch_gory")
    pair = TinyPair(says=[byte_token(byte) for byte in words])
    return options(tmp_path_factory.mktemp("speaker"), pair)


@pytest.fixture(scope="session")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a model of random weights, which says anything and ends when it pleases."""
    return options(tmp_path_factory.mktemp("babbler"), TinyPair(context=8192))


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a model that repeats "nevr mo" for many seconds, on any machine."""
    pair = TinyPair(says=[byte_token(byte) for byte in b"nevr mo"], endless=True, context=4096)
    return [*options(tmp_path_factory.mktemp("endless"), pair), "--max-tokens", "4000"]


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "galaxy.png"
    y, x = np.mgrid[:40, :40] - 20
    light = (255 * np.exp(-np.hypot(x, y) / 6)).astype(np.uint8)
    Image.fromarray(np.dstack([light] * 3)).save(path)
    return path


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FITS file with two images behind an empty primary HDU."""
    path = tmp_path_factory.mktemp("fits") / "galaxy.fits"
    y, x = np.mgrid[:48, :64]
    light = np.exp(-np.hypot(x - 30, y - 20) / 5).astype(np.float32)
    images = [fits.ImageHDU(light, name="SCI"), fits.ImageHDU(light.T, name="TURN")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    return path


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FITS file that knows where it is: 64 pixels of one arcsecond around 150, +2 degrees."""
    path = tmp_path_factory.mktemp("sky") / "sky.fits"
    hdu = fits.PrimaryHDU(np.random.default_rng(1).random((64, 64), np.float32))
    for axis, kind, value, step in ((1, "RA---TAN", 150.0, -1), (2, "DEC--TAN", 2.0, 1)):
        hdu.header[f"CTYPE{axis}"] = kind
        hdu.header[f"CRVAL{axis}"] = value
        hdu.header[f"CRPIX{axis}"] = 32.5
        hdu.header[f"CDELT{axis}"] = step / 3600
        hdu.header[f"CUNIT{axis}"] = "deg"
    hdu.writeto(path)
    return path


@pytest.fixture(scope="session")
def unusable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that hold no image: name -> path."""
    folder = tmp_path_factory.mktemp("unusable")
    files = {name: folder / f"{name}.fits" for name in ("missing", "text", "cut", "table")}
    files["text"].write_text("NGC 5194 is a galaxy.\n" * 200)
    whole = folder / "whole.fits"
    fits.PrimaryHDU(np.zeros((100, 100), np.float32)).writeto(whole)
    files["cut"].write_bytes(whole.read_bytes()[:10_000])
    rows = np.array([(1, 2.0)], dtype=[("id", "i4"), ("flux", "f4")])
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(rows)]).writeto(files["table"])
    return files
