"""From anything that can be sliced to float planes: which planes, which window, how many pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import (
    AmbiguousImage,
    EmptyImage,
    ImageTooLarge,
    InvalidRequest,
    UnsupportedImage,
)
from astrollava.images._precision import divisor, is_wide, needs_divisor

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = [
    "Layout",
    "Request",
    "Window",
    "check_size",
    "lay_out",
    "load",
    "open_window",
    "sha256_of_pixels",
    "unnamed",
]

# Rows are converted in pieces of about this many pixels, so that the peak is the result and little
# more.
_PIECE = 4_000_000
# Beyond, the planes of a cube are spectral channels of a damaged header's making.
_MOST_PLANES = 100_000


@dataclass(frozen=True)
class Request:
    """What the caller of `read` asked for beside the source."""

    hdu: int | str | tuple[str, int] | None
    cutout: tuple[Any, Any] | None
    bands: str | int | Sequence[str | int] | None
    max_pixels: int


@dataclass(frozen=True)
class Layout:
    """Where the planes of an array lie: one index of all leading axes, and a name, for each."""

    indices: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    rows: int
    columns: int


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, ends excluded, and the coordinates of what is inside."""

    rows: slice
    columns: slice
    wcs: WCS | None
    whole: bool

    def record(self) -> dict[str, list[int]]:
        """Return the rectangle as JSON-able 0-based pixel ranges, ends excluded."""
        return {
            "x": [self.columns.start, self.columns.stop],
            "y": [self.rows.start, self.rows.stop],
        }


def lay_out(
    shape: Sequence[int], names: tuple[str, ...] | None, bands: Any, *, what: str
) -> Layout:
    """Decide which planes of an array are read, and what they are called.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array; the last two axes are y and x.
    names : tuple of str or None
        Names of the planes, where the source says what they are.
    bands : str, int, sequence of either, or None
        The caller's selection; names that the source does not know name all its planes.
    what : str
        The source in words, for errors.
    """
    shape = tuple(int(n) for n in shape)
    if 0 in shape:
        raise EmptyImage(
            f"{what} has shape {shape}", expected="no axis of length zero", hint="Check the cutout"
        )
    if len(shape) < 2:
        raise UnsupportedImage(
            f"{what} has shape {shape}", expected="at least two axes, (ny, nx) or (bands, ny, nx)"
        )
    long = [axis for axis, n in enumerate(shape[:-2]) if n > 1]
    if len(long) > 1:
        raise AmbiguousImage(
            f"{what} has shape {shape}: more than one axis beside y and x",
            expected="(ny, nx) or (bands, ny, nx), and axes of length one",
            hint="Select planes first and pass the array",
        )
    count = shape[long[0]] if long else 1
    if count > _MOST_PLANES:
        raise AmbiguousImage(
            f"{what} has shape {shape}: {count:,} planes",
            expected=f"at most {_MOST_PLANES:,} planes",
            hint="Select planes first and pass the array",
        )
    known = names is not None and len(names) == count and len(set(names)) == count
    labels = names if known and names is not None else unnamed(count)
    chosen, labels = _choose(bands, labels, known=known, what=what)
    if bands is None and count > 3 and not known:
        raise AmbiguousImage(
            f"{what} is a cube of {count} planes that nothing says are bands",
            expected="at most three planes, or keywords BAND1, BAND2 ... that name them",
            hint="Choose planes, red last, such as"
            f" bands=[0, {count // 2}, {count - 1}], or collapse the cube first",
        )
    indices = tuple(
        tuple(plane if axis in long else 0 for axis in range(len(shape) - 2)) for plane in chosen
    )
    return Layout(indices, tuple(labels[plane] for plane in chosen), shape[-2], shape[-1])


def unnamed(count: int) -> tuple[str, ...]:
    """Return what planes are called that nothing names: their numbers, as a choice gives them."""
    return tuple(str(plane) for plane in range(count))


def _choose(
    bands: Any, names: tuple[str, ...], *, known: bool, what: str
) -> tuple[list[int], tuple[str, ...]]:
    """Return plane numbers and the names of all planes."""
    count = len(names)
    if bands is None:
        return list(range(count)), names
    wanted = _as_list(bands, names)
    if not wanted:
        raise InvalidRequest("bands is empty", expected="names or 0-based numbers of planes")
    if all(isinstance(name, str) for name in wanted):
        if all(name in names for name in wanted):
            return [names.index(name) for name in wanted], names
        if not known and len(wanted) == count:
            return list(range(count)), tuple(wanted)
        has = f"has the bands {', '.join(names)}" if known else f"has {count} unnamed plane(s)"
        raise InvalidRequest(
            f"bands={bands!r}, but {what} {has}",
            expected="names from those, 0-based numbers, or one name for every unnamed plane",
        )
    for plane in wanted:
        if isinstance(plane, str) or not -count <= plane < count:
            raise InvalidRequest(
                f"bands={bands!r} for {count} plane(s)",
                expected=f"0-based numbers under {count}, or names of planes",
            )
    return [plane % count for plane in wanted], names


def _as_list(bands: Any, names: tuple[str, ...]) -> list[Any]:
    if isinstance(bands, int | np.integer) and not isinstance(bands, bool):
        return [int(bands)]
    if isinstance(bands, str):
        if bands in names:
            return [bands]
        # "g,r,z" and "grz" both name three bands.
        pieces = bands.split(",") if "," in bands else list(bands)
        return [piece.strip() for piece in pieces if piece.strip()]
    if isinstance(bands, Sequence):
        plain = [int(band) if isinstance(band, np.integer) else band for band in bands]
        if all(isinstance(band, int | str) and not isinstance(band, bool) for band in plain):
            return plain
    raise InvalidRequest(f"bands={bands!r}", expected="names or 0-based numbers of planes")


def open_window(layout: Layout, wcs: WCS | None, cutout: tuple[Any, Any] | None) -> Window:
    """Turn ``cutout=(position, size)`` into a rectangle, trimmed to the image."""
    ny, nx = layout.rows, layout.columns
    if cutout is None:
        return Window(slice(0, ny), slice(0, nx), wcs, whole=True)
    try:
        position, size = cutout
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"cutout={cutout!r}",
            expected="(position, size)",
            hint="For example cutout=((x, y), 256)",
        ) from None
    x, y = _pixel_position(position, wcs)
    height, width = _pixel_size(size, wcs)
    # As `astropy.nddata.Cutout2D`: pixel (0, 0) has its centre at (0.0, 0.0).
    top, left = math.ceil(y - height / 2), math.ceil(x - width / 2)
    rows = slice(max(top, 0), min(top + height, ny))
    columns = slice(max(left, 0), min(left + width, nx))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise EmptyImage(
            f"the cutout of {width} x {height} pixels at x={x:.1f}, y={y:.1f} lies outside",
            expected=f"an overlap with the image of {nx} x {ny} pixels",
        )
    inside = None if wcs is None else wcs.slice((rows, columns))
    return Window(rows, columns, inside, whole=False)


def _pixel_position(position: Any, wcs: WCS | None) -> tuple[float, float]:
    if hasattr(position, "transform_to"):
        if wcs is None:
            raise InvalidRequest(
                "the cutout's position is on the sky, but the image has no usable WCS",
                expected="a position in pixels, (x, y)",
            )
        x, y = (float(value) for value in wcs.world_to_pixel(position))
    else:
        try:
            x, y = (float(value) for value in position)
        except (TypeError, ValueError):
            raise InvalidRequest(
                f"the cutout's position is {position!r}", expected="a SkyCoord or (x, y) in pixels"
            ) from None
    if not (abs(x) < 1e12 and abs(y) < 1e12):
        raise EmptyImage(
            "the cutout's position is not on the image", expected="a position within its footprint"
        )
    return x, y


def _pixel_size(size: Any, wcs: WCS | None) -> tuple[int, int]:
    # Not `numpy.ndim`, which cannot look into a pair of quantities.
    paired = isinstance(size, list | tuple) or (hasattr(size, "ndim") and size.ndim > 0)
    values = size if paired else (size, size)
    if len(values) != 2:
        raise InvalidRequest(f"the cutout's size is {size!r}", expected="one value or (ny, nx)")
    height, width = (_pixel_length(value, wcs) for value in values)
    return height, width


def _pixel_length(value: Any, wcs: WCS | None) -> int:
    pixels = value
    if hasattr(value, "to_value"):
        if value.unit.is_equivalent("pix"):
            pixels = value.to_value("pix")
        elif not value.unit.is_equivalent("arcsec"):
            raise InvalidRequest(
                f"the cutout's size is {value}", expected="pixels or an angle on the sky"
            )
        else:
            from astrollava.images._wcs import pixel_scale_of

            scale = None if wcs is None else pixel_scale_of(wcs)
            if scale is None:
                raise InvalidRequest(
                    f"the cutout's size is {value}, but the image has no usable WCS",
                    expected="a size in pixels",
                )
            pixels = value.to_value("arcsec") / scale
    try:
        length = float(pixels)
    except (TypeError, ValueError):
        length = math.nan
    if not 0 < length < 1e9:
        raise InvalidRequest(f"the cutout's size is {value!r}", expected="a positive size")
    return max(1, round(length))


def check_size(layout: Layout, window: Window, max_pixels: int, *, what: str) -> None:
    """Raise `ImageTooLarge` before anything is read."""
    height = window.rows.stop - window.rows.start
    width = window.columns.stop - window.columns.start
    pixels = len(layout.indices) * height * width
    if pixels > max_pixels:
        raise ImageTooLarge(
            f"{what} has {len(layout.indices)} x {height} x {width} = {pixels:,} pixels",
            expected=f"at most {max_pixels:,}",
            hint="Read a part with cutout=(position, size), or raise max_pixels",
        )


def load(
    section: Any, layout: Layout, window: Window, *, in_pieces: bool
) -> tuple[NDArray[np.float32], float]:
    """Read planes into a new read-only float32 array, shape ``(bands, ny, nx)``.

    The second value is what they were divided by, where they do not fit single precision.
    """
    top, bottom = window.rows.start, window.rows.stop
    width = window.columns.stop - window.columns.start
    pixels = np.empty((len(layout.indices), bottom - top, width), dtype=np.float32)
    step = max(1, _PIECE // width) if in_pieces else bottom - top

    def pieces() -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
        for plane, index in zip(pixels, layout.indices, strict=True):
            for start in range(top, bottom, step):
                stop = min(start + step, bottom)
                values = section[(*index, slice(start, stop), window.columns)]
                yield plane[start - top : stop - top], values

    wide, scale = False, 1.0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for place, values in pieces():
            place[...] = values
            wide |= is_wide(values.dtype)
        if wide and needs_divisor(pixels):
            scale = divisor(values for _, values in pieces())
        if scale != 1.0:
            for place, values in pieces():
                place[...] = values / scale
    pixels.flags.writeable = False
    return pixels, scale


def sha256_of_pixels(pixels: NDArray[np.float32]) -> str:
    """Return the SHA-256 of float32 planes, little-endian, in C order."""
    little = np.ascontiguousarray(pixels, dtype="<f4")
    return hashlib.sha256(little.data).hexdigest()
