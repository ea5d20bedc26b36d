"""The stages of the from-scratch recipe, each a function of the model and the data before it.

``tower`` and ``words`` warm up what the paper's recipe takes from elsewhere (CLIP and Vicuna);
``align`` is its stage 1, the projector alone on captions; ``instruct`` its stage 2, language model
and projector on conversations with the tower frozen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import LlavaForConditionalGeneration

from astrollava_training.config import Recipe, Stage
from astrollava_training.data.facts import GROUPS, LABELS, TARGETS, Facts
from astrollava_training.data.language import caption, conversation
from astrollava_training.data.stream import Batch, stream
from astrollava_training.data.tokens import Sample, collate, plain, tokenize
from astrollava_training.model import features, image_tokens
from astrollava_training.train import Log, fit

__all__ = ["Encoded", "align", "encode", "instruct", "label_accuracy", "tower", "words"]

Pictures = Sequence[tuple[NDArray[np.uint8], Facts]]

# Draws of different stages must not coincide: each takes its seeds from a range of its own.
_TOWER, _ENCODE, _WORDS, _ALIGN, _INSTRUCT = range(5)


@dataclass(frozen=True)
class Encoded:
    """Features of pictures, float16 (n, tokens, width), and what is known about each."""

    features: NDArray[np.float16]
    facts: list[Facts]


class _Readout(nn.Module):
    """Answers to the questions of the tree from the mean patch; dropped after the warm-up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.answers = nn.Linear(width, len(TARGETS))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.answers(self.norm(states.mean(1)))
        return answers


def _tree_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with the voters' fractions, question by question, each as far as it was reached."""
    total = logits.new_zeros(())
    for question, where in GROUPS:
        per_picture = -(targets[:, where] * logits[:, where].log_softmax(-1)).sum(-1)
        emphasis = 2.0 if question == "label" else 1.0
        total = total + emphasis * (per_picture * weights[:, where.start]).mean()
    return total


def tower(
    model: LlavaForConditionalGeneration, recipe: Recipe, train: Pictures, val: Pictures, log: Log
) -> None:
    """Train the tower to answer the Galaxy Zoo 2 tree, in place."""
    stage = recipe.tower
    readout = _Readout(recipe.vision.hidden_size)
    count = stage.pictures // stage.batch_size
    batches = stream(
        train,
        count=count,
        batch_size=stage.batch_size,
        real_share=stage.real,
        size=recipe.vision.image_size,
        seed=recipe.seed + _TOWER,
    )

    def loss_of(batch: Batch) -> torch.Tensor:
        vectors = [facts.vector() for facts in batch.facts]
        targets, weights = (torch.from_numpy(np.stack(part)) for part in zip(*vectors, strict=True))
        return _tree_loss(readout(features(model, torch.from_numpy(batch.rgb))), targets, weights)

    model.train()
    fit("tower", [model.model.vision_tower, readout], stage, batches, loss_of, log)
    log("tower", val_label_accuracy=label_accuracy(model, readout, val, recipe.vision.image_size))


@torch.inference_mode()
def label_accuracy(
    model: LlavaForConditionalGeneration, readout: nn.Module, pictures: Pictures, size: int
) -> float:
    """Share of labelled real pictures whose Galaxy10 class the warm-up's readout names."""
    from PIL import Image

    where = dict(GROUPS)["label"]
    labelled = [(rgb, facts.label) for rgb, facts in pictures if facts.label is not None]
    resized = np.stack(
        [
            np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BOX))
            for rgb, _ in labelled
        ]
    )
    model.eval()
    logits = readout(features(model, torch.from_numpy(resized)))[:, where]
    named = [LABELS[int(i)] for i in logits.argmax(-1)]
    return float(np.mean([name == label for name, (_, label) in zip(named, labelled, strict=True)]))


@torch.inference_mode()
def encode(
    model: LlavaForConditionalGeneration, recipe: Recipe, train: Pictures, log: Log
) -> Encoded:
    """Encode ``recipe.encoded`` pictures once for the stages that leave the tower alone."""
    size, batch_size = recipe.vision.image_size, 32
    shape = (
        recipe.encoded // batch_size * batch_size,
        image_tokens(recipe),
        recipe.vision.hidden_size,
    )
    kept, facts = np.empty(shape, np.float16), list[Facts]()
    model.eval()
    for batch in stream(
        train,
        count=shape[0] // batch_size,
        batch_size=batch_size,
        real_share=recipe.instruct.real,
        size=size,
        seed=recipe.seed + _ENCODE,
    ):
        kept[len(facts) : len(facts) + batch_size] = features(
            model, torch.from_numpy(batch.rgb)
        ).numpy()
        facts.extend(batch.facts)
    log("encode", pictures=len(facts))
    return Encoded(kept, facts)


def _language_loss(
    model: LlavaForConditionalGeneration,
    samples: Sequence[Sample],
    seen: NDArray[np.float16] | None,
) -> torch.Tensor:
    # The causal mask keeps padding on the right out of every labelled position: no padding mask is
    # needed.
    ids, labels, _ = (torch.from_numpy(part) for part in collate(samples))
    embedded = model.get_input_embeddings()(ids)
    if seen is not None:
        projected = model.model.multi_modal_projector(torch.from_numpy(seen).float())
        at = ids == model.config.image_token_index
        embedded = embedded.masked_scatter(at.unsqueeze(-1), projected)
    hidden = model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    ahead = labels[:, 1:]
    learned = ahead >= 0
    loss: torch.Tensor = nn.functional.cross_entropy(
        model.lm_head(hidden[:, :-1][learned]), ahead[learned]
    )
    return loss


def _draws(
    stage: Stage, total: int, seed: int
) -> Iterator[tuple[np.random.Generator, NDArray[np.int64]]]:
    """Draw batches in random order, pass after pass."""
    rng = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for _ in range(max(stage.pictures // stage.batch_size, 1)):
        while len(order) < stage.batch_size:
            order = np.concatenate([order, rng.permutation(total)])
        yield rng, order[: stage.batch_size]
        order = order[stage.batch_size :]


def words(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    tokenizer: Tokenizer,
    facts: Sequence[Facts],
    log: Log,
) -> None:
    """Teach the language model the language of conversations, without pictures, in place."""

    def batches() -> Iterator[list[Sample]]:
        for rng, chosen in _draws(recipe.words, len(facts), recipe.seed + _WORDS):
            yield [tokenize(conversation(facts[i], rng), tokenizer, 0) for i in chosen]

    model.train()
    trained = [model.model.language_model, model.lm_head]
    fit(
        "words",
        trained,
        recipe.words,
        batches(),
        lambda samples: _language_loss(model, samples, None),
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
    tokens = image_tokens(recipe)

    def batches() -> Iterator[tuple[list[Sample], NDArray[np.float16]]]:
        for rng, chosen in _draws(recipe.align, len(encoded.facts), recipe.seed + _ALIGN):
            samples = [plain(caption(encoded.facts[i], rng), tokenizer, tokens) for i in chosen]
            yield samples, encoded.features[chosen]

    _fit_seeing("align", model, [model.model.multi_modal_projector], recipe.align, batches(), log)


def instruct(
    model: LlavaForConditionalGeneration,
    recipe: Recipe,
    tokenizer: Tokenizer,
    encoded: Encoded,
    log: Log,
) -> None:
    """Stage 2: language model and projector, on conversations, in place."""
    tokens = image_tokens(recipe)

    def batches() -> Iterator[tuple[list[Sample], NDArray[np.float16]]]:
        for rng, chosen in _draws(recipe.instruct, len(encoded.facts), recipe.seed + _INSTRUCT):
            samples = [
                tokenize(conversation(encoded.facts[i], rng), tokenizer, tokens) for i in chosen
            ]
            yield samples, encoded.features[chosen]

    trained = [model.model.multi_modal_projector, model.model.language_model, model.lm_head]
    _fit_seeing("instruct", model, trained, recipe.instruct, batches(), log)


def _fit_seeing(
    name: str,
    model: LlavaForConditionalGeneration,
    trained: Sequence[nn.Module],
    stage: Stage,
    batches: Iterator[tuple[list[Sample], NDArray[np.float16]]],
    log: Log,
) -> None:
    """Train some parts on samples with pictures while the others stay frozen."""
    model.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)
    model.train()
    fit(name, trained, stage, batches, lambda batch: _language_loss(model, *batch), log)
    model.requires_grad_(True)
