"""Changes of a picture that leave what it shows as it is.

All work on the picture as the model would see it, so that no change of size comes with them; the
noise is the same in every run.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.images import read, render
from astrollava_training.evaluate.asking import Change

__all__ = ["CHANGES", "Pixels", "shown"]

#: A picture, shape (height, width, 3).
Pixels = NDArray[np.uint8]


def shown(
    source: Any,
    size: tuple[int, int],
    rule: str = "pad",
    background: Sequence[int] = (0, 0, 0),
) -> Pixels:
    """Return a picture as a model sees it.

    Parameters
    ----------
    source : object
        What `astrollava.images.read` takes.
    size : (int, int)
        Height and width in pixels.
    rule, background
        How it is fitted into that, see `astrollava.images.render`.
    """
    drawn = render(read(source), size=size, rule=rule, background=background)
    rgb: Pixels = np.asarray(drawn.rgb)
    return rgb


def _turned(rgb: Pixels, degrees: int) -> Pixels:
    if degrees % 90 == 0 and rgb.shape[0] == rgb.shape[1]:
        return np.ascontiguousarray(np.rot90(rgb, degrees // 90))
    from PIL import Image

    # The corners that come into view show what the border shows: sky.
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    sky = tuple(int(v) for v in np.median(border, axis=0))
    picture = Image.fromarray(rgb).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=sky)
    return np.asarray(picture)


def _mirrored(rgb: Pixels) -> Pixels:
    return np.ascontiguousarray(rgb[:, ::-1])


def _cropped(rgb: Pixels, share: float) -> Pixels:
    from PIL import Image

    height, width = rgb.shape[:2]
    top, left = height * (1 - share) / 2, width * (1 - share) / 2
    box = (left, top, width - left, height - top)
    picture = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, box)
    return np.asarray(picture)


def _stretched(rgb: Pixels, power: float) -> Pixels:
    return np.rint(255.0 * (rgb / 255.0) ** power).astype(np.uint8)


def _noisy(rgb: Pixels, sigma: float) -> Pixels:
    # A seed of the picture's own: its noise must not depend on what was asked before.
    rng = np.random.default_rng(zlib.crc32(rgb.tobytes()))
    noise = rng.normal(0.0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def _jpeg(rgb: Pixels, quality: int) -> Pixels:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(rgb).save(packed, "JPEG", quality=quality)
    with Image.open(packed) as picture:
        return np.asarray(picture.convert("RGB"))


#: Name -> change of `Pixels`. A stretch raises the values in [0, 1] to a power: below one brings
#: out what is faint, above one hides it. The noise is in grey levels.
CHANGES: Mapping[str, Change] = {
    "turned 90°": partial(_turned, degrees=90),
    "turned 180°": partial(_turned, degrees=180),
    "turned 30°": partial(_turned, degrees=30),
    "mirrored": _mirrored,
    "cropped to 80 %": partial(_cropped, share=0.8),
    "cropped to 60 %": partial(_cropped, share=0.6),
    "stretch, power 0.6": partial(_stretched, power=0.6),
    "stretch, power 1.6": partial(_stretched, power=1.6),
    "noise of 5": partial(_noisy, sigma=5.0),
    "noise of 15": partial(_noisy, sigma=15.0),
    "JPEG quality 75": partial(_jpeg, quality=75),
    "JPEG quality 25": partial(_jpeg, quality=25),
}
