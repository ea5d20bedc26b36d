"""PNG, JPEG, TIFF and their like, and PIL images, to `SkyImage`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from astrollava.errors import (
    CorruptImage,
    ImageError,
    ImageTooLarge,
    InvalidRequest,
    UnsupportedImage,
)
from astrollava.images._header import text
from astrollava.images._planes import (
    Request,
    check_size,
    lay_out,
    load,
    open_window,
    sha256_of_pixels,
)
from astrollava.images._quiet import quiet
from astrollava.images.sky_image import SkyImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["from_file", "from_pil"]

# Only these are tried: other readers of pillow start programs (EPS) or know nothing of the sky.
_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000")

# Pictures that begin like this are known, so a failure to open them means damage.
_MAGICS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8", b"RIFF", b"\0\0\0\x0cjP  ")

# Modes whose values are measurements or counts, not shades for a screen.
_DATA_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def from_file(file: BinaryIO, request: Request, source: dict[str, Any], *, what: str) -> SkyImage:
    """Read a picture file that is open at its start."""
    from PIL import Image, UnidentifiedImageError

    head = file.read(16)
    file.seek(0)
    try:
        with quiet(), Image.open(file, formats=_FORMATS) as picture:
            return from_pil(picture, request, {**source, "format": picture.format}, what=what)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{what}: {error}", hint="Cut the picture first") from error
    except UnidentifiedImageError as error:
        if head.startswith(_MAGICS):
            raise CorruptImage(f"{what} is a damaged picture", hint="Fetch it again") from error
        raise UnsupportedImage(
            f"{what} is {_guess(head)}",
            expected=f"FITS (also .gz, .bz2, .xz) or one of {', '.join(_FORMATS)}",
        ) from error
    except (OSError, SyntaxError, struct.error) as error:
        # Of the disk, it has a number; what pillow says of a torn head has none.
        if isinstance(error, ImageError) or getattr(error, "errno", None) is not None:
            raise
        raise CorruptImage(
            f"{what} is a damaged picture ({text(str(error))})", hint="Fetch or copy it again"
        ) from error


def from_pil(picture: Image, request: Request, source: dict[str, Any], *, what: str) -> SkyImage:
    """Read a PIL image; its size is checked before its pixels are decoded."""
    if request.hdu is not None:
        raise InvalidRequest(f"hdu={request.hdu!r}, but {what} is a picture", expected="hdu=None")
    # Refused before `exif_transpose` decodes anything.
    if picture.width * picture.height > request.max_pixels:
        raise ImageTooLarge(
            f"{what} has {picture.width} x {picture.height} pixels",
            expected=f"at most {request.max_pixels:,}",
            hint="Cut the picture first, or raise max_pixels",
        )
    data = picture.mode in _DATA_MODES
    picture = picture if data else _upright(picture, what)
    width, height = picture.size
    grey = data or picture.mode in ("1", "L")
    names = None if data else ("L",) if grey else ("R", "G", "B")
    shape = (height, width) if grey else (3, height, width)
    layout = lay_out(shape, names, request.bands, what=what)
    window = open_window(layout, None, request.cutout)
    check_size(layout, window, request.max_pixels, what=what)
    pixels, scale = load(_decoded(picture, data, grey, what), layout, window, in_pieces=True)
    source = {**source, "shape": list(shape)}
    if not window.whole:
        source["cutout"] = window.record()
    if "sha256" not in source:
        source |= {"sha256": sha256_of_pixels(pixels), "sha256_of": "pixels"}
    return SkyImage(
        pixels, layout.names, origin="upper", display=not data, source=source, scale=scale
    )


def _upright(picture: Image, what: str) -> Image:
    from PIL import ImageOps

    # Cameras write which side is up instead of turning the pixels.
    with _as_corrupt(what):
        return ImageOps.exif_transpose(picture)


def _decoded(picture: Image, data: bool, grey: bool, what: str) -> Any:
    """Return ``(ny, nx)`` values, or ``(3, ny, nx)`` shades without transparency."""
    from PIL import Image

    with _as_corrupt(what):
        if data:
            return np.asarray(picture)
        if "A" in picture.getbands() or "transparency" in picture.info:
            shades = picture.convert("RGBA")
            black = Image.new("RGBA", shades.size, (0, 0, 0, 255))
            picture = Image.alpha_composite(black, shades)
        if grey:
            return np.asarray(picture.convert("L"))
        return np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)


@contextmanager
def _as_corrupt(what: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error ...
        raise CorruptImage(
            f"{what} cannot be decoded ({type(error).__name__}: {text(str(error))})",
            hint="Fetch or copy it again",
        ) from error


def _guess(head: bytes) -> str:
    if head.lstrip().lower().startswith((b"<!doc", b"<html", b"<?xml", b"<vot")):
        return "a web page or XML, not an image: perhaps an error message of a server"
    if head.startswith(b"PK"):
        return "a zip archive; unpack it first"
    if head and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "text, not an image"
    return "of an unknown format" if head else "empty"
