"""From a folder to a LLaVA whose parts are known and whose weights can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrollava.errors import UnsupportedModel

from ._json import Settings
from ._language import Language
from ._layouts import from_original, from_transformers, layout_of
from ._near import cached_name, existing, hub_name
from ._readme import read_licence
from ._rendering import Rendering
from ._sources import Sources
from ._tensor import Tensor
from ._vision import Tower

__all__ = ["Checkpoint", "open_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """A LLaVA on disk: what it is made of, and its weights.

    Attributes
    ----------
    folder : Path
        Where it lies.
    layout : {"hf-llava", "original-llava"}
        ``LlavaForConditionalGeneration`` of transformers, or the classes of the original LLaVA.
    config : mapping
        Its ``config.json``.
    language : Language
        The language model's sizes.
    tower : Tower
        The vision tower's sizes.
    feature_layer : int
        Hidden state of the tower that the projector reads, from 1 to the number of its layers.
    rendering : Rendering
        How pictures were brought to the tower's input.
    joined : int
        Patches along each side that the projector makes one token of: more than 1 in a projector
        like InternVL's, which shuffles pixels.
    tensors : mapping
        Weights by one set of names for all layouts: ``language.layers.0.mlp.up_proj.weight``,
        ``vision.embeddings.class_embedding``, ``projector.0.bias``. Adapters are merged in.
    files : tuple of Path
        All files that were read.
    tokenizer_folder : Path
        Where the tokenizer's files lie.
    source : str
        Its name on the Hugging Face hub where it lies in that cache, else its folder's name.
    stated_name : str
        The ``_name_or_path`` of its configuration where that is a name on the hub: its own, or that
        of the model it was trained from. Empty where it is a path.
    licence : str or None
        What its model card says.
    """

    folder: Path
    layout: str
    config: Mapping[str, Any]
    language: Language
    tower: Tower
    feature_layer: int
    rendering: Rendering
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]
    tokenizer_folder: Path
    source: str
    stated_name: str
    licence: str | None
    joined: int = 1


def open_checkpoint(
    folder: str | Path, *, base: str | Path | None = None, vision_tower: str | Path | None = None
) -> Checkpoint:
    """Open a LLaVA checkpoint.

    Parameters
    ----------
    folder : path-like
        A folder as ``save_pretrained`` or the original LLaVA wrote it; a LoRA adapter or a
        projector alone, with the language model they belong to elsewhere.
    base : path-like, optional
        The language model an adapter or projector belongs to. By default looked for by the name
        the checkpoint gives: inside its folder, beside it, and in the Hugging Face cache.
    vision_tower : path-like, optional
        The same for a vision tower whose weights are not in the checkpoint.

    Returns
    -------
    Checkpoint
        Only headers are read, no weights. Nothing in the folder is run.

    Raises
    ------
    ModelNotFound
        There is no such folder, or the base model or the vision tower is not found.
    InvalidCheckpoint
        It is damaged or hostile.
    UnsupportedModel
        A part of it has no equal in llama.cpp.
    """
    path = existing(Path(folder).expanduser(), "the folder of a checkpoint")
    sources = Sources(
        path,
        None if base is None else Path(base).expanduser(),
        None if vision_tower is None else Path(vision_tower).expanduser(),
    )
    config = sources.read()
    if config.get("quantization_config"):
        raise UnsupportedModel(
            "the weights are quantized already (quantization_config)",
            expected="weights in float32, float16 or bfloat16",
            hint="Convert the checkpoint it was made of",
        )
    layout = layout_of(config)
    read = from_transformers if layout == "hf-llava" else from_original
    parts = read(config, sources)
    tokenizer_folder = sources.tokenizer_folder()
    # With the vision tower's: an adapter may change that, too.
    tensors = sources.merged()
    _check_tokens(config, layout, tensors)
    return Checkpoint(
        folder=path,
        layout=layout,
        config=config.values,
        language=parts.language,
        tower=parts.tower,
        feature_layer=parts.feature_layer,
        rendering=parts.rendering,
        tensors=tensors,
        files=tuple(dict.fromkeys(sources.files)),
        tokenizer_folder=tokenizer_folder,
        source=cached_name(path) or path.resolve().name,
        stated_name=hub_name(config.text("_name_or_path", 4096)),
        licence=read_licence(path),
        joined=parts.joined,
    )


def _check_tokens(config: Settings, layout: str, tensors: Mapping[str, Tensor]) -> None:
    """Hold the numbers of tokens against the rows of the embedding matrix."""
    embeddings = tensors.get("language.embed_tokens.weight")
    if embeddings is None or not embeddings.shape:
        return
    rows = embeddings.shape[0]
    text = config.part("text_config") if layout == "hf-llava" else config
    if text.get("vocab_size") not in (None, rows):
        raise text.fail("vocab_size", f"{rows}, the rows of {embeddings.name}")
    for key in ("image_token_index", "image_token_id"):
        if layout == "hf-llava" and config.get(key) is not None:
            config.integer(key, 0, rows - 1)
