"""Does llama.cpp say what torch says? Measured on an exported pair before anybody uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.engine import Engine
from astrollava.parity import compare
from astrollava.parity.compare import check_pictures
from astrollava.parity.reference import TorchReference
from astrollava_training.data.tokens import CHAT_TEMPLATE
from astrollava_training.export.template import render_chat

__all__ = ["ParityReport", "parity"]

_Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class ParityReport:
    """How far an exported pair is from the model it was made of.

    Attributes
    ----------
    images : int
        Pictures compared.
    cosine_min, cosine_median : float
        Cosine between torch's and llama.cpp's embedding of a patch, over all patches.
    logprob_error : float
        Largest difference, over the pictures, of the mean log-probability per token of torch's
        greedy text (nats).
    same_text : float
        Fraction of pictures with the same greedy text.
    gap : float
        Where texts differ, the largest gap (nats) between torch's two best tokens at the first
        difference; near zero, rounding broke a tie. Zero where all texts are the same.
    differing : tuple of (str, str)
        Torch's and llama.cpp's texts where they differ.
    """

    images: int
    cosine_min: float
    cosine_median: float
    logprob_error: float
    same_text: float
    gap: float
    differing: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"llama.cpp against torch on {self.images} pictures: cosine per patch at least "
            f"{self.cosine_min:.6f}, median {self.cosine_median:.6f}; log-probability per token "
            f"within {self.logprob_error:.2g}; same greedy text {self.same_text:.0%}"
            + (f", else torch's two best tokens within {self.gap:.2g} nats" if self.gap else "")
        )


def parity(
    model: Any,
    tokenizer: Any,
    pair: tuple[Path, Path],
    images: Sequence[_Rgb],
    *,
    question: str = "Describe this image.",
    max_tokens: int = 64,
    chat_template: str = CHAT_TEMPLATE,
    threads: int | None = None,
) -> ParityReport:
    """Compare a pair of GGUF files with the torch model it was exported from.

    Parameters
    ----------
    model : transformers.LlavaForConditionalGeneration
        In float32, on any device.
    tokenizer : tokenizers.Tokenizer
        The one it was trained with.
    pair : (text, mmproj)
        Paths of the GGUF files.
    images : sequence of ndarray of uint8, shape (side, side, 3)
        Rendered at the tower's input size.
    question : str
        What both are asked about each picture.
    max_tokens : int
        Length of the greedy texts compared.
    chat_template : str
        The template that was exported.
    threads : int, optional
        Of llama.cpp; the engine's choice by default.

    Returns
    -------
    ParityReport

    Raises
    ------
    InvalidRequest
        Without images, or with one of another size.
    """
    side = model.config.vision_config.image_size
    check_pictures(images, (side, side))
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    # Rendered here, not by the pair: a template that changed on its way shows, too.
    prompt = render_chat([{"role": "user", "content": parts}], template=chat_template)
    before, _, after = prompt.partition("<image>")
    half = (0.5, 0.5, 0.5)
    reference = TorchReference(
        model, _Words(tokenizer), stop={tokenizer.token_to_id("</s>")}, mean=half, std=half
    )
    with Engine(*pair, threads=threads) as engine:
        found = compare(
            engine,
            reference,
            images,
            question=question,
            max_tokens=max_tokens,
            asked=(before, after),
        )
    return ParityReport(
        images=found.images,
        cosine_min=found.cosine_min,
        cosine_median=found.cosine_median,
        logprob_error=found.logprob_error,
        same_text=sum(found.same) / found.images,
        gap=found.gap,
        differing=found.differing,
    )


class _Words:
    """The tokenizer as training used it: what stands on either side of an image on its own."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def around_image(self, before: str, after: str) -> tuple[list[int], list[int]]:
        first, second = (
            self._tokenizer.encode(part, add_special_tokens=False).ids for part in (before, after)
        )
        return [self._tokenizer.token_to_id("<s>"), *first], second

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
