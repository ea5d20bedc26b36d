"""From a checkpoint on disk to the original model in torch.

Names, shapes and settings come from `astrollava.models.checkpoint`; every weight is read by
transformers, safetensors or torch, so that a fault in the converter's reading shows.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    LlavaConfig,
    SiglipVisionConfig,
)

from astrollava.errors import InvalidCheckpoint
from astrollava.models.checkpoint import Checkpoint
from astrollava.parity.pixel_shuffle import model_class
from astrollava.parity.reference import TorchReference
from astrollava.parity.words import CheckpointWords

__all__ = ["load_model", "load_reference", "quiet"]

_ADAPTER: Final = "adapter_config.json"
_LORA: Final = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_PROJECTOR: Final = {"0": "linear_1", "2": "linear_2"}
#: What no embedding of a picture depends on: LLaVA reads hidden states before these.
_IDLE: Final = ("post_layernorm.", "head.", "position_ids", "inv_freq")


def load_reference(checkpoint: Checkpoint) -> TorchReference:
    """Load the model of a checkpoint in float32.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `astrollava.models.checkpoint.open_checkpoint`.

    Returns
    -------
    TorchReference

    Raises
    ------
    InvalidCheckpoint
        Weights are missing.
    """
    model = load_model(checkpoint)
    with quiet():
        words = CheckpointWords(checkpoint)
    return TorchReference(
        model,
        words,
        stop=words.ends,
        mean=checkpoint.rendering.mean,
        std=checkpoint.rendering.std,
    )


def load_model(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Any:
    """Load the model of a checkpoint, without its tokenizer.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `astrollava.models.checkpoint.open_checkpoint`.
    dtype : torch.dtype
        Of its weights.

    Returns
    -------
    LlavaForConditionalGeneration
        In evaluation mode, on the CPU, adapters merged.

    Raises
    ------
    InvalidCheckpoint
        Weights are missing.
    """
    with quiet():
        if checkpoint.layout == "hf-llava" and not (checkpoint.folder / _ADAPTER).is_file():
            model = _as_saved(checkpoint, dtype)
        else:
            # Adapters are merged in float32: rounded first, they would lose most of what they say.
            model = _put_together(checkpoint).to(dtype)
    return model.eval()


def _as_saved(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    kind = model_class(LlavaConfig(**checkpoint.config))
    model, found = kind.from_pretrained(
        checkpoint.folder, dtype=dtype, local_files_only=True, output_loading_info=True
    )
    _refuse(checkpoint.folder, found["missing_keys"], "lacks")
    return model


def _put_together(checkpoint: Checkpoint) -> Any:
    """Fill a model whose configuration and weights lie in several places."""
    config = _config(checkpoint)
    model: Any = model_class(config)(config).float()
    tower = next(
        name.removesuffix("embeddings.patch_embedding.weight")
        for name in model.state_dict()
        if name.endswith("embeddings.patch_embedding.weight")
    )
    state: dict[str, Any] = {}
    for path in checkpoint.files:
        if path.suffix in (".safetensors", ".bin") and not path.name.startswith("adapter_model"):
            for name, weight in _read(path).items():
                if (ours := _name(name, tower)) is not None:
                    state[ours] = weight.float()
    if (checkpoint.folder / _ADAPTER).is_file():
        _merge(checkpoint.folder, state, tower)
    rows = state["model.language_model.embed_tokens.weight"].shape[0]
    model.resize_token_embeddings(rows, mean_resizing=False)
    result = model.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not _is_idle(name)]
    if model.config.text_config.tie_word_embeddings:
        missing = [name for name in missing if name != "lm_head.weight"]
    _refuse(checkpoint.folder, missing, "lacks")
    _refuse(checkpoint.folder, result.unexpected_keys, "has in excess")
    return model


def _config(checkpoint: Checkpoint) -> LlavaConfig:
    values, tower = dict(checkpoint.config), checkpoint.tower
    if checkpoint.layout == "hf-llava":
        return LlavaConfig(**values)
    told = " ".join([str(values.pop("model_type", "")), *map(str, values.pop("architectures", ()))])
    kind = next((k for k in ("mistral", "qwen2") if k[:5] in told.lower()), "llama")
    sizes = {
        "image_size": tower.image_size,
        "patch_size": tower.patch_size,
        "hidden_size": tower.width,
        "intermediate_size": tower.inner,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "hidden_act": tower.activation,
        "layer_norm_eps": tower.epsilon,
    }
    clip = tower.kind == "clip"
    return LlavaConfig(
        vision_config=(CLIPVisionConfig if clip else SiglipVisionConfig)(**sizes),
        text_config=AutoConfig.for_model(kind, **values),
        vision_feature_layer=values.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default" if clip else "full",
        tie_word_embeddings=bool(values.get("tie_word_embeddings", False)),
    )


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def _name(name: str, tower: str) -> str | None:
    """Return what transformers calls a weight in memory, None for one of no use here."""
    rest = re.sub(r"^(base_model\.|model\.|language_model\.)*", "", name)
    if found := re.fullmatch(r"mm_projector\.([02])\.(\w+)", rest):
        return f"model.multi_modal_projector.{_PROJECTOR[found[1]]}.{found[2]}"
    if rest.startswith("multi_modal_projector."):
        return f"model.{rest}"
    inside = re.sub(r"^((vision_tower|vision_model)\.)+", "", rest)
    # A tower saved by itself has no name before its parts'.
    if inside != rest or rest.startswith(("embeddings.", "encoder.", "pre_layrnorm.")):
        return None if _is_idle(inside) else tower + inside
    if rest.startswith(("embed_tokens.", "layers.", "norm.")) and not _is_idle(rest):
        return f"model.language_model.{rest}"
    return rest if rest.startswith("lm_head.") else None


def _merge(folder: Path, state: dict[str, Any], tower: str) -> None:
    """Add ``scale * B @ A`` (Hu et al. 2021, arXiv:2106.09685) to the weights it belongs to."""
    config = json.loads((folder / _ADAPTER).read_text("utf-8"))
    path = next(p for p in sorted(folder.glob("adapter_model.*")) if p.suffix != ".json")
    halves: dict[str, dict[str, Any]] = {}
    for name, weight in _read(path).items():
        if found := _LORA.fullmatch(name):
            halves.setdefault(f"{found[1]}.weight", {})[found[2]] = weight.float()
        elif (ours := _name(name.replace("modules_to_save.default.", ""), tower)) is not None:
            state[ours] = weight.float()
    for name, half in halves.items():
        ours = _name(name, tower)
        assert ours is not None
        rank = half["A"].shape[0]
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        state[ours] = state[ours] + scale * (half["B"] @ half["A"])


def _is_idle(name: str) -> bool:
    return any(part in name for part in _IDLE)


def _refuse(folder: Path, names: Any, what: str) -> None:
    found = sorted(name for name in names if not _is_idle(name))
    if found:
        raise InvalidCheckpoint(
            f"{folder} {what} {len(found)} weights of the model, such as {found[0]}",
            hint="Download the checkpoint to its end",
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and giving advice."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
