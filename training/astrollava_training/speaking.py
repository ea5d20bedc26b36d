"""The language model and the projector: words alone, then the two stages of the paper's recipe.

``words`` warms up what that recipe takes from elsewhere (Vicuna); ``align`` is its stage 1, the
projector alone on captions; ``instruct`` its stage 2, language model and projector on conversations
with the tower frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import LlavaForConditionalGeneration

from astrollava_training.config import Recipe, Stage
from astrollava_training.data.facts import Facts
from astrollava_training.data.language import caption, conversation
from astrollava_training.data.tokens import Sample, collate, plain, tokenize
from astrollava_training.seeing import Encoded
from astrollava_training.train import Log, fit

__all__ = ["align", "instruct", "words"]

_Batch = tuple[list[Sample], NDArray[np.float16] | None]


def words(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    tokenizer: Tokenizer,
    facts: Sequence[Facts],
    log: Log,
) -> None:
    """Teach the language model the language of conversations, without pictures, in place."""

    def sample(known: Facts, rng: np.random.Generator) -> Sample:
        return tokenize(conversation(known, rng), tokenizer, 0)

    _fit(
        "words",
        model,
        [model.model.language_model, model.lm_head],
        recipe.words,
        _batches(recipe.words, facts, None, sample, recipe.seed_of("words")),
        log,
    )


def align(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    tokenizer: Tokenizer,
    encoded: Encoded,
    log: Log,
) -> None:
    """Stage 1: the projector alone, on captions, in place."""

    def sample(known: Facts, rng: np.random.Generator) -> Sample:
        return plain(caption(known, rng), tokenizer, recipe.image_tokens)

    _fit(
        "align",
        model,
        [model.model.multi_modal_projector],
        recipe.align,
        _batches(recipe.align, encoded.facts, encoded.features, sample, recipe.seed_of("align")),
        log,
    )


def instruct(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    tokenizer: Tokenizer,
    encoded: Encoded,
    log: Log,
) -> None:
    """Stage 2: language model and projector, on conversations, in place."""

    def sample(known: Facts, rng: np.random.Generator) -> Sample:
        return tokenize(conversation(known, rng), tokenizer, recipe.image_tokens)

    stage = recipe.instruct
    _fit(
        "instruct",
        model,
        [model.model.multi_modal_projector, model.model.language_model, model.lm_head],
        stage,
        _batches(stage, encoded.facts, encoded.features, sample, recipe.seed_of("instruct")),
        log,
    )


def _batches(
    stage: Stage,
    facts: Sequence[Facts],
    features: NDArray[np.float16] | None,
    sample: Callable[[Facts, np.random.Generator], Sample],
    seed: int,
) -> Iterator[_Batch]:
    """Draw pictures in random order, pass after pass, and say something new of each."""
    rng = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for _ in range(stage.steps):
        while len(order) < stage.batch_size:
            order = np.concatenate([order, rng.permutation(len(facts))])
        chosen, order = order[: stage.batch_size], order[stage.batch_size :]
        samples = [sample(facts[i], rng) for i in chosen]
        yield samples, None if features is None else np.asarray(features[chosen])


def _fit(
    name: str,
    model: LlavaForConditionalGeneration,
    trained: Sequence[nn.Module],
    stage: Stage,
    batches: Iterator[_Batch],
    log: Log,
) -> None:
    """Train some parts while the others stay frozen."""
    model.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)
    model.train()
    fit(name, trained, stage, batches, lambda batch: _loss(model, *batch), log)
    model.requires_grad_(True)


def _loss(
    model: LlavaForConditionalGeneration,
    samples: Sequence[Sample],
    seen: NDArray[np.float16] | None,
) -> torch.Tensor:
    # The causal mask keeps padding on the right out of every labelled position: no padding mask is
    # needed.
    context = model.config.text_config.max_position_embeddings
    ids, labels = (torch.from_numpy(a).to(model.device) for a in collate(samples, longest=context))
    embedded = model.get_input_embeddings()(ids)
    if seen is not None:
        projected = model.model.multi_modal_projector(
            torch.from_numpy(seen).to(model.device).float()
        )
        at = ids == model.config.image_token_index
        embedded = embedded.masked_scatter(at.unsqueeze(-1), projected.to(embedded.dtype))
    hidden = model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    ahead = labels[:, 1:]
    learned = ahead >= 0
    loss: torch.Tensor = nn.functional.cross_entropy(
        model.lm_head(hidden[:, :-1][learned]).float(), ahead[learned]
    )
    return loss
