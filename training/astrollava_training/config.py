"""The recipe: one TOML file says all that a run needs; a key nobody knows is an error."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ["Export", "Language", "Recipe", "RecipeError", "Stage", "Vision", "load_recipe"]


class RecipeError(ValueError):
    """A recipe file with an unknown key, a wrong type or a contradiction."""


@dataclass(frozen=True)
class Vision:
    """The vision tower: a SigLIP-type ViT, trained from scratch.

    ``image_size`` and ``patch_size`` are in pixels; the tower gives ``(image_size / patch_size)²`` tokens.
    """

    image_size: int = 120
    patch_size: int = 12
    hidden_size: int = 192
    intermediate_size: int = 768
    layers: int = 6
    heads: int = 3


@dataclass(frozen=True)
class Language:
    """The language model: a small Llama with a byte-level BPE vocabulary, trained from scratch."""

    vocab_size: int = 1024
    hidden_size: int = 192
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 3
    context_length: int = 1024


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes
    ----------
    pictures : int
        Pictures seen (for the language warm-up: conversations).
    batch_size : int
        Pictures in a step.
    learning_rate, weight_decay, warmup : float
        Peak of the cosine schedule, AdamW's decay, share of the steps that warm up.
    real : float
        Share of real pictures among those seen, in [0, 1]; the others are simulated.
    """

    pictures: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.03
    real: float = 0.3


@dataclass(frozen=True)
class Export:
    """How the trained model is written."""

    name: str = "astrollava-embedded-v0"
    quantize: str = "q8_0"
    mmproj_quantize: str = "q8_0"
    render_rule: str = "pad"
    render_background: tuple[int, int, int] = (0, 0, 0)
    licence: str = "MIT"


@dataclass(frozen=True)
class Recipe:
    """Everything a run of the from-scratch recipe depends on.

    ``encoded`` is the number of distinct pictures that the finished tower encodes, once, for the stages
    after it: they never move the tower, so its features can be kept.
    """

    name: str
    seed: int = 0
    vision: Vision = field(default_factory=Vision)
    language: Language = field(default_factory=Language)
    tower: Stage = field(default_factory=lambda: Stage(pictures=120_000))
    encoded: int = 24_000
    words: Stage = field(default_factory=lambda: Stage(pictures=16_000))
    align: Stage = field(default_factory=lambda: Stage(pictures=12_000))
    instruct: Stage = field(default_factory=lambda: Stage(pictures=60_000))
    export: Export = field(default_factory=Export)

    def __post_init__(self) -> None:
        if self.vision.image_size % self.vision.patch_size:
            raise RecipeError(
                f"vision.image_size {self.vision.image_size} is not a multiple of "
                f"vision.patch_size {self.vision.patch_size}"
            )
        for part in (self.vision, self.language):
            if part.hidden_size % part.heads or (part.hidden_size // part.heads) % 2:
                raise RecipeError(
                    f"{part.heads} heads do not divide hidden_size {part.hidden_size} "
                    "into even parts"
                )


def load_recipe(path: str | PathLike[str]) -> Recipe:
    """Read a recipe file.

    Parameters
    ----------
    path : path
        A TOML file with the tables of `Recipe`.

    Raises
    ------
    RecipeError
        If a key is unknown (the nearest known one is named), of the wrong type, or contradicts another.
    """
    with Path(path).open("rb") as stream:
        raw = tomllib.load(stream)
    return _build(Recipe, raw, where=str(path))


def _build(kind: Any, raw: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
            raise RecipeError(f"{where}: unknown key {key!r}{hint}")
        values[key] = _value(str(known[key].type), value, f"{where}: {key}")
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from None


_TABLES = {"Vision": Vision, "Language": Language, "Stage": Stage, "Export": Export}


def _value(kind: str, value: Any, where: str) -> Any:
    if kind in _TABLES:
        if not isinstance(value, dict):
            raise RecipeError(f"{where} must be a table")
        return _build(_TABLES[kind], value, where)
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(type(v) is int for v in value):
            raise RecipeError(f"{where} must be a list of integers, got {value!r}")
        return tuple(value)
    accepted = {"int": (int,), "float": (int, float), "str": (str,)}[kind]
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise RecipeError(f"{where} must be of type {kind}, got {value!r}")
    return float(value) if kind == "float" else value
