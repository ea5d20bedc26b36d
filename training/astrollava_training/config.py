"""The recipe: one TOML file says all that a run needs; a key nobody knows is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike

from astrollava.errors import InvalidRequest
from astrollava_training.tables import RecipeError, check_name, read_toml

__all__ = [
    "ENCODED_AT_ONCE",
    "Drawn",
    "Export",
    "Language",
    "Recipe",
    "RecipeError",
    "Stage",
    "Vision",
    "load_recipe",
]

_LEAST_VOCABULARY = 260  # every byte and the special tokens
# Their draws must not coincide; new ones go to the end, so that the others stay as they are.
_SEEDS = ("tower", "encode", "words", "align", "instruct", "pool", "teacher")
ENCODED_AT_ONCE = 32
"""Pictures drawn, or encoded by the finished tower, in one batch."""


@dataclass(frozen=True)
class Vision:
    """The vision tower: a SigLIP-type ViT, trained from scratch.

    Attributes
    ----------
    image_size, patch_size : int
        Sides in pixels; the tower gives ``(image_size / patch_size)²`` tokens.
    hidden_size, intermediate_size, layers, heads : int
        Shape of the transformer; the heads divide the width into even parts.
    """

    image_size: int = 128
    patch_size: int = 16
    hidden_size: int = 192
    intermediate_size: int = 768
    layers: int = 6
    heads: int = 3

    def __post_init__(self) -> None:
        _check_transformer("vision", self)
        if self.hidden_size % 4:
            raise RecipeError(
                f"vision.hidden_size is {self.hidden_size}",
                expected="a multiple of four: sines and cosines of row and column",
            )
        if self.image_size % self.patch_size:
            raise RecipeError(
                f"vision.image_size {self.image_size} and vision.patch_size {self.patch_size}",
                expected="a multiple of the patch size as the image size",
            )


@dataclass(frozen=True)
class Language:
    """The language model: a small Llama with a byte-level BPE vocabulary, trained from scratch.

    Attributes
    ----------
    vocab_size : int
        Tokens at most; a small corpus may give fewer. At least the 256 bytes and four specials.
    hidden_size, intermediate_size, layers, heads : int
        Shape of the transformer; the heads divide the width into even parts.
    context_length : int
        Tokens of picture and conversation together.
    """

    vocab_size: int = 1024
    hidden_size: int = 192
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 3
    context_length: int = 1024

    def __post_init__(self) -> None:
        _check_transformer("language", self)
        if self.vocab_size < _LEAST_VOCABULARY:
            raise RecipeError(
                f"language.vocab_size is {self.vocab_size}",
                expected=f"at least {_LEAST_VOCABULARY}, for every byte and the special tokens",
            )


@dataclass(frozen=True)
class Drawn:
    """Distinct pictures that are drawn once and kept.

    Attributes
    ----------
    pictures : int
        Rounded down to batches of `ENCODED_AT_ONCE`.
    real : float
        Expected share of real pictures, each varied anew, in [0, 1]; the others are simulated.
    """

    pictures: int
    real: float = 0.33

    def __post_init__(self) -> None:
        if self.pictures < ENCODED_AT_ONCE:
            raise RecipeError(
                f"pictures drawn are {self.pictures}",
                expected=f"at least {ENCODED_AT_ONCE}",
            )
        if not 0 <= self.real <= 1:
            raise RecipeError(f"the share of real pictures is {self.real}", expected="0 to 1")

    @property
    def batches(self) -> int:
        """Batches drawn."""
        return self.pictures // ENCODED_AT_ONCE

    @property
    def count(self) -> int:
        """Pictures drawn."""
        return self.batches * ENCODED_AT_ONCE


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes
    ----------
    pictures : int
        Pictures seen (for the language warm-up: conversations).
    batch_size : int
        Pictures in a step.
    learning_rate, weight_decay : float
        Peak of the cosine schedule and AdamW's decay.
    warmup : float
        Share of the steps in which the learning rate rises, in [0, 1).
    """

    pictures: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.03

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.pictures:
            raise RecipeError(
                f"a stage of {self.pictures} pictures in batches of {self.batch_size}",
                expected="at least one whole batch, of at least one picture",
            )
        if not (self.learning_rate > 0 and self.weight_decay >= 0):
            raise RecipeError(
                f"learning rate {self.learning_rate} and weight decay {self.weight_decay}",
                expected="a learning rate above 0 and no negative decay",
            )
        if not 0 <= self.warmup < 1:
            raise RecipeError(f"warmup is {self.warmup}", expected="warmup in [0, 1)")

    @property
    def steps(self) -> int:
        """Batches that the pictures fill; what is left over is not seen."""
        return self.pictures // self.batch_size


@dataclass(frozen=True)
class Export:
    """How the trained model is written.

    Attributes
    ----------
    name : str
        Of the model and its files.
    quantize, mmproj_quantize : str
        Storage of the language model, and of tower and projector; see
        `astrollava_training.export.QUANTIZATIONS`.
    render_rule : {"pad", "crop", "stretch"}
        How a picture is brought to the tower's square input.
    render_background : (int, int, int)
        Colour of the padding.
    licence : str
        SPDX identifier of the licence of the weights.
    """

    name: str = "astrollava-embedded-v0"
    quantize: str = "q8_0"
    mmproj_quantize: str = "q8_0"
    render_rule: str = "pad"
    render_background: tuple[int, int, int] = (0, 0, 0)
    licence: str = "MIT"

    def __post_init__(self) -> None:
        # Imported here, with gguf behind it: a typo should not show after hours of training.
        from astrollava.engine.quantize import check_type
        from astrollava_training.export import About

        check_name(self.name, "export.name")
        if len(self.render_background) != 3:
            raise RecipeError(
                f"export.render_background is {list(self.render_background)}",
                expected="red, green and blue",
            )
        try:
            check_type(self.quantize)
            check_type(self.mmproj_quantize, projector=True)
            About(render_rule=self.render_rule, render_background=self.render_background)
        except InvalidRequest as error:
            raise RecipeError(
                f"export: {error.problem}", expected=error.expected, hint=error.hint
            ) from None


@dataclass(frozen=True)
class Recipe:
    """Everything a run of the from-scratch recipe depends on, the pictures apart.

    Attributes
    ----------
    name : str
        Of the run and, by default, of its folders.
    seed : int
        Decides every random choice. Stages draw from ``seed`` to ``seed + 6``: seeds of runs that
        are to be independent lie further apart.
    vision, language : Vision, Language
        The two transformers.
    pool : Drawn
        Pictures that teacher and tower learn from, shown again and again, turned and mirrored.
    teacher, tower : Stage
        The convolutional network that learns the pool, and the tower that learns from it.
    encoded : Drawn
        Pictures that the finished tower encodes, once, for the stages after it: they never move
        the tower, so its features can be kept. None of them is in the pool.
    words, align, instruct : Stage
        The stages after it, in their order.
    export : Export
        How the result is written.
    """

    name: str
    seed: int = 0
    vision: Vision = field(default_factory=Vision)
    language: Language = field(default_factory=Language)
    pool: Drawn = field(default_factory=lambda: Drawn(48_000))
    teacher: Stage = field(default_factory=lambda: Stage(pictures=200_000))
    tower: Stage = field(default_factory=lambda: Stage(pictures=200_000))
    encoded: Drawn = field(default_factory=lambda: Drawn(24_000, real=0.5))
    words: Stage = field(default_factory=lambda: Stage(pictures=16_000))
    align: Stage = field(default_factory=lambda: Stage(pictures=12_000))
    instruct: Stage = field(default_factory=lambda: Stage(pictures=60_000))
    export: Export = field(default_factory=Export)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.image_tokens >= self.language.context_length:
            raise RecipeError(
                f"a picture takes {self.image_tokens} tokens of a context of "
                f"{self.language.context_length}",
                expected="room for words beside the picture",
                hint="Raise language.context_length or vision.patch_size",
            )

    def seed_of(self, draws: str) -> int:
        """Return the seed of the draws of a stage, of ``"pool"`` or of ``"encode"``."""
        return self.seed + _SEEDS.index(draws)

    @property
    def image_tokens(self) -> int:
        """Tokens a picture takes in the language model."""
        return (self.vision.image_size // self.vision.patch_size) ** 2


def load_recipe(path: str | PathLike[str]) -> Recipe:
    """Read a recipe file.

    Parameters
    ----------
    path : path
        A TOML file with the tables of `Recipe`.

    Raises
    ------
    RecipeError
        If the file is no TOML, or a key is unknown (the nearest known one is named), missing, of
        the wrong type, or contradicts another.
    FileNotFoundError
        If there is no such file.
    """
    return read_toml(Recipe, path)


def _check_transformer(table: str, part: Vision | Language) -> None:
    """Raise unless all sizes are positive and the heads divide the width into even parts."""
    for name, size in vars(part).items():
        if size < 1:
            raise RecipeError(f"{table}.{name} is {size}", expected="at least 1")
    if part.hidden_size % part.heads or (part.hidden_size // part.heads) % 2:
        raise RecipeError(
            f"{table}.heads {part.heads} and {table}.hidden_size {part.hidden_size}",
            expected="heads that divide the width into even parts",
        )
