"""Vision towers: CLIP and SigLIP of transformers, and what of open_clip computes the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from transformers import CLIPVisionModel, SiglipVisionModel

from astrollava.errors import InvalidCheckpoint, UnsupportedModel
from astrollava.parity.loading import quiet
from astrollava_training.llava import openclip
from astrollava_training.llava.sources import find_folder, read_config

__all__ = ["CLIP", "HALF", "VisionTower", "from_open_clip", "load_tower", "select_strategy"]

CLIP: Final = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""Mean and standard deviation of the pictures CLIP was trained on, per channel, in [0, 1]."""

HALF: Final = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""What SigLIP takes for these."""

_CLASSES: Final = {
    "clip": (CLIPVisionModel, CLIP),
    "clip_vision_model": (CLIPVisionModel, CLIP),
    "siglip": (SiglipVisionModel, HALF),
    "siglip_vision_model": (SiglipVisionModel, HALF),
}
#: What LLaVA does not read: hidden states come before these.
_UNREAD: Final = ("post_layernorm.", "head.")


@dataclass(frozen=True, eq=False)
class VisionTower:
    """A tower and how its pixels are normalised.

    Attributes
    ----------
    model : CLIPVisionModel or SiglipVisionModel
    mean, std : (float, float, float)
        Of values in [0, 1], per channel.
    """

    model: Any
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def save(self, folder: Path) -> None:
        """Write it as a folder that `load_tower` reads."""
        self.model.save_pretrained(folder)
        said = {"image_mean": list(self.mean), "image_std": list(self.std)}
        path = folder / "preprocessor_config.json"
        path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def from_open_clip(visual: Any, dtype: torch.dtype) -> VisionTower:
    """Make a tower of one of open_clip."""
    mean, std = openclip.normalisation(visual)
    return VisionTower(openclip.convert(visual).to(dtype), mean, std)


def load_tower(name: str, dtype: torch.dtype) -> VisionTower:
    """Load a vision tower.

    Parameters
    ----------
    name : str
        As in `astrollava_training.recipe.Model`.
    dtype : torch.dtype
        Of its weights.

    Raises
    ------
    ModelNotFound
        If there is no such tower.
    UnsupportedModel
        If it is no CLIP or SigLIP, nor an open_clip ViT that computes the same as one.
    InvalidCheckpoint
        If weights are missing.
    """
    if openclip.is_name(name):
        return from_open_clip(openclip.create(name).visual, dtype)
    what = "the vision tower"
    folder = find_folder(name, what)
    kind = read_config(folder, what).get("model_type")
    if kind not in _CLASSES:
        raise UnsupportedModel(
            f"{what} {name!r} is of the type {kind!r}",
            expected="a CLIP or SigLIP tower",
            hint="What llama.cpp computes is listed in docs/converting.md",
        )
    loaded, usual = _CLASSES[kind]
    # Of a text encoder beside it, transformers would say weight by weight that it is not needed.
    with quiet():
        model, found = loaded.from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    missing = [
        key for key in found["missing_keys"] if not key.split("model.")[-1].startswith(_UNREAD)
    ]
    if missing:
        raise InvalidCheckpoint(
            f"{what} in {folder} lacks {len(missing)} weights, such as {sorted(missing)[0]}",
            hint="Download it to its end",
        )
    return VisionTower(model.eval(), *_normalisation(folder, usual))


def select_strategy(tower: Any) -> str:
    """Return LLaVA's name for taking the patches of a tower: all, or all but the class token."""
    return "default" if tower.config.model_type.startswith("clip") else "full"


def _normalisation(folder: Path, usual: Any) -> Any:
    """Return what the image processor of a folder says, or what is usual for its kind."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return usual
    values = json.loads(path.read_text("utf-8"))
    found = values.get("image_mean"), values.get("image_std")
    return tuple(tuple(map(float, one)) for one in found) if all(found) else usual
