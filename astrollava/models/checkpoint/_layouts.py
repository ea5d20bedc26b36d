"""The two layouts a LLaVA comes in, and what their configurations say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from astrollava.errors import UnsupportedModel

from ._json import Settings
from ._language import LANGUAGES, Language, read_language
from ._rendering import CLIP_MEAN, CLIP_STD, Rendering, background, read_rendering
from ._sources import CONFIG, Sources
from ._vision import Tower, guess_tower, hidden_state, read_tower

__all__ = ["Parts", "from_original", "from_transformers", "layout_of"]

_GELU: Final = ("gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast")

#: Class or model_type of the original LLaVA -> kind of its language model.
_ORIGINAL: Final = {
    "LlavaLlamaForCausalLM": "llama", "LlavaMistralForCausalLM": "mistral",
    "LlavaQwenForCausalLM": "qwen2",
    "llava": "llama", "llava_llama": "llama", "llava_mistral": "mistral", "llava_qwen": "qwen2",
}  # fmt: skip

#: transformers' class, and ours, whose projector joins patches.
_TRANSFORMERS: Final = frozenset({
    "LlavaForConditionalGeneration", "LlavaPixelShuffleForConditionalGeneration",
})  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What a LLaVA is made of; see `Checkpoint`."""

    language: Language
    tower: Tower
    feature_layer: int
    rendering: Rendering
    joined: int = 1


def layout_of(config: Settings) -> str:
    """Tell the layout from a configuration."""
    names = _names(config)
    if isinstance(config.get("text_config"), dict):
        if names == ["llava"] or not _TRANSFORMERS.isdisjoint(names):
            return "hf-llava"
    elif config.get("mm_vision_tower") is not None:
        return "original-llava"
    what = " / ".join(names) or "model without a name"
    raise UnsupportedModel(
        f"the checkpoint is a {what:.120}",
        expected="LlavaForConditionalGeneration, or the original LLaVA's LlavaLlamaForCausalLM",
    )


def from_transformers(config: Settings, sources: Sources) -> Parts:
    """Read the configuration of a ``LlavaForConditionalGeneration``."""
    text = config.part("text_config")
    kind = text.text("model_type") or "llama"
    if kind not in LANGUAGES:
        raise _unknown_language(kind)
    tied = config.flag("tie_word_embeddings")
    language = read_language(text.values, text.where, kind, tied=tied)
    vision = config.part("vision_config")
    tower = read_tower({"model_type": "clip_vision_model", **vision.values}, vision.where)
    wanted = "default" if tower.kind == "clip" else "full"
    strategy = config.text("vision_feature_select_strategy") or "default"
    if strategy != wanted:
        raise UnsupportedModel(
            f"vision_feature_select_strategy is {strategy!r}",
            expected=f"{wanted!r} with a {tower.kind} tower",
            hint="llama.cpp drops a class token where there is one, and nothing else",
        )
    activation = config.text("projector_hidden_act") or "gelu"
    if activation not in _GELU:
        raise UnsupportedModel(
            f"the projector has the activation {activation!r}", expected=" or ".join(_GELU)
        )
    layer = hidden_state(config, "vision_feature_layer", tower.layers)
    values, where = sources.processor(sources.folders)
    rendering = read_rendering(values, where, tower.kind)
    return Parts(language, tower, layer, rendering, _joined(config, tower))


def from_original(config: Settings, sources: Sources) -> Parts:
    """Read the configuration of the original LLaVA, and its vision tower's."""
    names = _names(config)
    kind = next((_ORIGINAL[name] for name in names if name in _ORIGINAL), None)
    if kind is None:
        raise _unknown_language(" / ".join(names))
    for part, key, default, known in (
        ("projector", "mm_projector_type", "linear", "mlp2x_gelu"),
        ("selection of vision features", "mm_vision_select_feature", "patch", "patch"),
        ("merging of patches", "mm_patch_merge_type", "flat", "flat"),
    ):
        value = config.text(key) or default
        if value != known:
            raise UnsupportedModel(f"the {part} is {value!r} ({key})", expected=repr(known))
    for part, key in (
        ("tokens before and after each image", "mm_use_im_start_end"),
        ("pictures seen at several scales", "s2"),
    ):
        if config.flag(key):
            raise UnsupportedModel(f"the model has {part} ({key})", expected="none")
    ratio = config.text("image_aspect_ratio")
    if ratio not in ("", "pad", "square"):
        raise UnsupportedModel(
            f"pictures are cut into tiles (image_aspect_ratio is {ratio!r})",
            expected="'pad' or none",
        )
    language = read_language(config.values, config.where, kind)
    tower = _original_tower(config, sources)
    layer = hidden_state(config, "mm_vision_select_layer", tower.layers)
    values, where = sources.processor(sources.folders[1:])
    # Of the tower's own processor only the numbers count: LLaVA cuts or pads by its own setting.
    said = read_rendering(values, where, tower.kind) if values else None
    mean, std = (said.mean, said.std) if said else (CLIP_MEAN, CLIP_STD)
    rule = "pad" if ratio == "pad" else "crop"
    return Parts(language, tower, layer, Rendering(rule, background(mean), mean, std))


def _joined(config: Settings, tower: Tower) -> int:
    """Return how many patches, along each side, the projector makes one token of."""
    if config.get("pixel_shuffle") is None:
        return 1
    joined = config.integer("pixel_shuffle", 2, 8)
    if tower.kind != "clip":
        raise UnsupportedModel(
            f"the projector joins patches (pixel_shuffle) of a {tower.kind} tower",
            expected="a CLIP tower",
            hint="llama.cpp's internvl wants a class token, which it drops again",
        )
    if (tower.image_size // tower.patch_size) % joined:
        raise config.fail("pixel_shuffle", "a divisor of the patches along a side")
    return joined


def _original_tower(config: Settings, sources: Sources) -> Tower:
    name = config.text("mm_vision_tower", 4096)
    # Where it was trained with the rest, it was saved with it: no other weights may replace those.
    inside = any(key.startswith("vision.") for key in sources.tensors)
    guessed = guess_tower(name, sources.tensors) if inside and not sources.tower_given else None
    if guessed is not None:
        return guessed
    folder = sources.find_tower(name)
    tower = read_tower(sources.json(folder / CONFIG), f"{folder.name}/{CONFIG}")
    if tower.kind != "clip":
        raise UnsupportedModel(
            f"the vision tower {name!r:.120} of an original LLaVA is no CLIP",
            expected="a CLIP tower, or a checkpoint of transformers",
        )
    if not inside:
        sources.add_tower(folder)
    return tower


def _names(config: Settings) -> list[str]:
    classes = config.get("architectures")
    names = [*(classes if isinstance(classes, list) else []), config.text("model_type")]
    return [name for name in names if isinstance(name, str) and name]


def _unknown_language(kind: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the language model is a {kind or 'model without a name':.80}",
        expected=f"one of {', '.join(LANGUAGES)}",
    )
