"""A `SkyImage` as bytes and back, to the last bit.

The WCS is kept as the numbers that define it: reading a FITS header takes astropy longer than
reading the pixels from disk. Where these do not give the same WCS again, as with TPV, it is kept as
a header; where that does not either, as with tables of distortions, the image is not kept.
"""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import numpy as np

from astrollava.images import SkyImage
from astrollava.images._quiet import quiet

__all__ = ["decode", "encode", "load"]

_MAGIC: Final = b"astrollava-cutout 3\n"
_BEGIN: Final = len(_MAGIC) + 4
#: Rows and columns of words that the check adds up. A prime number of columns, so that of two
#: sectors of a disk no word of the one stands in the column of its like in the other.
_BLOCK: Final = (64, 1021)


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
        "scale": image.scale,
    }
    try:
        said = json.dumps(head, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
    # Padded, so that pixels lie where they can be used without a copy.
    said += b" " * (-(len(said) + 4) % 8)
    body = b"".join(
        (
            len(said).to_bytes(4, "little"),
            said,
            np.ascontiguousarray(image.pixels, "<f4").tobytes(),
            b"" if image.mask is None else np.packbits(image.mask).tobytes(),
        )
    )
    check = functools.reduce(_checked, _pieces(memoryview(body)), 0)
    return _MAGIC, check.to_bytes(4, "little"), body


def decode(data: bytes) -> SkyImage | None:
    """Turn bytes into the image that they were made of, or None if one bit of them is not right."""
    return load(io.BytesIO(data), len(data))


def load(file: BinaryIO, size: int) -> SkyImage | None:
    """Read the image that a file of so many bytes holds; None as `decode`."""
    start = file.read(_BEGIN)
    data = np.empty(max(0, size - _BEGIN), np.uint8)
    check = 0
    for piece in _pieces(data.data):
        if file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
            return None
        # At once, while the processor has it at hand.
        check = _checked(check, piece)
    if not data.size or start != _MAGIC + check.to_bytes(4, "little"):
        return None
    # What the image has for pixels cannot change behind its back.
    data.flags.writeable = False
    begin = 4 + int.from_bytes(data[:4].tobytes(), "little")
    head = json.loads(data[4:begin].tobytes())
    bands, ny, nx = head["shape"]
    end = begin + 4 * bands * ny * nx
    pixels = data[begin:end].view("<f4").reshape(bands, ny, nx)
    mask = None
    if head["masked"]:
        mask = np.unpackbits(data[end:], count=ny * nx).reshape(ny, nx).view(bool)
        mask.flags.writeable = False
    return SkyImage._again(
        pixels=pixels.astype(np.float32, copy=False),
        bands=tuple(head["bands"]),
        wcs=None if head["wcs"] is None else _wcs_of(head["wcs"]),
        unit=head["unit"],
        mask=mask,
        meta=head["meta"],
        origin=head["origin"],
        display=head["display"],
        source=head["source"],
        red_last=head["red_last"],
        scale=head["scale"],
    )


def _pieces(view: memoryview) -> Iterator[memoryview]:
    step = 8 * _BLOCK[0] * _BLOCK[1]
    return (view[begin : begin + step] for begin in range(0, len(view), step))


def _checked(before: int, piece: memoryview) -> int:
    """Return a number that damage to a piece changes; `before` is that of the piece before it.

    A CRC of all of it would take longer than everything else that finding an image takes. It is
    taken of the sums of the columns instead, which are added up at the speed of memory: a bit that
    flips, a sector that was never written, is another's or stands where another should, changes
    some of them.
    """
    rows, columns = _BLOCK
    if len(piece) < 8 * rows * columns:
        return zlib.crc32(piece, before)
    words = np.frombuffer(piece, "<u8").reshape(rows, columns)
    return zlib.crc32(words.sum(axis=0, dtype="<u8").tobytes(), before)


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
