"""The one boundary: anything a user may hold becomes a `SkyImage` or a precise error."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from astrollava.errors import (
    AstrollavaError,
    CorruptImage,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    UnsupportedImage,
)
from astrollava.images import _arrays, _fits, _foreign, _pictures
from astrollava.images._planes import Request
from astrollava.images.sky_image import SkyImage

__all__ = ["example", "read"]

# Up to this size a file is hashed whole; beyond, the pixels that were read are hashed instead, so
# that a cut-out of a mosaic does not wait for the hash of the mosaic.
_HASHED_WHOLE = 64 * 1024 * 1024
_CHUNK = 1024 * 1024
# As it was typed, or as a `Path` has it, which keeps one of two slashes.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|(?P<known>https?|ftp|file|gs|s3):/", re.IGNORECASE)

_UNPACK = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def read(
    source: Any,
    *,
    hdu: int | str | tuple[str, int] | None = None,
    cutout: tuple[Any, Any] | None = None,
    bands: str | int | Sequence[str | int] | None = None,
    max_pixels: int = 100_000_000,
) -> SkyImage:
    """Read an image from whatever holds it.

    Parameters
    ----------
    source : object
        A path (FITS, also .fz, .gz, .bz2, .xz; PNG, JPEG, TIFF and the like; formats of plugins),
        the bytes of such a file or an open binary file; a FITS HDU or HDU list;
        `~astropy.nddata.NDData`, `~astropy.nddata.CCDData` or `~astropy.nddata.Cutout2D`; an array
        of shape ``(ny, nx)``, ``(bands, ny, nx)`` or ``(ny, nx, 3)``, also masked or a
        `~astropy.units.Quantity`; a PIL image; a `SkyImage`. It is never changed and its memory is
        never kept.
    hdu : int, str or (str, int), optional
        Number or name of the FITS HDU; the first that holds an image by default.
    cutout : (position, size), optional
        Read this part only. The position is a `~astropy.coordinates.SkyCoord` or 0-based pixels
        ``(x, y)``; the size one value or ``(ny, nx)``, in pixels or as an angle
        (`~astropy.units.Quantity`). Parts outside the image are trimmed. Of an uncompressed FITS
        file nothing else is read.
    bands : str, int or sequence, optional
        Planes to take, by name (``"grz"``, ``"F606W,F814W"``, ``["g", "z"]``) or 0-based number.
        Names given for planes without any name all of them, in order. The longest wavelength
        becomes red; where names tell none (numbers), the last plane of the choice. Without a
        choice, the first of such planes becomes red.
    max_pixels : int
        The largest number of values (bands x rows x columns) to read.

    Returns
    -------
    SkyImage
        Float32 planes with what is known about them. Row 0 is the bottom for FITS, NDData and
        plain arrays, the top for pictures and for 8-bit arrays of three or four channels, which
        count as finished pictures.

    Raises
    ------
    ImageNotFound
        If there is no such file.
    UnsupportedImage
        If the type, format or dtype is not that of an image.
    CorruptImage
        If a file is truncated or damaged.
    NoImageInFile
        If a FITS file holds no image, or none at `hdu`.
    AmbiguousImage
        If a cube has more than three planes that nothing names.
    EmptyImage
        If an axis has length zero, or the cutout lies outside.
    ImageTooLarge
        If there are more than `max_pixels` values.
    InvalidRequest
        If `hdu`, `cutout` or `bands` cannot apply to the source.

    Examples
    --------
    >>> from astrollava.images import example, read
    >>> read(example()).bands
    ('g', 'r', 'z')
    >>> read(example(), cutout=((80, 80), 64), bands="r").pixels.shape
    (1, 64, 64)
    """
    request = Request(hdu, cutout, bands, int(max_pixels))
    if isinstance(source, SkyImage):
        return _arrays.from_sky_image(source, request)
    if isinstance(source, str | os.PathLike):
        return _read_path(source, request)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        return _read_data(data, request, {"kind": "bytes"}, what=f"the {len(data):,} bytes")
    if isinstance(source, np.ndarray | np.generic):
        return _arrays.from_array(source, request)
    return _read_object(source, request)


def example() -> Path:
    """Return the path of a small simulated three-band FITS image that comes with the library."""
    return Path(__file__).parent / "examples" / "simulated_spiral.fits"


def _read_object(source: Any, request: Request) -> SkyImage:
    """Read an object of a library that its owner must have imported already."""
    fits = sys.modules.get("astropy.io.fits")
    nddata = sys.modules.get("astropy.nddata")
    pil = sys.modules.get("PIL.Image")
    if fits is not None:
        if isinstance(source, fits.HDUList):
            return _fits.from_hdulist(source, request, {"kind": "hdu"}, what="the HDU list")
        if hasattr(source, "header") and hasattr(source, "fileinfo"):
            return _fits.from_hdu(source, request, {"kind": "hdu"}, what="the HDU")
    if nddata is not None:
        if isinstance(source, nddata.NDData):
            return _arrays.from_nddata(source, request)
        if isinstance(source, nddata.Cutout2D):
            return _arrays.from_cutout2d(source, request)
    if pil is not None and isinstance(source, pil.Image):
        return _pictures.from_pil(source, request, {"kind": "pil"}, what="the PIL image")
    if hasattr(source, "read"):
        return _read_stream(source, request)
    hint = "Pass numpy.asarray(source)" if hasattr(source, "__array__") else ""
    if isinstance(source, list | tuple):
        hint = "Stack the planes with numpy.stack, or read one image after the other"
    raise UnsupportedImage(
        f"source is of type {type(source).__module__}.{type(source).__qualname__}",
        expected="a path, bytes, an open binary file, an HDU, NDData, Cutout2D, an array, a PIL "
        "image or a SkyImage",
        hint=hint,
    )


def _read_path(source: str | os.PathLike[str], request: Request) -> SkyImage:
    name = os.fspath(source)
    if not name:
        # As a path it would be the folder that one is in.
        raise ImageNotFound("the path is empty", expected="the path of an image file", filename="")
    path = Path(os.fsdecode(name))
    known: dict[str, Any] = {"path": str(path)}
    what = f"{str(path)!r}"
    try:
        if not path.is_file():
            _refuse_address(os.fsdecode(name))
            _refuse(path, what)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _HASHED_WHOLE:
                return _read_data(file.read(), request, known, what=what)
            return _read_open(file, request, {**known, "bytes": size}, what=what)
    except AstrollavaError:
        raise
    except (PermissionError, ValueError) as error:
        raise ImageError(f"{what} cannot be opened: {error}", expected="a readable file") from error
    except OSError as error:
        raise CorruptImage(f"{what} cannot be read: {error}", hint="Check the disk") from error


def _refuse_address(name: str) -> None:
    """Say that addresses are not opened; a `Path` of one has lost a slash, which is given back."""
    found = _ADDRESS.match(name)
    if found is None:
        return
    address = f"{found['known']}://{name[found.end() :]}" if found["known"] else name
    if address.lower().startswith("file:"):
        hint = "Give the path alone, without file://"
    else:
        hint = (
            "Download it first; an image of a position is fetched with fetch='auto' and a size, or"
            " by astrollava fetch"
        )
    raise ImageNotFound(
        f"{address!r} is an address, and addresses are not opened",
        expected="the path of a file",
        hint=hint,
        filename=name,
    )


def _refuse(path: Path, what: str) -> None:
    if path.exists():
        kind = "a directory" if path.is_dir() else "no regular file"
        raise UnsupportedImage(f"{what} is {kind}", expected="an image file")
    raise ImageNotFound(
        f"there is no file {what}",
        hint=_start_of_relative_paths(),
        filename=str(path),
    )


def _start_of_relative_paths() -> str:
    try:
        return f"Relative paths start from {str(Path.cwd())!r}"
    except OSError:
        return "The folder that relative paths start from was removed"


def _read_stream(stream: Any, request: Request) -> SkyImage:
    what = "the open file"
    # Bounded: a pipe has no size to ask for first.
    limit = _most_bytes(request)
    data = stream.read(limit + 1)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UnsupportedImage(
            f"{what} gives {type(data).__name__}", expected="a file opened in binary mode ('rb')"
        )
    if len(data) > limit:
        raise ImageTooLarge(
            f"{what} holds more than {limit:,} bytes", hint="Pass its path and a cutout"
        )
    return _read_data(bytes(data), request, {"kind": "stream"}, what=what)


def _read_data(data: bytes, request: Request, known: dict[str, Any], *, what: str) -> SkyImage:
    digest = hashlib.sha256(data).hexdigest()
    known = {**known, "bytes": len(data), "sha256": digest, "sha256_of": "file"}
    return _read_open(io.BytesIO(data), request, known, what=what)


def _read_open(file: BinaryIO, request: Request, known: dict[str, Any], *, what: str) -> SkyImage:
    head = file.read(16)
    file.seek(0)
    for magic, opener in _UNPACK.items():
        if head.startswith(magic):
            # In memory, or beyond 64 MiB in a nameless file.
            with tempfile.SpooledTemporaryFile(max_size=_HASHED_WHOLE) as spool:
                plain = cast(BinaryIO, spool)
                _unpack(opener, file, plain, request, what)
                return _read_plain(plain, request, known, what=what)
    return _read_plain(file, request, known, what=what)


def _read_plain(file: BinaryIO, request: Request, known: dict[str, Any], *, what: str) -> SkyImage:
    head = file.read(len(_fits.MAGIC))
    file.seek(0)
    if not head:
        raise CorruptImage(f"{what} is empty", expected="an image file", hint="Fetch it again")
    if head == _fits.MAGIC:
        return _fits.from_file(file, request, {"kind": "fits", **known}, what=what)
    try:
        return _pictures.from_file(file, request, {"kind": "picture", **known}, what=what)
    except UnsupportedImage:
        image = _foreign.read_foreign(file, request, known, what=what)
        if image is None:
            raise
        return image


def _unpack(opener: Any, packed: BinaryIO, into: BinaryIO, request: Request, what: str) -> None:
    """Unpack an archive up to a bound, so that a bomb stays small."""
    limit = _most_bytes(request)
    try:
        with opener(packed) as unpacking:
            while piece := unpacking.read(_CHUNK):
                _put_aside(into, piece, what)
                if into.tell() > limit:
                    raise ImageTooLarge(
                        f"{what} unpacks to more than {limit:,} bytes",
                        hint="Unpack it yourself and pass the path and a cutout",
                    )
    except ImageError:
        raise
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise CorruptImage(
            f"{what} is a damaged or truncated archive ({type(error).__name__})",
            hint="Fetch or copy it again",
        ) from error
    into.seek(0)


def _put_aside(into: BinaryIO, piece: bytes, what: str) -> None:
    try:
        into.write(piece)
    except OSError as error:
        raise ImageTooLarge(
            f"{what} cannot be unpacked: no room for more than {_HASHED_WHOLE:,} bytes of it in the"
            f" folder for temporary files ({error.strerror or error})",
            hint="Name a folder with room in TMPDIR, or unpack it yourself",
        ) from error


def _most_bytes(request: Request) -> int:
    # Eight bytes a value, and as much again as a small file for headers and tables.
    return 8 * request.max_pixels + _HASHED_WHOLE
