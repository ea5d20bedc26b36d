"""A fetched image as a file: FITS that says where it is from, or a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava.hooks._files import whole
from astrollava.images import SkyImage, render

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["check_name", "save", "save_picture"]

_FITS: Final = (".fits", ".fit", ".fts", ".fits.gz")
_KEYWORDS: Final = {
    "target": ("OBJECT", "what was asked for"),
    "survey": ("SURVEY", "what the image is from"),
    "fetcher": ("FETCHER", "which fetcher of astrollava gave it"),
    "url": ("SRCURL", "what was asked"),
    "time": ("FETCHED", "when, UTC"),
    "sha256": ("SRCSHA", "SHA-256 of the answer"),
    "credit": ("CREDIT", "to be named where it is used"),
    "licence": ("LICENCE", "terms of use"),
}
#: The longest side of a picture.
_SIDE: Final = 2048


def save(image: SkyImage, path: str | PathLike[str]) -> Path:
    """Write an image as a file that appears when it is whole.

    Parameters
    ----------
    image : SkyImage
        The image; bad pixels become NaN.
    path : path
        The file. ``.fits``, ``.fit``, ``.fts`` or ``.fits.gz`` for FITS, with the WCS, the names of
        the bands and where the image is from; ``.png`` for a picture. One that is there is
        replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidRequest
        If the name ends otherwise, or the file cannot be written.
    """
    target = Path(path)
    check_name(target)
    if target.name.lower().endswith(".png"):
        return save_picture(image, target)
    from astropy.io import fits

    planes = np.array(image.pixels) if image.scale == 1 else image.pixels * np.float64(image.scale)
    if image.mask is not None:
        planes[:, image.mask] = np.nan
    if image.origin == "upper" and image.wcs is None:
        planes = planes[:, ::-1]  # FITS begins at the bottom
    hdu = fits.PrimaryHDU(planes[0] if len(planes) == 1 else planes)
    _describe(image, hdu.header)
    return _written(target, lambda file: hdu.writeto(file))


def check_name(path: Path) -> None:
    """Refuse a file whose name ends with nothing that `save` can write."""
    if not path.name.lower().endswith((*_FITS, ".png")):
        raise InvalidRequest(
            f"{str(path)!r} ends with {path.suffix or 'nothing'}",
            expected=f"one of {', '.join((*_FITS, '.png'))}",
        )


def save_picture(image: SkyImage, path: str | PathLike[str]) -> Path:
    """Write an image as a PNG picture, drawn as a model would see it; otherwise as `save`."""
    from astrollava.images.png import encode_png

    ny, nx = image.shape
    share = min(1.0, _SIDE / max(ny, nx))
    size = max(1, round(share * ny)), max(1, round(share * nx))
    png = encode_png(render(image, size=size).rgb)
    return _written(Path(path), lambda file: file.write_bytes(png))


def _written(target: Path, write: Callable[[Path], Any]) -> Path:
    try:
        with whole(target) as file:
            write(file)
    except OSError as error:
        raise InvalidRequest(
            f"{str(target)!r} cannot be written: {error.strerror or error}",
            hint="Choose another file",
        ) from error
    return target


def _describe(image: SkyImage, header: Header) -> None:
    if image.wcs is not None:
        header.update(image.wcs.to_header(relax=True))
    if image.unit:
        header["BUNIT"] = _ascii(image.unit)
    if len(image.bands) == 1:
        header["FILTER"] = _ascii(image.bands[0])
    else:
        for number, band in enumerate(image.bands):
            header[f"BAND{number}"] = _ascii(band)
    for name, value, comment in _cards(image):
        header[name] = (value, comment)


def _cards(image: SkyImage) -> Iterator[tuple[str, str, str]]:
    for key, (name, comment) in _KEYWORDS.items():
        value = image.source.get(key)
        if value:
            words = _ascii(str(value))
            # A long text takes the room of the comment.
            yield name, words, comment if len(words) + len(comment) < 60 else ""
    for key in ("telescope", "instrument", "date"):
        value = image.meta.get(key)
        if value:
            name = {"telescope": "TELESCOP", "instrument": "INSTRUME", "date": "DATE-OBS"}[key]
            yield name, _ascii(str(value)), ""


def _ascii(words: str) -> str:
    """Return what a FITS header can hold of a text."""
    plain = words.encode("ascii", "replace").decode("ascii")
    return "".join(sign if sign.isprintable() else " " for sign in plain)
