"""A tower and the text encoder it learns with: of transformers, or of open_clip."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from astrollava.errors import InvalidCheckpoint, UnsupportedModel
from astrollava.parity.loading import quiet
from astrollava_training.llava import openclip
from astrollava_training.llava.sources import find_folder, read_config
from astrollava_training.llava.towers import from_open_clip, load_tower

__all__ = ["Encoders", "Told", "load_encoders"]


class Told(NamedTuple):
    """What is made of pictures and captions.

    Attributes
    ----------
    pictures, captions : Tensor, shape (pairs, width)
        Of length one.
    scale, bias : Tensor
        Of the logits; the bias is None with CLIP's loss.
    """

    pictures: torch.Tensor
    captions: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None


class Encoders(nn.Module, ABC):
    """Both encoders, as far as their training needs them.

    Attributes
    ----------
    size : int
        Side in pixels of the pictures.
    mean, std : (float, float, float)
        Of their normalisation.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    model: Any

    @abstractmethod
    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        """Return captions as tokens, cut and filled to one length."""

    @abstractmethod
    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Told:
        """Encode pairs; `pixels` are normalised, shape (pairs, 3, size, size)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write ``tower``, which ``model.tower`` of a recipe names, and what goes on from here."""


def load_encoders(name: str, seed: int) -> Encoders:
    """Load what a recipe of a tower begins with, in float32.

    Raises
    ------
    ModelNotFound
        If there is no such model.
    UnsupportedModel
        If it has no text encoder, or its tower could not be used in a LLaVA.
    EngineUnavailable
        If it is one of open_clip and open_clip is missing.
    """
    if openclip.is_name(name):
        return _OpenClip(name, seed)
    return _Transformers(find_folder(name, "the model of tower and text"), name)


class _Transformers(Encoders):
    """A ``CLIPModel`` or ``SiglipModel``."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        what = "the model of tower and text"
        kind = read_config(folder, what).get("model_type")
        if kind not in ("clip", "siglip"):
            raise UnsupportedModel(
                f"{name!r} is of the type {kind!r}",
                expected="a CLIP or SigLIP with its text encoder",
            )
        with quiet():
            self.model, found = AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        if found["missing_keys"]:
            raise InvalidCheckpoint(
                f"{what} in {folder} lacks weights, such as {sorted(found['missing_keys'])[0]}",
                expected="tower and text encoder",
            )
        self._folder = folder
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if self._tokenizer.pad_token is None:
            raise InvalidCheckpoint(
                f"the tokenizer of {what} in {folder} has no token that fills captions to one "
                "length",
                expected="a pad_token in its tokenizer_config.json",
                hint=f'Add "pad_token": {json.dumps(self._tokenizer.eos_token or "<|endoftext|>")} '
                "there, which is the end token, as in CLIP",
            )
        tower = load_tower(name, torch.float32)
        self.mean, self.std = tower.mean, tower.std
        self.size = int(self.model.config.vision_config.image_size)

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        longest = int(self.model.config.text_config.max_position_embeddings)
        found: torch.Tensor = self._tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=longest,
            return_tensors="pt",
        )["input_ids"]  # fmt: skip
        return found

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Told:
        out = self.model(input_ids=tokens, pixel_values=pixels)
        bias = getattr(self.model, "logit_bias", None)
        return Told(out.image_embeds, out.text_embeds, self.model.logit_scale.exp(), bias)

    def save(self, folder: Path) -> None:
        whole = folder / "model"
        self.model.save_pretrained(whole)
        self._tokenizer.save_pretrained(whole)
        said = self._folder / "preprocessor_config.json"
        if said.is_file():
            shutil.copyfile(said, whole / said.name)
        load_tower(str(whole), torch.float32).save(folder / "tower")


class _OpenClip(Encoders):
    """A model of open_clip whose tower can be one of transformers."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = openclip.create(name, untrained=True)
        # What cannot be converted at the end is refused at the beginning.
        self.size = int(openclip.convert(self.model.visual).config.image_size)
        self.mean, self.std = openclip.normalisation(self.model.visual)
        self._tokenizer = openclip.tokenizer(name)

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        found: torch.Tensor = self._tokenizer(list(captions))
        return found

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Told:
        return Told(
            self.model.encode_image(pixels, normalize=True),
            self.model.encode_text(tokens, normalize=True),
            self.model.logit_scale.exp(),
            getattr(self.model, "logit_bias", None),
        )

    def save(self, folder: Path) -> None:
        torch.save(self.model.state_dict(), folder / "model.pt")
        from_open_clip(self.model.visual, torch.float32).save(folder / "tower")
