"""Proof that a model sees: what it says must change with the image.

A vision-language model with a broken projector still writes fluent text; only its indifference to
the picture gives it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrollava.describer import Describer
    from astrollava.results import Classification

__all__ = ["LEAST_SHIFT", "SightReport", "check_sight"]

#: Total variation distance between label probabilities under which two images count as the same to
#: the model.
LEAST_SHIFT = 0.05


@dataclass(frozen=True)
class SightReport:
    """Outcome of `check_sight`.

    Attributes
    ----------
    passed : bool
        Whether every comparison came out as it must.
    lines : tuple of (str, bool, str)
        Name, outcome and detail of each comparison.
    """

    passed: bool
    lines: tuple[tuple[str, bool, str], ...]


def _ellipse(size: int = 128) -> Any:
    """Draw a smooth, elongated blob: as unlike a face-on spiral as a galaxy can be."""
    import numpy as np

    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    light = 220 * np.exp(-np.hypot(x / 4, y / 20)) + 12
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)


def _blank(size: int = 128) -> Any:
    import numpy as np

    return np.zeros((size, size, 3), np.uint8)


def _shuffled(picture: Any, block: int = 16) -> Any:
    """Exchange blocks of a picture: the same colours and textures, and no galaxy."""
    import numpy as np

    height, width = (side // block * block for side in picture.shape[:2])
    cut = picture[:height, :width].reshape(height // block, block, width // block, block, 3)
    blocks = cut.swapaxes(1, 2).reshape(-1, block, block, 3)
    mixed = np.random.default_rng(0).permutation(blocks)
    grid = mixed.reshape(height // block, width // block, block, block, 3)
    return np.ascontiguousarray(grid.swapaxes(1, 2).reshape(height, width, 3))


def _shown(thumbnail: bytes) -> Any:
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(thumbnail)).convert("RGB"))


def _shift(one: Classification, other: Classification) -> float:
    """Total variation distance, in [0, 1]."""
    return 0.5 * sum(abs(p - other.probabilities[label]) for label, p in one.probabilities.items())


def check_sight(describer: Describer) -> SightReport:
    """Compare what a model says of an example, and of a blank, a swapped and a shuffled image.

    Parameters
    ----------
    describer : Describer

    Returns
    -------
    SightReport
    """
    from astrollava.images import example

    first = describer.describe(example(), max_tokens=64)
    # Of the picture as the model sees it, so that nothing else differs.
    pictures = {
        "example": example(),
        "blank": _blank(),
        "swapped": _ellipse(),
        "shuffled": _shuffled(_shown(first.thumbnail)),
    }
    others = list(pictures)[1:]
    texts = {name: describer.describe(pictures[name], max_tokens=64).text for name in pictures}
    labels = {name: describer.classify(picture) for name, picture in pictures.items()}
    lines = [("same image, same text", first.text == texts["example"], f"{first.text!r}")]
    for other in others:
        shift = _shift(labels["example"], labels[other])
        differs = texts[other] != texts["example"]
        lines.append((f"{other} image, other text", differs, f"{texts[other]!r}"))
        lines.append(
            (
                f"{other} image, other labels",
                shift >= LEAST_SHIFT,
                f"probabilities shift by {shift:.2f}",
            )
        )
    return SightReport(passed=all(ok for _, ok, _ in lines), lines=tuple(lines))
