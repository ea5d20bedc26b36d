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


def _shift(one: Classification, other: Classification) -> float:
    """Total variation distance, in [0, 1]."""
    return 0.5 * sum(abs(p - other.probabilities[label]) for label, p in one.probabilities.items())


def check_sight(describer: Describer) -> SightReport:
    """Compare what a model says about an example, a blank and a swapped image.

    Parameters
    ----------
    describer : Describer

    Returns
    -------
    SightReport
    """
    from astrollava.images import example

    pictures = {"example": example(), "blank": _blank(), "swapped": _ellipse()}
    texts = {
        name: describer.describe(picture, max_tokens=64).text for name, picture in pictures.items()
    }
    labels = {name: describer.classify(picture) for name, picture in pictures.items()}
    again = describer.describe(pictures["example"], max_tokens=64).text
    lines = [("same image, same text", again == texts["example"], f"{texts['example']!r}")]
    for other in ("blank", "swapped"):
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
