"""The recipe of a two-stage run: LLaVA's training as one file of typed tables.

The tables are those of `LlavaRecipe`. `astrollava_training.config` has the other kind of recipe,
from scratch; `astrollava_training.kinds` tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from astrollava_training.tables import RecipeError, check_name

__all__ = [
    "LORA_TARGETS",
    "Data",
    "LlavaRecipe",
    "Lora",
    "Model",
    "Part",
    "Stage",
    "Train",
]

Part = Literal["tower", "projector", "language"]
"""What a stage may train; a language model under LoRA is trained by its adapter."""

LORA_TARGETS: Final = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip
"""Every matrix inside the layers of a Llama or Qwen2: what the original LLaVA adapts."""


@dataclass(frozen=True)
class Model:
    """What the model is assembled from. Names are folders, or repositories of the Hugging Face hub.

    Attributes
    ----------
    start : str
        A LLaVA checkpoint, as transformers or the original code saved it; or
    tower, language : str
        a vision tower and a language model, with a projector that begins at random. The tower is
        a CLIP or SigLIP of transformers or, as ``open_clip:NAME`` or ``open_clip:NAME:PRETRAINED``,
        a ViT of open_clip. With `start`, `tower` takes the place of the checkpoint's own, and the
        projector begins at random again.
    projector : {"mlp2x_gelu", "pixel-shuffle"}, optional
        LLaVA-1.5's, or InternVL's: four patches become one token, a quarter as many. By default
        the checkpoint's own, and LLaVA-1.5's for a new one.
    feature_layer : int, optional
        Hidden state of the tower that the projector reads; by default the checkpoint's own, and -2,
        the output of the last layer but one, for a new one.
    """

    start: str = ""
    tower: str = ""
    language: str = ""
    projector: Literal["mlp2x_gelu", "pixel-shuffle"] | None = None
    feature_layer: int | None = None

    def __post_init__(self) -> None:
        if self.start and self.language:
            raise RecipeError(
                f"model.start {self.start!r} and model.language {self.language!r}",
                expected="one of them: the checkpoint has a language model of its own",
            )
        if not self.start and not (self.tower and self.language):
            raise RecipeError(
                "the model has no beginning",
                expected="model.start, or model.tower and model.language",
            )

    @property
    def new_projector(self) -> bool:
        """Whether the projector begins at random."""
        return not self.start or bool(self.tower)


@dataclass(frozen=True)
class Data:
    """How text and pictures become what the model reads; what is read is in the stages.

    Attributes
    ----------
    images : str
        Folder that paths of pictures in LLaVA's JSON begin at, inside the root of the data; shards
        bring their own pictures.
    length : int
        Tokens of a sequence, those of the picture among them. Of a longer conversation the last
        turns are left out, or all of it where its first answer does not fit.
    pack : bool
        Fill each sequence with several conversations that do not see each other.
    render : {"pad", "crop", "stretch"}
        How pictures are made square; padding is of the colour of the tower's mean, as LLaVA's.
    corrupt : float
        Largest share of rows that may be left out, in [0, 1), before the run is ended: corrupt, of
        a picture that is, or too long.
    held_out : int
        Conversations of each stage that are not trained on, nor others about their pictures, but
        shown to the model at each evaluation.
    """

    images: str = "."
    length: int = 2048
    pack: bool = True
    render: Literal["pad", "crop", "stretch"] = "pad"
    corrupt: float = 0.01
    held_out: int = 8

    def __post_init__(self) -> None:
        _check_at_least("data", {"length": (self.length, 16), "held_out": (self.held_out, 0)})
        if not 0 <= self.corrupt < 1:
            raise RecipeError(f"data.corrupt is {self.corrupt}", expected="a share in [0, 1)")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters of the language model (Hu et al. 2021, arXiv:2106.09685).

    Attributes
    ----------
    rank : int
    alpha : float
        The adapter is scaled by ``alpha / rank``.
    dropout : float
        In [0, 1).
    targets : tuple of str
        Matrices of each layer that get one, of `LORA_TARGETS`.
    """

    rank: int = 128
    alpha: float = 256.0
    dropout: float = 0.05
    targets: tuple[
        Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], ...
    ] = LORA_TARGETS

    def __post_init__(self) -> None:
        _check_at_least("lora", {"rank": (self.rank, 1)})
        if not (self.alpha > 0 and 0 <= self.dropout < 1):
            raise RecipeError(
                f"lora.alpha {self.alpha} and lora.dropout {self.dropout}",
                expected="an alpha above 0 and a dropout in [0, 1)",
            )
        if not self.targets:
            raise RecipeError("lora.targets is empty", expected=", ".join(LORA_TARGETS))


@dataclass(frozen=True)
class Stage:
    """One of the two stages.

    Attributes
    ----------
    data : tuple of str
        LLaVA-format JSON files (``.json``, ``.jsonl``) or shards (``.tar``), inside the root of the
        data; ``*`` and ``?`` stand for what they stand for in a shell.
    template : {"plain", "v1", "chat"}
        ``plain``: picture and caption. ``v1``: questions and answers, as in LLaVA-1.5. ``chat``:
        the same in the template that comes with the language model's tokenizer.
    trains : tuple of Part
        All else is frozen, and proven so.
    lr : float
        Peak of the learning rate.
    batch : int
        Conversations a step, over all processes and accumulated sequences.
    epochs : float
        Passes over the data.
    warmup : float
        Share of the steps in which the learning rate rises, in [0, 1); it falls along a cosine.
    weight_decay : float
        Of matrices; norms and biases have none.
    lora : Lora, optional
        Adapters in place of the language model's own weights.
    """

    data: tuple[str, ...]
    template: Literal["plain", "v1", "chat"]
    trains: tuple[Part, ...]
    lr: float
    batch: int
    epochs: float = 1.0
    warmup: float = 0.03
    weight_decay: float = 0.0
    lora: Lora | None = None

    def __post_init__(self) -> None:
        _check_at_least("a stage", {"batch": (self.batch, 1)})
        if not (self.lr > 0 and self.epochs > 0 and self.weight_decay >= 0):
            raise RecipeError(
                f"lr {self.lr}, epochs {self.epochs}, weight_decay {self.weight_decay}",
                expected="lr and epochs above 0, and no negative decay",
            )
        if not 0 <= self.warmup < 1:
            raise RecipeError(f"warmup is {self.warmup}", expected="warmup in [0, 1)")
        if not self.data:
            raise RecipeError("a stage without data", expected="one file at least")
        if not self.trains or len(set(self.trains)) != len(self.trains):
            raise RecipeError(
                f"a stage trains {list(self.trains)}",
                expected="tower, projector or language, each once",
            )
        if self.lora is not None and "language" not in self.trains:
            raise RecipeError(
                f"a stage with LoRA trains {list(self.trains)}",
                expected="the language model among them: its adapters are what is trained",
            )


@dataclass(frozen=True)
class Train:
    """How both stages are computed: nothing here changes what is learnt beyond rounding.

    Attributes
    ----------
    dtype : {"bf16", "fp32"}
        Of weights and gradients.
    optimizer : {"adamw", "adamw-8bit", "factored"}
        AdamW with states in float32 or in eight bits, or with a factored second moment.
    rounding : {"stochastic", "nearest"}
        Of weights in bf16, which round most steps at a small learning rate away.
    rows : int
        Sequences computed at once on one device; what a batch has more of is accumulated.
    checkpointing : {"none", "selective", "full"}
        Activations computed again in the backward pass.
    compile : bool
        Whether torch.compile is used.
    clip : float
        Largest norm of a gradient.
    save_every, evaluate_every : int
        Steps between checkpoints, and between evaluations; there is one of each at the end.
    """

    dtype: Literal["bf16", "fp32"] = "bf16"
    optimizer: Literal["adamw", "adamw-8bit", "factored"] = "adamw-8bit"
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    rows: int = 4
    checkpointing: Literal["none", "selective", "full"] = "selective"
    compile: bool = True
    clip: float = 1.0
    save_every: int = 200
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        _check_at_least(
            "train",
            {
                "rows": (self.rows, 1),
                "save_every": (self.save_every, 1),
                "evaluate_every": (self.evaluate_every, 1),
            },
        )
        if not self.clip > 0:
            raise RecipeError(f"train.clip is {self.clip}", expected="above 0")


@dataclass(frozen=True)
class LlavaRecipe:
    """Everything a two-stage run depends on, the data and the pretrained weights apart.

    Attributes
    ----------
    name : str
        Of the run, its folder and the model: the plain name of a folder.
    seed : int
        Decides every random choice: the new projector, the order of the data, dropout, rounding.
    licence : str
        SPDX identifier for the exported files; empty says nothing.
    model : Model
    data : Data
    stage1, stage2 : Stage, optional
        One of them may be left out; what is left out is not run.
    train : Train
    """

    name: str
    model: Model
    seed: int = 0
    licence: str = ""
    data: Data = field(default_factory=Data)
    stage1: Stage | None = None
    stage2: Stage | None = None
    train: Train = field(default_factory=Train)

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.stages:
            raise RecipeError("the recipe has no stage", expected="[stage1], [stage2] or both")
        trained = {part for stage in self.stages.values() for part in stage.trains}
        if self.model.new_projector and "projector" not in trained:
            raise RecipeError(
                "the projector begins at random and no stage trains it",
                expected='"projector" in trains of a stage',
            )
        if self.stage1 is not None and self.stage1.lora is not None:
            raise RecipeError(
                "stage1 has LoRA", expected="LoRA in stage2: stage 1 aligns the projector"
            )

    @property
    def stages(self) -> dict[int, Stage]:
        """The stages that are run, by number, in their order."""
        both = {1: self.stage1, 2: self.stage2}
        return {number: stage for number, stage in both.items() if stage is not None}


def _check_at_least(table: str, values: dict[str, tuple[int, int]]) -> None:
    for name, (value, least) in values.items():
        if value < least:
            raise RecipeError(f"{table}: {name} is {value}", expected=f"at least {least}")
