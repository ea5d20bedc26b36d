"""The original model, run by torch: what it makes of a picture and a prompt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["ReferenceAnswer", "TorchReference", "Words"]


class Words(Protocol):
    """A tokenizer, as far as a comparison needs it."""

    def around_image(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """Return the tokens before and after the image of a prompt, with what begins a text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""


@dataclass(frozen=True)
class ReferenceAnswer:
    """What the original makes of a picture.

    Attributes
    ----------
    values : ndarray of float32, shape (patches, width)
        The picture, as the language model reads it.
    logits : ndarray of float32, shape (vocabulary,)
        Of the first token of the answer.
    text : str
        The greedy answer.
    logprob : float
        The sum of the log-probabilities of its tokens, split as the text is normally split.
    tokens : int
        How many these are; 0 where the text does not begin a token of its own.
    pieces : tuple of str
        The answer's tokens, as they were generated, each as text.
    gaps : tuple of float
        At each step, how far the best token was ahead of the next (nats).
    """

    values: NDArray[np.float32]
    logits: NDArray[np.float32]
    text: str
    logprob: float
    tokens: int
    pieces: tuple[str, ...]
    gaps: tuple[float, ...]

    def gap_before(self, other: str) -> float:
        """Return the gap between the two best tokens where another text leaves this one."""
        so_far = ""
        for piece, gap in zip(self.pieces, self.gaps, strict=False):
            so_far += piece
            # Decoders drop the space before the first word, or keep it.
            if not other.lstrip().startswith(so_far.lstrip()):
                return gap
        return self.gaps[-1]


class TorchReference:
    """A ``LlavaForConditionalGeneration`` and its tokenizer.

    Parameters
    ----------
    model : transformers.LlavaForConditionalGeneration
        On any device, in any kind of numbers.
    words : Words
        Its tokenizer.
    stop : collection of int
        Tokens that end an answer.
    mean, std : tuple of float
        By which pixels in [0, 1] are normalised.
    features : callable, optional
        From normalised pixels, shape (1, 3, side, side), to the picture as the language model
        reads it; the model's own ``get_image_features`` by default.
    """

    def __init__(
        self,
        model: Any,
        words: Words,
        *,
        stop: Collection[int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        features: Callable[[Any], Any] | None = None,
    ) -> None:
        self._model = model
        self._words = words
        self._stop = frozenset(stop)
        self._mean = torch.tensor(mean, device=model.device)[:, None, None]
        self._std = torch.tensor(std, device=model.device)[:, None, None]
        self._features = features or (
            lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output[0]
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the pictures it takes."""
        side = self._model.config.vision_config.image_size
        return side, side

    def to(self, device: str, dtype: torch.dtype) -> None:
        """Bring the model to a device, and to a kind of numbers."""
        self._model.to(device=device, dtype=dtype)
        self._mean, self._std = self._mean.to(self._model.device), self._std.to(self._model.device)

    @torch.inference_mode()
    def look(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        """Return a picture as the language model reads it, float32 of shape (patches, width)."""
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)
        pixels = (pixels.to(self._mean.device).float() / 255.0 - self._mean) / self._std
        values: torch.Tensor = self._features(pixels[None].to(self._model.dtype)).float()
        return values

    @torch.inference_mode()
    def say(self, values: torch.Tensor, before: str, after: str, max_tokens: int) -> str:
        """Answer greedily about a picture that was looked at."""
        return self._words.decode(self._greedy(self._prompt(values, before, after), max_tokens)[1])

    @torch.inference_mode()
    def weigh(
        self, values: torch.Tensor, before: str, after: str, answers: Sequence[str]
    ) -> list[float]:
        """Return the log-probability (nats) of exactly each answer's tokens.

        Parameters
        ----------
        values : Tensor
            Of `look`.
        before, after : str
            The prompt on either side of the picture.
        answers : sequence of str
            Texts as they follow the prompt, none empty; a leading space counts.
        """
        ids = [
            self._continued(before, after, answer) or self._words.around_image("", answer)[1]
            for answer in answers
        ]
        longest = max(map(len, ids))
        # The prompt is read once; what is put behind a shorter answer is seen by nothing before it.
        out = self._model(inputs_embeds=self._prompt(values, before, after)[None], use_cache=True)
        padded = torch.tensor(
            [[*row, *row[-1:] * (longest - len(row))] for row in ids], device=self._mean.device
        )
        logits = out.logits[:, -1:].expand(len(ids), -1, -1)
        if longest > 1:
            out.past_key_values.batch_repeat_interleave(len(ids))
            rest = self._model(
                inputs_embeds=self._embed(padded[:, :-1]), past_key_values=out.past_key_values
            )
            logits = torch.cat([logits, rest.logits], dim=1)
        chosen = logits.float().log_softmax(-1).gather(2, padded[:, :, None])[:, :, 0]
        return [float(row[: len(tokens)].sum()) for row, tokens in zip(chosen, ids, strict=True)]

    @torch.inference_mode()
    def answer(
        self, rgb: NDArray[np.uint8], before: str, after: str, max_tokens: int
    ) -> ReferenceAnswer:
        """Look at a picture, answer greedily, and measure that answer token by token."""
        values = self.look(rgb)
        prompt = self._prompt(values, before, after)
        first, tokens, gaps = self._greedy(prompt, max_tokens)
        text = self._words.decode(tokens)
        ids = self._continued(before, after, text)
        chosen = torch.zeros(1)
        if ids:
            whole = torch.cat([prompt, self._embed(ids)])[None]
            logits = self._model(inputs_embeds=whole).logits[0, len(prompt) - 1 : -1]
            at = torch.tensor(ids, device=logits.device)[:, None]
            chosen = logits.float().log_softmax(-1).gather(1, at)
        return ReferenceAnswer(
            values=values.cpu().numpy(),
            logits=first,
            text=text,
            logprob=float(chosen.sum()),
            tokens=len(ids),
            pieces=tuple(self._words.decode([token]) for token in tokens),
            gaps=tuple(gaps),
        )

    @torch.inference_mode()
    def logits(self, values: NDArray[np.float32], before: str, after: str) -> NDArray[np.float32]:
        """Return the logits of an answer's first token where the picture is given as it is read."""
        prompt = self._prompt(torch.from_numpy(np.array(values)), before, after)
        last: NDArray[np.float32] = (
            self._model(inputs_embeds=prompt[None]).logits[0, -1].float().cpu().numpy()
        )
        return last

    def _prompt(self, values: Any, before: str, after: str) -> Any:
        ids = self._words.around_image(before, after)
        seen = values.to(self._mean.device, self._model.dtype)
        return torch.cat([self._embed(ids[0]), seen, self._embed(ids[1])])

    def _continued(self, before: str, after: str, text: str) -> list[int]:
        # Split anew: a greedy path need not be how the text is normally split.
        prompt = self._words.around_image(before, after)[1]
        together = self._words.around_image(before, after + text)[1]
        return together[len(prompt) :] if together[: len(prompt)] == prompt else []

    def _embed(self, ids: Any) -> Any:
        tokens = torch.as_tensor(ids, dtype=torch.long, device=self._mean.device)
        return self._model.get_input_embeddings()(tokens)

    def _greedy(
        self, prompt: Any, max_tokens: int
    ) -> tuple[NDArray[np.float32], list[int], list[float]]:
        # By hand: `generate` would follow whatever the checkpoint's generation_config.json says.
        out = self._model(inputs_embeds=prompt[None], use_cache=True)
        first: NDArray[np.float32] = out.logits[0, -1].float().cpu().numpy()
        tokens: list[int] = []
        gaps: list[float] = []
        while True:
            best = out.logits[0, -1].float().topk(2)
            gaps.append(float(best.values[0] - best.values[1]))
            token = int(best.indices[0])
            if token in self._stop or len(tokens) == max_tokens:
                return first, tokens, gaps
            tokens.append(token)
            out = self._model(
                inputs_embeds=self._embed([token])[None],
                past_key_values=out.past_key_values,
                use_cache=True,
            )
