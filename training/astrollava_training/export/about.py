"""What a model file says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astrollava.errors import InvalidRequest

__all__ = ["About"]

_RULES = ("pad", "crop", "stretch")


@dataclass(frozen=True)
class About:
    """Facts beside the weights, all of them written into the files.

    Attributes
    ----------
    licence : str
        SPDX identifier of the weights' licence.
    author, description, url : str
        Left out of the file where empty.
    render_rule : {"pad", "crop", "stretch"}
        How training brought a picture to the tower's square input.
    render_background : tuple of int
        Red, green and blue of the padding, each 0 to 255.
    render_version : int
        Version of `astrollava.images.render` the model was trained with.
    image_mean, image_std : tuple of float
        Normalisation per channel of values in [0, 1], as training applied it.
    label_temperature : float, optional
        Divides the log-likelihoods of answers before they become probabilities; above zero. Left
        out of the file where it was not fitted: only then is a model called uncalibrated.
    label_threshold : float, optional
        Highest probability under which a classification abstains, in [0, 1).
    questions : tuple of str
        All questions the model was taught to answer: an answer to another one is flagged. Left out
        of the file where empty, as for a model that was taught to answer anything.
    """

    licence: str = "MIT"
    author: str = ""
    description: str = ""
    url: str = ""
    render_rule: str = "pad"
    render_background: tuple[int, int, int] = (0, 0, 0)
    render_version: int = 1
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    label_temperature: float | None = None
    label_threshold: float | None = None
    questions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.render_rule not in _RULES:
            raise InvalidRequest(
                f"the render rule is {self.render_rule!r}", expected=f"one of {', '.join(_RULES)}"
            )
        if not all(0 <= value <= 255 for value in self.render_background):
            raise InvalidRequest(
                f"the background is {self.render_background}", expected="three values of 0 to 255"
            )
        temperature, threshold = self.label_temperature, self.label_threshold
        if not (temperature is None or 0.0 < temperature < float("inf")) or not (
            threshold is None or 0.0 <= threshold < 1.0
        ):
            raise InvalidRequest(
                f"label temperature {temperature} and threshold {threshold}",
                expected="a finite temperature above 0 and a threshold in [0, 1)",
                hint="Fit them on a validation split with evaluate.calibrate",
            )

    def add_general(self, writer: Any, name: str) -> None:
        """Write the ``general.*`` keys to a `gguf.GGUFWriter`."""
        writer.add_name(name)
        writer.add_license(self.licence)
        if self.author:
            writer.add_author(self.author)
        if self.description:
            writer.add_description(self.description)
        if self.url:
            writer.add_url(self.url)
