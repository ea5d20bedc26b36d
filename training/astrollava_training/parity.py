"""Does llama.cpp say what torch says? Measured on an exported pair before anybody uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
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
    from astrollava.engine import Engine, Sampling

    side = model.config.vision_config.image_size
    if not images or any(rgb.shape != (side, side, 3) for rgb in images):
        raise InvalidRequest(
            f"the images have the shapes {[rgb.shape for rgb in images]}",
            expected=f"one or more of shape ({side}, {side}, 3)",
            hint="Render them with astrollava.images.render at that size",
        )
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": parts}]
    reference = _Torch(model, tokenizer, render_chat(messages, template=chat_template))
    cosines, errors, gaps, differing = [], [], [0.0], []
    with Engine(*pair, threads=threads) as engine:
        prompt = engine.format(messages)
        for rgb in images:
            answer = reference.answer(rgb, max_tokens)
            seen = engine.encode_image(rgb)
            cosines.append(_cosine(answer.values, np.asarray(seen.values)))
            sampling = Sampling(max_tokens=max_tokens)
            ours = "".join(engine.complete(prompt, [seen], sampling=sampling))
            if ours.strip() != answer.text.strip():
                differing.append((answer.text, ours))
                gaps.append(answer.gap_before(ours))
            (score,) = engine.score(prompt, [seen], [answer.text])
            errors.append(abs(score.logprob - answer.logprob) / answer.tokens)
    every = np.concatenate(cosines)
    return ParityReport(
        images=len(images),
        cosine_min=float(every.min()),
        cosine_median=float(np.median(every)),
        logprob_error=max(errors),
        same_text=1.0 - len(differing) / len(images),
        gap=max(gaps),
        differing=tuple(differing),
    )


def _cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: NDArray[np.floating] = (a * b).sum(axis=1) / norms
    return cosine


@dataclass(frozen=True)
class _Answer:
    """What torch makes of a picture: patches, greedy text, and how sure it was of each token."""

    values: NDArray[np.floating]
    text: str
    logprob: float
    tokens: int
    pieces: tuple[str, ...]
    gaps: tuple[float, ...]

    def gap_before(self, other: str) -> float:
        """Return the gap between the two best tokens where another text leaves this one."""
        so_far = ""
        for piece, gap in zip(self.pieces, self.gaps, strict=True):
            so_far += piece
            if not other.startswith(so_far):
                return gap
        return self.gaps[-1]


class _Torch:
    """The reference: prompt tokens once, then an answer per picture."""

    def __init__(self, model: Any, tokenizer: Any, prompt: str) -> None:
        self.model, self.tokenizer = model, tokenizer
        config = model.config
        tokens = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        before, after = (
            tokenizer.encode(part, add_special_tokens=False).ids
            for part in prompt.split("<image>", 1)
        )
        bos = tokenizer.token_to_id("<s>")
        self.prompt = [bos, *before, *[config.image_token_index] * tokens, *after]

    @torch.inference_mode()
    def answer(self, rgb: _Rgb, max_tokens: int) -> _Answer:
        """Encode a picture, answer greedily, and measure that answer token by token."""
        device = self.model.device
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].to(device)
        pixels = (pixels.float() / 255.0 - 0.5) / 0.5
        features = self.model.get_image_features(pixel_values=pixels).pooler_output[0]
        prompt = torch.tensor([self.prompt], device=device)
        found = self.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            pixel_values=pixels,
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self.tokenizer.token_to_id("</s>"),
            pad_token_id=self.tokenizer.token_to_id("<pad>"),
            return_dict_in_generate=True,
            output_logits=True,
        )
        generated = found.sequences[0, len(self.prompt) :].tolist()
        best = [step[0].float().topk(2).values for step in found.logits]
        text = self.tokenizer.decode(generated, skip_special_tokens=True)
        # Tokenised anew: a greedy path need not be how the text is normally split.
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        whole = torch.tensor([[*self.prompt, *ids]], device=device)
        logits = self.model(
            input_ids=whole, attention_mask=torch.ones_like(whole), pixel_values=pixels
        ).logits[0, len(self.prompt) - 1 : -1]
        at = torch.tensor(ids, device=device)[:, None]
        chosen = logits.float().log_softmax(-1).gather(1, at)
        return _Answer(
            values=features.float().cpu().numpy(),
            text=text,
            logprob=float(chosen.sum()),
            tokens=max(len(ids), 1),
            pieces=tuple(self.tokenizer.decode([i], skip_special_tokens=True) for i in generated),
            gaps=tuple(float(first - second) for first, second in best),
        )
