"""From the image's own grid to the model's, in one step that leaves no moiré and spreads no NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import RenderError

__all__ = ["RULES", "Frame", "resample", "resample_picture"]

RULES = ("pad", "crop", "stretch")

# Below this share of good pixels under an output pixel its value would rest on next to nothing.
_LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class Frame:
    """Which part of the image is shown (`box`: x0, y0, x1, y1), and where in the output."""

    box: tuple[float, float, float, float]
    height: int
    width: int
    top: int
    left: int

    @classmethod
    def fit(cls, shape: tuple[int, int], size: tuple[int, int], rule: str) -> Frame:
        """Lay an image of `shape` ``(ny, nx)`` into an output of `size` ``(height, width)``."""
        ny, nx = shape
        height, width = size
        if rule == "stretch":
            return cls((0.0, 0.0, float(nx), float(ny)), height, width, 0, 0)
        if rule == "pad":
            scale = min(height / ny, width / nx)
            rows, columns = max(1, round(ny * scale)), max(1, round(nx * scale))
            rows, columns = min(rows, height), min(columns, width)
            whole = (0.0, 0.0, float(nx), float(ny))
            return cls(whole, rows, columns, (height - rows) // 2, (width - columns) // 2)
        if rule != "crop":
            raise RenderError(f"there is no rule {rule!r}", expected=f"one of {', '.join(RULES)}")
        scale = max(height / ny, width / nx)
        rows_in, columns_in = min(height / scale, ny), min(width / scale, nx)
        x, y = (nx - columns_in) / 2, (ny - rows_in) / 2
        if (height == ny and width <= nx) or (width == nx and height <= ny):
            # No scaling is needed: keep the window on the pixel grid, so that values stay exact.
            x, y = float(int(x)), float(int(y))
        return cls((x, y, x + columns_in, y + rows_in), height, width, 0, 0)

    @property
    def scale(self) -> tuple[float, float]:
        """Output pixels per image pixel, down and across."""
        x0, y0, x1, y1 = self.box
        return self.height / (y1 - y0), self.width / (x1 - x0)

    @property
    def method(self) -> str:
        """``none``; ``hamming`` where either axis shrinks; ``bicubic`` otherwise.

        The Hamming window has no negative lobes: a bright star leaves no dark ring in the faint
        sky around it.
        """
        down, across = self.scale
        on_grid = all(edge == int(edge) for edge in self.box)
        if down == across == 1.0 and on_grid:
            return "none"
        return "hamming" if min(down, across) < 1.0 else "bicubic"

    def work_area(self) -> tuple[tuple[slice, slice], Frame]:
        """Return the whole pixels the box touches, and the frame that fits them.

        What is enlarged is stretched on its own grid first and resampled then, so that bicubic
        interpolation cannot ring around stars that the stretch has yet to tame.
        """
        x0, y0, x1, y1 = self.box
        left, top = math.floor(x0), math.floor(y0)
        area = slice(top, math.ceil(y1)), slice(left, math.ceil(x1))
        inside = (x0 - left, y0 - top, x1 - left, y1 - top)
        return area, Frame(inside, self.height, self.width, self.top, self.left)

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the box of the last two axes where no resampling is needed."""
        x0, y0, x1, y1 = (int(edge) for edge in self.box)
        return array[..., y0:y1, x0:x1]


def resample(plane: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Bring a plane to the frame; bad pixels (NaN) take no part, and stay NaN where all are bad."""
    if frame.method == "none":
        return np.array(frame.cut(plane), dtype=np.float32)
    good = np.isfinite(plane)
    if good.all():
        return _resize(plane, frame)
    weight = _resize(good.astype(np.float32), frame)
    # In double precision: next to the largest float, rounding would make a mean of it infinite.
    value = _resize(np.where(good, plane, np.float32(0)), frame).astype(np.float64)
    enough = weight > _LEAST_WEIGHT
    out = np.full(weight.shape, np.nan)
    np.divide(value, weight, out=out, where=enough)
    largest = float(np.finfo(np.float32).max)
    return np.asarray(np.clip(out, -largest, largest), dtype=np.float32)


def resample_picture(shades: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Bring ``(ny, nx, 3)`` shades to the frame; untouched where they already fit."""
    if frame.method == "none":
        x0, y0, x1, y1 = (int(edge) for edge in frame.box)
        return np.array(shades[y0:y1, x0:x1])
    return np.asarray(_pillow(shades, frame))


def _resize(plane: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    return np.array(_pillow(plane, frame), dtype=np.float32)


def _pillow(array: NDArray[Any], frame: Frame) -> Any:
    from PIL import Image

    kernel = {"hamming": Image.Resampling.HAMMING, "bicubic": Image.Resampling.BICUBIC}
    picture = Image.fromarray(np.ascontiguousarray(array))
    return picture.resize((frame.width, frame.height), kernel[frame.method], box=frame.box)
