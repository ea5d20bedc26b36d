"""How pictures were brought to the vision tower's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from astrollava.errors import UnsupportedModel

from ._json import Settings

__all__ = ["CLIP_MEAN", "CLIP_STD", "Rendering", "background", "read_rendering"]

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Rendering:
    """How a picture was brought to the tower's input in training.

    Attributes
    ----------
    rule : {"pad", "crop", "stretch"}
        How it was made square.
    background : tuple of int
        Colour of the padding, 0-255.
    mean, std : tuple of float
        Normalisation per channel of values in [0, 1].
    assumed : bool
        True where the checkpoint says nothing and the usual was taken.
    """

    rule: str
    background: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    assumed: bool = False


def read_rendering(values: Mapping[str, Any], where: str, kind: str) -> Rendering:
    """Read what an image processor of transformers does to a picture.

    Parameters
    ----------
    values : mapping
        ``preprocessor_config.json``, or the ``image_processor`` of ``processor_config.json``;
        empty where the checkpoint has neither.
    where : str
        What errors call it.
    kind : {"clip", "siglip"}
        The tower's kind, for what is not said.
    """
    clip = kind == "clip"
    half = (0.5, 0.5, 0.5)
    config = Settings(values, where)
    if config.get("do_rescale") is False:
        raise UnsupportedModel(f"{where}: pixels are not scaled to [0, 1]")
    mean = config.triple("image_mean") or (CLIP_MEAN if clip else half)
    std = config.triple("image_std") or (CLIP_STD if clip else half)
    if config.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if not all(std) or not all(0 <= m <= 1 for m in mean):
        raise config.fail("image_std", "no zero, and a mean from 0 to 1")
    if config.flag("do_pad"):
        rule = "pad"
    elif config.flag("do_center_crop"):
        rule = "crop"
    else:
        rule = "pad" if clip and not values else "stretch"
    return Rendering(rule, background(mean), mean, std, assumed=not values)


def background(mean: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the colour LLaVA pads with: the mean of the training pictures, in whole numbers."""
    red, green, blue = (int(value * 255) for value in mean)
    return red, green, blue
