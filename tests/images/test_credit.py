"""Whose an image is, where a FITS header says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from astropy.io import fits

from astrollava.hooks.fetching.saving import save
from astrollava.images import SkyImage, read


def test_a_file_that_was_fetched_still_says_whom_to_name(tmp_path: Path) -> None:
    """Credit was lost between `fetch -o a.fits` and `describe a.fits`: the author was unknown."""
    origin = {
        "survey": "Example Survey DR1",
        "url": "https://survey.example/cutout?" + "&".join(f"p{n}={n}" for n in range(60)),
        "credit": "The Example Survey Collaboration; " + "funded by many, " * 20 + "and you",
        "licence": "CC BY 4.0",
    }
    fetched = SkyImage(np.ones((1, 8, 9), np.float32), ("r",), source=origin)
    back = read(save(fetched, tmp_path / "a.fits"), cutout=((4, 4), 4))
    assert origin.items() <= back.describe_source().items()
    # What a fetcher says itself goes before what a service wrote into the header.
    mine = dataclasses.replace(back, source={**back.source, "credit": "Mine"})
    assert mine.describe_source()["credit"] == "Mine"


def test_words_of_credit_are_not_trusted(tmp_path: Path) -> None:
    """A header is anybody's text: bounded, on one line, and text."""
    header = fits.Header()
    header["CREDIT"], header["SRCURL"], header["LICENSE"] = "x" * 5000, 7, " MIT "
    fits.PrimaryHDU(np.ones((4, 5)), header).writeto(tmp_path / "a.fits")
    found = read(tmp_path / "a.fits").describe_source()
    assert len(found["credit"]) == 1000
    assert "url" not in found
    assert found["licence"] == "MIT"
