"""FITS files with several images in them: one for each filter, or cadence by cadence."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from astrollava.errors import ImageError, UnreadableAnswer
from astrollava.images import read

if TYPE_CHECKING:
    from astrollava.images import SkyImage

__all__ = ["by_filter", "filter_of", "stacked_cadences"]

_FILTER = re.compile(r"F\d{3,4}[A-Z]{1,2}\d?")
_IN_NAME = re.compile(r"(?<![a-z0-9])f\d{3,4}[a-z]{1,2}\d?(?![a-z0-9])", re.IGNORECASE)
#: Cadences of a sector that are combined: more than these change nothing that can be seen.
_MOST_CADENCES = 200


def filter_of(header: Any, name: str = "") -> str:
    """Return the filter that a header, or the name of a file, speaks of; empty where none does.

    Examples
    --------
    >>> filter_of({"FILTER1": "CLEAR1L", "FILTER2": "F814W"})
    'F814W'
    >>> filter_of({}, "hst_cutout_skycell-p2007x09y05_wfc3_ir_f160w_coarse.fits")
    'F160W'
    """
    for key in ("FILTER", "FILTER1", "FILTER2"):
        value = str(header.get(key, "")).strip().upper()
        if _FILTER.fullmatch(value):
            return value
    for text in (str(header.get("ORIG_FLE", "")), name):
        found = _IN_NAME.search(text)
        if found:
            return found.group().upper()
    return ""


def by_filter(body: bytes, service: str, name: str) -> list[tuple[str, SkyImage]]:
    """Read every image of a FITS file that has a filter.

    Parameters
    ----------
    body : bytes
        The file.
    service : str
        What the service is called in errors.
    name : str
        The file's name, a label.

    Returns
    -------
    list of (str, SkyImage)
        Filter and plane; weights are left out.

    Raises
    ------
    UnreadableAnswer
        If it cannot be read.
    """
    from astropy.io import fits

    found = []
    try:
        with fits.open(io.BytesIO(body), memmap=False) as hdus:
            first = hdus[0].header
            for hdu in hdus:
                called = str(hdu.header.get("EXTNAME", "")).upper()
                if not hdu.is_image or hdu.header.get("NAXIS") != 2 or called.startswith("WHT"):
                    continue
                band = filter_of(hdu.header, name) or filter_of(first, name)
                if band:
                    found.append((band, read(hdu)))
    except (ImageError, *_DAMAGE) as error:
        raise _unreadable(service, name, error) from error
    return found


def stacked_cadences(body: bytes, service: str, name: str) -> SkyImage:
    """Combine the cadences of a TESS target pixel file by their median.

    Parameters, and errors, are those of `by_filter`. Cadences that are flagged, or empty, take no
    part where others are there.
    """
    from astropy.io import fits

    try:
        with fits.open(io.BytesIO(body), memmap=False) as hdus:
            table = hdus[1].data
            flux = np.asarray(table["FLUX"], dtype=np.float32)
            good = np.asarray(table["QUALITY"]) == 0
            # The table carries its coordinates in another notation; the aperture has plain ones.
            plain = read(hdus["APERTURE"])
            if flux.ndim != 3 or flux.shape[1:] != plain.shape:
                raise ValueError(f"FLUX has shape {flux.shape}, APERTURE {plain.shape}")
            unit = hdus[1].columns["FLUX"].unit
    except (ImageError, *_DAMAGE) as error:
        raise _unreadable(service, name, error) from error
    good &= np.isfinite(flux).any(axis=(1, 2)) & (flux != 0).any(axis=(1, 2))
    chosen = flux[good] if good.any() else flux
    step = -(-len(chosen) // _MOST_CADENCES)
    return dataclasses.replace(
        plain, pixels=_median(chosen[::step])[None], mask=None, bands=("TESS",), unit=unit
    )


def _median(frames: np.ndarray) -> np.ndarray:
    # `nanmedian` warns where all are bad.
    ordered = np.sort(np.where(np.isfinite(frames), frames, np.nan), axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, len(frames) - 1)
    ends = [np.take_along_axis(ordered, end[None], axis=0)[0] for end in (low, high)]
    return np.where(count > 0, (ends[0] + ends[1]) / 2, np.nan).astype(np.float32)


# What astropy raises at damaged files.
_DAMAGE = (OSError, ValueError, TypeError, LookupError, AttributeError)


def _unreadable(service: str, name: str, error: Exception) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"{service} sent {name[:80]!r}, which cannot be read ({type(error).__name__}: {error})",
        hint="Try again; if it stays, the service is at fault",
    )
