"""The language model's numbers, from a configuration of transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from astrollava.errors import UnsupportedModel

from ._json import Settings

__all__ = ["LANGUAGES", "Language", "Rope", "read_language"]

_SHARED: Final = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
}  # fmt: skip
#: Kind -> what transformers takes where a configuration is silent. Published checkpoints of
#: llava-hf rely on it: their text_config has a handful of keys.
LANGUAGES: Final[dict[str, dict[str, Any]]] = {
    "llama": {**_SHARED, "intermediate_size": 11008, "max_position_embeddings": 2048},
    "mistral": {
        **_SHARED, "intermediate_size": 14336, "max_position_embeddings": 131072,
        "num_key_value_heads": 8, "sliding_window": 4096,
    },
    "qwen2": {
        **_SHARED, "intermediate_size": 22016, "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Rope:
    """Rotary positions.

    Attributes
    ----------
    base : float
        Frequency base.
    scaling : {"none", "linear", "yarn", "llama3"}
        How they were stretched to a longer context.
    factor : float
        By how much.
    original : int
        The context before; 0 where the scaling does not need it.
    low, high : float
        Bounds of ``llama3``, in wavelengths per original context.
    """

    base: float
    scaling: str = "none"
    factor: float = 1.0
    original: int = 0
    low: float = 1.0
    high: float = 4.0

    def divisors(self, length: int) -> list[float]:
        """Return by what ``llama3`` divides each frequency of a head of `length` dimensions.

        The rule is Meta's for Llama 3.1 (``_compute_llama3_parameters`` of transformers).
        """
        found = []
        for i in range(0, length, 2):
            wavelength = 2 * math.pi * self.base ** (i / length)
            smooth = (self.original / wavelength - self.low) / (self.high - self.low)
            smooth = min(max(smooth, 0.0), 1.0)
            found.append(1 / ((1 - smooth) / self.factor + smooth))
        return found


@dataclass(frozen=True)
class Language:
    """Sizes of a language model.

    Attributes
    ----------
    architecture : {"llama", "qwen2"}
        What llama.cpp calls it; Mistral's is ``llama``.
    width, inner, layers, heads, shared_heads, head_length : int
        Embedding length, feed-forward length, blocks, heads, key-value heads, dimensions of a head.
    context : int
        Tokens it was made for.
    epsilon : float
        Of its norms.
    rope : Rope
        Its positions.
    tied : bool
        Whether its output matrix is that of the embeddings.
    """

    architecture: str
    width: int
    inner: int
    layers: int
    heads: int
    shared_heads: int
    head_length: int
    context: int
    epsilon: float
    rope: Rope
    tied: bool


def read_language(
    values: Mapping[str, Any], where: str, kind: str, *, tied: bool = False
) -> Language:
    """Read the language model's part of a configuration.

    Parameters
    ----------
    values : mapping
        The configuration.
    where : str
        What errors call it.
    kind : str
        A key of `LANGUAGES`.
    tied : bool
        Whether the model around it says that its embeddings are tied.

    Raises
    ------
    UnsupportedModel
        A part of it has no equal in llama.cpp.
    InvalidCheckpoint
        A number is missing or out of bounds.
    """
    config = Settings(values, where, LANGUAGES[kind])
    if (activation := config.text("hidden_act")) != "silu":
        raise _unsupported(where, f"the activation {activation!r}", "silu")
    if kind == "qwen2" and config.flag("use_sliding_window"):
        raise _unsupported(where, "a sliding window", "attention to the whole context")
    width = config.integer("hidden_size", 1, 1 << 18)
    heads = config.integer("num_attention_heads", 1, 4096)
    shared = heads
    if config.get("num_key_value_heads") is not None:
        shared = config.integer("num_key_value_heads", 1, heads)
    if heads % shared:
        raise config.fail("num_key_value_heads", f"a divisor of the {heads} heads")
    if config.get("head_dim") is not None:
        length = config.integer("head_dim", 2, 8192)
    elif width % heads:
        raise config.fail("num_attention_heads", f"a divisor of the embedding length {width}")
    else:
        length = width // heads
    context = config.integer("max_position_embeddings", 1, 1 << 24)
    if kind == "mistral" and config.get("sliding_window") is not None:
        # Up to there every token sees all others, as llama.cpp's llama always does.
        context = min(context, config.integer("sliding_window", 1, 1 << 24))
    return Language(
        architecture="qwen2" if kind == "qwen2" else "llama",
        width=width,
        inner=config.integer("intermediate_size", 1, 1 << 20),
        layers=config.integer("num_hidden_layers", 1, 512),
        heads=heads,
        shared_heads=shared,
        head_length=length,
        context=context,
        epsilon=config.real("rms_norm_eps", 0.0, 1.0),
        rope=_rope(config, kind),
        tied=tied or config.flag("tie_word_embeddings"),
    )


def _rope(config: Settings, kind: str) -> Rope:
    # transformers 5 keeps all of it in rope_parameters, older versions in two keys.
    new = config.part("rope_parameters")
    settings = new if new.values else config.part("rope_scaling")
    base = new if new.get("rope_theta") is not None else config
    theta = base.real("rope_theta", 1.0, 1e12)
    scaling = settings.text("rope_type") or settings.text("type") or "default"
    if settings.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise _unsupported(settings.where, "heads that are rotated in part", "whole heads")
    if scaling == "default":
        return Rope(theta)
    known = ("linear", "yarn", "llama3") if kind != "qwen2" else ("linear", "yarn")
    if scaling not in known:
        raise _unsupported(
            settings.where,
            f"rotary positions of the type {scaling!r}",
            f"default, {', '.join(known)}",
        )
    factor = settings.real("factor", 1.0, 1e4)
    if scaling == "linear":
        return Rope(theta, "linear", factor)
    whole = settings if settings.get("original_max_position_embeddings") is not None else None
    original = (
        whole.integer("original_max_position_embeddings", 1, 1 << 24)
        if whole
        else config.integer("max_position_embeddings", 1, 1 << 24)
    )
    if scaling == "llama3":
        low = settings.real("low_freq_factor", 0.0, 1e3)
        high = settings.real("high_freq_factor", low + 1e-3, 1e6)
        return Rope(theta, "llama3", factor, original, low, high)
    for key, usual in {"beta_fast": 32, "beta_slow": 1, "attention_factor": None}.items():
        if settings.get(key) not in (None, usual):
            raise _unsupported(settings.where, f"yarn with {key}", "its usual value")
    for key in ("mscale", "mscale_all_dim"):
        if settings.get(key) is not None:
            raise _unsupported(settings.where, f"yarn with {key}", "none")
    return Rope(theta, "yarn", factor, original)


def _unsupported(where: str, part: str, expected: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the language model ({where}) has {part}",
        expected=expected,
        hint="llama.cpp would compute something else",
    )
