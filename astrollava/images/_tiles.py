"""Checks of tile-compressed HDUs that their decompressor does not make itself."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import numpy as np

from astrollava.errors import CorruptImage, ImageTooLarge

__all__ = ["check_tiles"]

# What an H-compress stream begins with: code, rows, columns (White 1992, as in CFITSIO).
_HCOMPRESS = struct.Struct(">2sii")
_HCOMPRESS_CODE = b"\xdd\x99"


def check_tiles(hdu: Any, max_pixels: int, what: str) -> None:
    """Refuse tiles that would fill the memory, or be written beyond their buffer.

    Parameters
    ----------
    hdu : `astropy.io.fits.CompImageHDU`
        The HDU, from a file.
    max_pixels : int
        The largest tile.
    what : str
        The file in words, for errors.
    """
    tile = tuple(int(side) for side in hdu.tile_shape)
    if not 0 < math.prod(tile) <= max_pixels or min(tile) <= 0:
        raise ImageTooLarge(
            f"{what} is compressed in tiles of {tile}", expected=f"at most {max_pixels:,} pixels"
        )
    if hdu.compression_type == "HCOMPRESS_1":
        _check_hcompress(hdu, tile, what)


def _check_hcompress(hdu: Any, tile: tuple[int, ...], what: str) -> None:
    """Compare the size each stream gives itself with the buffer it will be written to.

    CFITSIO's code, which astropy carries, believes the stream: a damaged one overwrites the heap.
    """
    places = np.asarray(hdu.compressed_data["COMPRESSED_DATA"])  # length and place in the heap
    # astropy has no public way to the compressed bytes of an open image HDU.
    table = hdu._bintable
    heap = table._data_offset + table._theap
    edges = [
        [min(side, length - start) for start in range(0, length, side)]
        for length, side in zip(hdu.shape, tile, strict=True)
    ]
    for row, sides in enumerate(itertools.product(*edges)):
        length, place = (int(number) for number in places[row])
        if length == 0:
            continue  # kept uncompressed or by gzip, in another column
        if length >= _HCOMPRESS.size and place >= 0:
            head = table._get_raw_data(_HCOMPRESS.size, np.uint8, heap + place).tobytes()
            code, rows, columns = _HCOMPRESS.unpack(head)
            fits = rows > 0 and columns > 0 and rows * columns <= math.prod(sides)
            if code == _HCOMPRESS_CODE and fits:
                continue
        raise CorruptImage(
            f"{what}: compressed tile {row} is damaged", hint="Fetch or copy the file again"
        )
