"""A LLaVA of what a recipe names: tower, projector, language model and tokenizer, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, LlavaConfig

from astrollava.errors import InvalidCheckpoint, UnsupportedModel
from astrollava.models.checkpoint import LANGUAGES, open_checkpoint, read_language, read_tower
from astrollava.parity.loading import load_model, quiet
from astrollava.parity.pixel_shuffle import FRAME, model_class
from astrollava_training.dataset.rows import IMAGE
from astrollava_training.dataset.templates import V1
from astrollava_training.llava.exportable import check_tokenizer
from astrollava_training.llava.sources import find_folder, read_config
from astrollava_training.llava.towers import VisionTower, load_tower, select_strategy
from astrollava_training.recipe import LlavaRecipe, Model
from astrollava_training.tables import RecipeError

__all__ = ["DTYPES", "Assembled", "Pictures", "assemble"]

DTYPES: Final = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""What ``train.dtype`` names."""

_JOINED: Final = 2  # patches along a side under pixel shuffle, as InternVL has it
_ROWS: Final = (
    64  # of the embeddings, a multiple: matrices of odd sizes are slow and do not quantize
)


@dataclass(frozen=True)
class Pictures:
    """How a picture becomes what the model reads.

    Attributes
    ----------
    size : int
        Side in pixels of the tower's input.
    rule : {"pad", "crop", "stretch"}
        How a picture is made square.
    background : (int, int, int)
        Colour of the padding.
    mean, std : (float, float, float)
        Normalisation of values in [0, 1], per channel.
    tokens : int
        Features of a picture.
    token : int
        Id of the token whose place each of them takes.
    ids : tuple of int
        All that stands in the text for a picture: `token` once for each feature, and, under pixel
        shuffle, what llama.cpp writes before and after them.
    """

    size: int
    rule: str
    background: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tokens: int
    token: int
    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Assembled:
    """A model ready to train.

    Attributes
    ----------
    model : LlavaForConditionalGeneration
        On the CPU, in the recipe's dtype.
    tokenizer : transformers tokenizer
        A fast one, which knows ``<image>``; its chat template is LLaVA's ``v1`` unless a stage
        takes its own.
    pictures : Pictures
    """

    model: Any
    tokenizer: Any
    pictures: Pictures


def assemble(recipe: LlavaRecipe) -> Assembled:
    """Load or put together the model that a recipe begins with.

    The same recipe and weights give the same model: what is new, a projector, is drawn from the
    recipe's seed.

    Raises
    ------
    ModelNotFound
        If something it names is neither here nor to be had.
    UnsupportedModel
        If parts do not go together, or llama.cpp could not compute the model or would split text
        in another way than its tokenizer.
    InvalidCheckpoint
        If weights are missing.
    RecipeError
        If the recipe asks of a checkpoint what this is not.
    EngineUnavailable
        If a tower of open_clip is asked for and open_clip is missing.
    """
    asked, dtype = recipe.model, DTYPES[recipe.train.dtype]
    if asked.start:
        model, tokenizer, mean, std = _start(asked, dtype)
    else:
        folder = find_folder(asked.language, "the language model")
        language, tokenizer = _language(folder, dtype)
        model, mean, std = None, (), ()
    if asked.tower:
        tower = load_tower(asked.tower, dtype)
        if model is not None:
            language = _Language(
                model.model.language_model, model.lm_head, model.config.text_config
            )
        _add_image_token(language, tokenizer)
        model = _join(tower, language, tokenizer, asked, recipe.seed, dtype)
        mean, std = tower.mean, tower.std
    if all(stage.template != "chat" for stage in recipe.stages.values()):
        tokenizer.chat_template = V1
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    pictures = _pictures(model, tokenizer, recipe, mean, std)
    check_tokenizer(model, tokenizer, asked.start or asked.language)
    return Assembled(model.train(), tokenizer, pictures)


@dataclass(eq=False)
class _Language:
    """A language model in its two halves."""

    inner: Any
    head: Any
    config: Any


def _start(asked: Model, dtype: torch.dtype) -> tuple[Any, Any, Any, Any]:
    """Load a LLaVA checkpoint of either layout."""
    checkpoint = open_checkpoint(find_folder(asked.start, "the checkpoint"))
    own = "mlp2x_gelu" if checkpoint.joined == 1 else "pixel-shuffle"
    if not asked.tower:
        layer = checkpoint.feature_layer
        wanted = asked.feature_layer
        if asked.projector not in (None, own):
            raise RecipeError(
                f"model.projector is {asked.projector!r}, that of {asked.start} is {own!r}",
                expected="the checkpoint's, or a new one behind model.tower",
            )
        if wanted is not None and wanted % (checkpoint.tower.layers + 1) != layer:
            raise RecipeError(
                f"model.feature_layer is {wanted}, the projector of {asked.start} was trained on "
                f"{layer - checkpoint.tower.layers - 1}",
                expected="the checkpoint's",
            )
    model = load_model(checkpoint, dtype)
    tokenizer = _tokenizer(checkpoint.tokenizer_folder)
    if checkpoint.layout == "original-llava" and not asked.tower:
        # Its code needs no token for the picture.
        language = _Language(model.model.language_model, model.lm_head, model.config.text_config)
        model.config.image_token_id = _add_image_token(language, tokenizer)
    elif checkpoint.layout == "hf-llava":
        known = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
        if known != IMAGE:
            raise UnsupportedModel(
                f"the picture's token in {asked.start} is {known!r}", expected=repr(IMAGE)
            )
    return model, tokenizer, checkpoint.rendering.mean, checkpoint.rendering.std


def _language(folder: Any, dtype: torch.dtype) -> tuple[_Language, Any]:
    what = "the language model"
    kind = read_config(folder, what).get("model_type")
    if kind not in LANGUAGES:
        raise UnsupportedModel(
            f"{what} in {folder} is of the type {kind!r}",
            expected=f"one of {', '.join(LANGUAGES)}",
        )
    with quiet():
        net, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    if found["missing_keys"]:
        raise InvalidCheckpoint(
            f"{what} in {folder} lacks {len(found['missing_keys'])} weights, such as "
            f"{sorted(found['missing_keys'])[0]}",
            hint="Download it to its end",
        )
    return _Language(net.model, net.lm_head, net.config), _tokenizer(folder)


def _tokenizer(folder: Any) -> Any:
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (ValueError, ImportError, OSError) as error:
        raise InvalidCheckpoint(
            f"the tokenizer in {folder} cannot be read: {error}",
            expected="a tokenizer.json, or a tokenizer.model",
            hint="A tokenizer.model is read with the packages sentencepiece and protobuf",
        ) from error
    if not getattr(tokenizer, "is_fast", False) or tokenizer.eos_token is None:
        raise UnsupportedModel(
            f"the tokenizer in {folder} has no fast form, or no token that ends a text",
            expected="a tokenizer.json, and an eos_token in tokenizer_config.json",
        )
    return tokenizer


@torch.no_grad()
def _add_image_token(language: _Language, tokenizer: Any) -> int:
    """Give the tokenizer a token for the picture, and the model a row for it; return its id.

    The row is never read, and its logit never learnt: the mean of all others makes it an unlikely
    word, as LLaVA does it.
    """
    if IMAGE not in tokenizer.get_vocab():
        tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)], True)
    number = int(tokenizer.convert_tokens_to_ids(IMAGE))
    tables = [language.inner.embed_tokens]
    if language.head.weight is not language.inner.embed_tokens.weight:
        tables.append(language.head)
    rows = tables[0].weight.shape[0]
    if number >= rows:
        more = -(-(number + 1) // _ROWS) * _ROWS
        tied = len(tables) == 1
        for table in tables:
            old = table.weight
            mean = old.float().mean(0, keepdim=True).to(old.dtype)
            table.weight = torch.nn.Parameter(torch.cat([old, mean.expand(more - rows, -1)]))
        if tied:
            language.head.weight = language.inner.embed_tokens.weight
        language.inner.embed_tokens.num_embeddings = language.head.out_features = more
        language.config.vocab_size = language.inner.config.vocab_size = more
    return number


def _join(
    tower: VisionTower, language: _Language, tokenizer: Any, asked: Model, seed: int, dtype: Any
) -> Any:
    """Put a tower and a language model together, with a projector that begins at random."""
    seen = tower.model.config
    strategy, joined = select_strategy(tower.model), 1
    extra: dict[str, Any] = {}
    if asked.projector == "pixel-shuffle":
        joined = extra["pixel_shuffle"] = _JOINED
        if strategy != "default":
            raise UnsupportedModel(
                f"the projector 'pixel-shuffle' behind {asked.tower!r}",
                expected="a CLIP tower: llama.cpp's internvl wants a class token",
            )
    side = seen.image_size // seen.patch_size
    if side % joined:
        raise UnsupportedModel(
            f"the projector 'pixel-shuffle' behind a tower of {side} x {side} patches",
            expected=f"a multiple of {joined} along each side",
        )
    layer = -2 if asked.feature_layer is None else asked.feature_layer
    if not -seen.num_hidden_layers <= layer <= seen.num_hidden_layers or layer == 0:
        raise RecipeError(
            f"model.feature_layer is {layer}",
            expected=f"a hidden state of the tower's {seen.num_hidden_layers} layers",
        )
    tied = language.head.weight is language.inner.embed_tokens.weight
    config = LlavaConfig(
        vision_config=seen,
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(side // joined) ** 2,
        vision_feature_layer=layer,
        vision_feature_select_strategy=strategy,
        tie_word_embeddings=tied,
        **extra,
    )
    # What the converter would refuse at the end is refused before anything is trained.
    read_tower(config.vision_config.to_dict(), "vision tower")
    text = config.text_config.to_dict()
    read_language(text, "language model", text["model_type"], tied=tied)
    with torch.device("meta"):
        model = model_class(config)(config)
    model.model.vision_tower = tower.model
    model.model.language_model = language.inner
    model.lm_head = language.head
    model.model.multi_modal_projector.to_empty(device="cpu").to(dtype)
    _draw(model.model.multi_modal_projector, seed)
    return model


@torch.no_grad()
def _draw(projector: Any, seed: int) -> None:
    """Begin a projector as torch begins linear layers, from a seed, whatever was drawn before."""
    generator = torch.Generator().manual_seed(seed)
    for module in projector.modules():
        if isinstance(module, torch.nn.Linear):
            bound = module.in_features**-0.5
            for values in (module.weight, module.bias):
                values.copy_(torch.empty(values.shape).uniform_(-bound, bound, generator=generator))
        elif isinstance(module, torch.nn.LayerNorm):
            module.reset_parameters()


def _pictures(model: Any, tokenizer: Any, recipe: LlavaRecipe, mean: Any, std: Any) -> Pictures:
    config = model.config
    tokens = int(config.image_seq_length)
    joined = int(getattr(config, "pixel_shuffle", None) or 1)
    size = int(config.vision_config.image_size)
    tokens = (size // config.vision_config.patch_size // joined) ** 2
    config.image_seq_length = tokens
    if tokens >= recipe.data.length:
        raise RecipeError(
            f"a picture takes {tokens} of the {recipe.data.length} tokens of data.length",
            expected="room for words beside the picture",
        )
    token = int(config.image_token_id)
    frame = FRAME if joined > 1 else ("", "")
    before, after = (tokenizer.encode(text, add_special_tokens=False) for text in frame)
    return Pictures(
        size=size,
        rule=recipe.data.render,
        background=tuple(int(255 * value) for value in mean),  # type: ignore[arg-type]
        mean=tuple(mean),
        std=tuple(std),
        tokens=tokens,
        token=token,
        ids=(*before, *[token] * tokens, *after),
    )
