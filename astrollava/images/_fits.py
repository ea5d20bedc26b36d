"""FITS files and HDUs to `SkyImage`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from astrollava.errors import (
    AstrollavaError,
    CorruptImage,
    EmptyImage,
    ImageTooLarge,
    NoImageInFile,
    UnsupportedImage,
)
from astrollava.images._header import band_names, keywords, text
from astrollava.images._planes import (
    Request,
    check_size,
    lay_out,
    load,
    open_window,
    sha256_of_pixels,
    unnamed,
)
from astrollava.images._quiet import quiet
from astrollava.images._structure import check_structure
from astrollava.images._tiles import check_tiles
from astrollava.images._wcs import wcs_from_header
from astrollava.images.sky_image import SkyImage

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

__all__ = ["MAGIC", "from_file", "from_hdu", "from_hdulist"]

#: What a FITS file begins with.
MAGIC = b"SIMPLE  ="

_MAX_HDUS = 10_000


def from_file(file: BinaryIO, request: Request, source: dict[str, Any], *, what: str) -> SkyImage:
    """Read the first image of a FITS file, or the one asked for.

    Parameters
    ----------
    file : binary file
        Open at its start and seekable; stays open.
    request : Request
        HDU, cutout, bands and limit.
    source : dict
        What is known of the source; completed here.
    what : str
        The file in words, for errors.
    """
    from astropy.io import fits

    check_structure(file, what)
    # Not memory-mapped: a mapped file that shrinks while it is read kills the process with
    # SIGBUS, and `.section` already reads no more than is asked for.
    with (
        _as_image_error(what),
        fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus,
    ):
        return from_hdulist(hdus, request, source, what=what)


def from_hdulist(hdus: HDUList, request: Request, source: dict[str, Any], *, what: str) -> SkyImage:
    """Read the first image of an open HDU list, or the one asked for."""
    index = _find(hdus, request.hdu, what)
    return from_hdu(hdus[index], request, {**source, "hdu": index}, what=what)


def from_hdu(hdu: Any, request: Request, source: dict[str, Any], *, what: str) -> SkyImage:
    """Read one image HDU."""
    with _as_image_error(what):
        return _from_hdu(hdu, request, source, what)


def _from_hdu(hdu: Any, request: Request, source: dict[str, Any], what: str) -> SkyImage:
    if not _is_image(hdu):
        # An HDU passed alone is called so already, and has no number.
        place = f"{what}: HDU {source['hdu']}" if "hdu" in source else what
        named = f" ({text(hdu.name)})" if text(hdu.name) else ""
        raise NoImageInFile(f"{place}{named} is a {type(hdu).__name__}", expected="an image HDU")
    shape = tuple(hdu.shape)
    if not shape:
        raise NoImageInFile(f"{what}: the HDU holds a header only", expected="an image HDU")
    header = hdu.header
    layout = lay_out(shape, band_names(header, _planes_in(shape)), request.bands, what=what)
    wcs, note = wcs_from_header(header)
    window = open_window(layout, wcs, request.cutout)
    check_size(layout, window, request.max_pixels, what=what)
    compressed = hasattr(hdu, "tile_shape")
    if _on_disk(hdu):
        if compressed:
            check_tiles(hdu, request.max_pixels, what)
        else:
            _check_complete(hdu, what)
    section = _section(hdu)
    colour = section.dtype.kind == "u" and section.dtype.itemsize == 1 and len(layout.names) == 3
    # Three planes of 8 bits without names of bands are a picture that was saved as FITS.
    bare = _planes_in(shape) == 3 and layout.names == unnamed(3)
    picture = colour and (bare or layout.names == ("R", "G", "B"))
    pixels, scale = load(section, layout, window, in_pieces=not compressed)
    meta = keywords(header)
    if note is not None:
        meta["wcs_note"] = note
    source = {**source, "shape": list(shape)}
    if text(hdu.name):
        source["hdu_name"] = text(hdu.name)
    if not window.whole:
        source["cutout"] = window.record()
    if "sha256" not in source:
        source |= {"sha256": sha256_of_pixels(pixels), "sha256_of": "pixels"}
    return SkyImage(
        pixels,
        ("R", "G", "B") if picture else layout.names,
        wcs=window.wcs,
        unit=text(header.get("BUNIT")) or None,
        meta=meta,
        origin="lower",
        display=picture,
        source=source,
        red_last=request.bands is not None,
        scale=scale,
    )


def _find(hdus: HDUList, wanted: Any, what: str) -> int:
    if wanted is not None:
        try:
            index = hdus.index_of(wanted)
            hdus[index]
        except (KeyError, IndexError, TypeError):
            raise NoImageInFile(
                f"{what} has no HDU {wanted!r}; it has {_contents(hdus)}",
                expected="the number or name of one of those",
            ) from None
        return int(index)
    empty = None
    for index in range(_MAX_HDUS):
        try:
            hdu = hdus[index]
        except IndexError:
            break
        if _is_image(hdu) and len(hdu.shape) >= 2:
            if 0 not in hdu.shape:
                return index
            empty = tuple(hdu.shape)
    if empty is not None:
        raise EmptyImage(
            f"the image of {what} has shape {empty}", expected="no axis of length zero"
        )
    raise NoImageInFile(
        f"{what} holds {_contents(hdus)}",
        expected="an image of at least two axes in one of them",
        hint="If this is a table or a spectrum, pass the image it belongs to",
    )


def _is_image(hdu: Any) -> bool:
    from astropy.io import fits

    return isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU) and not isinstance(
        hdu, fits.GroupsHDU
    )


def _contents(hdus: HDUList) -> str:
    listed = []
    for index in range(9):
        try:
            hdu = hdus[index]
        except IndexError:
            break
        name = text(hdu.name) or "unnamed"
        listed.append(f"{index} {name} ({type(hdu).__name__})" if index < 8 else "more")
    return ", ".join(listed) or "no HDU"


def _planes_in(shape: tuple[int, ...]) -> int:
    return max(shape[:-2], default=1)


def _section(hdu: Any) -> Any:
    # Data made in memory have no file that a section could be read from.
    return hdu.section if _on_disk(hdu) else hdu.data


def _on_disk(hdu: Any) -> bool:
    # `data` appears among the attributes once it was loaded or assigned.
    return hdu.fileinfo() is not None and "data" not in vars(hdu)


def _check_complete(hdu: Any, what: str) -> None:
    place = hdu.fileinfo()
    file = place["file"]
    here = file.tell()
    file.seek(0, 2)
    held = file.tell() - place["datLoc"]
    file.seek(here)
    if held < hdu.size:
        raise CorruptImage(
            f"{what} is truncated: {max(held, 0):,} of the {hdu.size:,} bytes of data are there",
            expected="the whole image its header promises",
            hint="Fetch or copy the file again",
        )


@contextmanager
def _as_image_error(what: str) -> Iterator[None]:
    """Turn whatever astropy raises on a damaged file into one documented error."""
    try:
        with quiet():
            yield
    except AstrollavaError:
        raise
    except MemoryError as error:
        raise ImageTooLarge(
            f"{what} does not fit into memory", hint="Read a part with cutout=(position, size)"
        ) from error
    except NotImplementedError as error:
        raise UnsupportedImage(
            f"{what} uses a FITS feature astropy cannot read: {error}"
        ) from error
    except Exception as error:
        # astropy has no common error for damaged files: ValueError, KeyError, OSError, VerifyError,
        # zlib.error, IndexError and more were all seen by the fuzz test.
        raise CorruptImage(
            f"{what} cannot be read as FITS ({type(error).__name__}: {text(str(error))})",
            hint="Fetch or copy the file again, or check it with fitsverify",
        ) from error
