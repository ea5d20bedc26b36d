"""A `SkyImage` as bytes and back, to the last bit.

The WCS is kept as the numbers that define it: reading a FITS header takes astropy longer than
reading the pixels from disk. Where these do not give the same WCS again, as with TPV, it is kept as
a header; where that does not either, as with tables of distortions, the image is not kept.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

import numpy as np

from astrollava.images import SkyImage
from astrollava.images._quiet import quiet

__all__ = ["decode", "encode"]

_MAGIC: Final = b"astrollava-cutout 1\n"
_CHECK: Final = 4


def encode(image: SkyImage) -> tuple[bytes, ...] | None:
    """Turn an image into bytes, in parts to be joined.

    Returns
    -------
    tuple of bytes or None
        None for an image that would not come back as it is.
    """
    wcs = None if image.wcs is None else _wcs_kept(image.wcs, image.shape)
    if image.wcs is not None and wcs is None:
        return None
    head = {
        "shape": image.pixels.shape,
        "bands": image.bands,
        "wcs": wcs,
        "unit": image.unit,
        "masked": image.mask is not None,
        "meta": dict(image.meta),
        "origin": image.origin,
        "display": image.display,
        "source": dict(image.source),
        "red_last": image.red_last,
    }
    try:
        said = json.dumps(head, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
    parts = (
        _MAGIC + len(said).to_bytes(4, "little") + said,
        np.ascontiguousarray(image.pixels, "<f4").tobytes(),
        b"" if image.mask is None else np.packbits(image.mask).tobytes(),
    )
    return (_check(*parts), *parts)


def decode(data: bytes) -> SkyImage | None:
    """Turn bytes into the image that they were made of, or None if one bit of them is not right."""
    view = memoryview(data)
    start = _CHECK + len(_MAGIC)
    if bytes(view[_CHECK:start]) != _MAGIC or bytes(view[:_CHECK]) != _check(view[_CHECK:]):
        return None
    begin = start + 4 + int.from_bytes(view[start : start + 4], "little")
    head = json.loads(bytes(view[start + 4 : begin]))
    bands, ny, nx = head["shape"]
    end = begin + 4 * bands * ny * nx
    pixels = np.frombuffer(view[begin:end], "<f4").reshape(bands, ny, nx)
    mask = None
    if head["masked"]:
        bits = np.frombuffer(view[end:], np.uint8)
        mask = np.unpackbits(bits, count=ny * nx).reshape(ny, nx).astype(bool)
    return SkyImage(
        pixels,
        tuple(head["bands"]),
        wcs=None if head["wcs"] is None else _wcs_of(head["wcs"]),
        unit=head["unit"],
        mask=mask,
        meta=head["meta"],
        origin=head["origin"],
        display=head["display"],
        source=head["source"],
        red_last=head["red_last"],
    )


def _check(*parts: bytes | memoryview) -> bytes:
    # It finds what a power failure leaves, at twice the speed of a SHA-256.
    check = 0
    for part in parts:
        check = zlib.crc32(part, check)
    return check.to_bytes(_CHECK, "little")


def _wcs_kept(wcs: Any, shape: tuple[int, int]) -> dict[str, Any] | None:
    """Return what gives the same WCS again, or None."""
    ny, nx = shape
    points = [[0.0, 0.0], [nx - 1.0, 0.0], [0.0, ny - 1.0], [nx / 2.0, ny / 3.0]]
    with quiet(), np.errstate(all="ignore"):
        numbers = _wcs_numbers(wcs)
        header = {"header": wcs.to_header_string(relax=True)}
        there = wcs.all_pix2world(points, 0)
        # A millionth of an arcsecond, for what is written with fewer digits.
        for kept, most in ((numbers, 0.0), (header, 3e-10)):
            apart = np.abs(_wcs_of(kept).all_pix2world(points, 0) - there)
            if bool((apart[np.isfinite(there)] <= most).all()):
                return kept
    return None


def _wcs_numbers(wcs: Any) -> dict[str, Any]:
    """Return what defines a celestial WCS of two axes without tables."""
    plain = wcs.wcs
    plain.set()
    found: dict[str, Any] = {
        "ctype": list(plain.ctype),
        "cunit": [str(unit) for unit in plain.cunit],
        "crval": plain.crval.tolist(),
        "crpix": plain.crpix.tolist(),
        "cdelt": plain.get_cdelt().tolist(),
        "pc": plain.get_pc().tolist(),
        "lonpole": float(plain.lonpole),
        "latpole": float(plain.latpole),
        "radesys": plain.radesys,
        "pv": [[int(axis), int(number), float(value)] for axis, number, value in plain.get_pv()],
        "sip": None if wcs.sip is None else _sip_numbers(wcs.sip),
    }
    # NaN says that there is none, and JSON has no NaN.
    if np.isfinite(plain.equinox):
        found["equinox"] = float(plain.equinox)
    return found


def _sip_numbers(sip: Any) -> dict[str, Any]:
    found = {"crpix": sip.crpix.tolist()}
    for name in ("a", "b", "ap", "bp"):
        matrix = getattr(sip, name)
        found[name] = None if matrix is None else matrix.tolist()
    return found


def _wcs_of(numbers: dict[str, Any]) -> Any:
    from astropy.wcs import WCS, Sip

    if "header" in numbers:
        with quiet():
            return WCS(numbers["header"])
    wcs = WCS(naxis=2)
    plain = wcs.wcs
    plain.ctype = numbers["ctype"]
    plain.cunit = numbers["cunit"]
    plain.crval = numbers["crval"]
    plain.crpix = numbers["crpix"]
    plain.cdelt = numbers["cdelt"]
    plain.pc = numbers["pc"]
    plain.lonpole = numbers["lonpole"]
    plain.latpole = numbers["latpole"]
    plain.radesys = numbers["radesys"]
    plain.set_pv([tuple(each) for each in numbers["pv"]])
    if "equinox" in numbers:
        plain.equinox = numbers["equinox"]
    sip = numbers["sip"]
    if sip is not None:
        matrices = (
            None if sip[name] is None else np.asarray(sip[name]) for name in ("a", "b", "ap", "bp")
        )
        wcs.sip = Sip(*matrices, np.asarray(sip["crpix"]))
    plain.set()
    return wcs
