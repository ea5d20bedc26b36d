"""How fast a recipe trains here, on random weights of its shape, and what all of it would take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from astrollava_training.dataset.corpus import Corpus
from astrollava_training.dataset.rows import Row
from astrollava_training.llava.stages import prepare
from astrollava_training.loop.pace import Work
from astrollava_training.loop.shapes import random_model, shape
from astrollava_training.loop.spread import World
from astrollava_training.loop.steps import Numbers, Steps
from astrollava_training.recipe import LlavaRecipe

__all__ = ["FULL", "Measured", "bench", "imagined"]

FULL = 29_783
"""Pictures of AstroLLaVA's data: APOD 9,962, ESO 14,617, ESA/Hubble 5,204."""

# Tokens of text a picture, on average, and their spread: about 20M tokens in stage 1 and 31M in
# stage 2, with 576 for each picture. How they spread is assumed.
_WORDS = {1: 95.0, 2: 465.0}
_SPREAD = 0.6
_LEARNED = {1: 1.0, 2: 0.6}
_WARM = 2  # steps that compile, and fill caches
_PICTURES = 64  # different ones


@dataclass(frozen=True)
class Measured:
    """What was measured of a stage, and what that says of AstroLLaVA's whole data.

    Attributes
    ----------
    stage : int
    tokens_per_s, mfu : float
        Of all devices.
    memory : int
        Bytes, the most on one device; of a CPU, of the process.
    watts : float or None
        Of all GPUs; None where their driver does not say.
    peak : float
        Operations a second that all devices can do.
    peak_from : str
        How that is known.
    hours, kilowatt_hours, price : float
        Of one epoch of `FULL` conversations at the full shape; the last two may be None.
    scaled : bool
        Whether fewer layers were measured than the recipe has: the time is then that of the full
        shape at the same MFU, which is usually higher there, and the memory is too low.
    """

    stage: int
    tokens_per_s: float
    mfu: float
    memory: int
    watts: float | None
    peak: float
    peak_from: str
    hours: float
    kilowatt_hours: float | None
    price: float | None
    scaled: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def bench(
    recipe: LlavaRecipe,
    number: int,
    world: World,
    *,
    steps: int = 5,
    layers: int | None = None,
    price: float | None = None,
) -> Measured:
    """Train a stage for some steps on random weights and numbers.

    Parameters
    ----------
    recipe : LlavaRecipe
    number : int
        Of the stage.
    world : World
    steps : int
        Measured; two before them warm up.
    layers : int, optional
        Layers of tower and language model, at most.
    price : float, optional
        Of an hour of one device, in any currency.

    Raises
    ------
    ModelNotFound
        If the recipe names models of unknown shape.
    """
    stage = recipe.stages[number]
    config = shape(recipe, layers)
    model, pictures = random_model(recipe, config, world.device)
    prepare(model, stage, recipe.seed)
    count = stage.batch * (steps + _WARM)
    corpus = imagined(
        number, count, length=recipe.data.length, image=pictures.ids, size=pictures.size,
        words=config.text_config.vocab_size - 1,
    )  # fmt: skip
    made = Steps(
        model, corpus, np.arange(count), stage, recipe.train, world,
        pictures=pictures, length=recipe.data.length, pack_rows=recipe.data.pack, seed=recipe.seed,
    )  # fmt: skip
    try:
        found: list[Numbers] = [numbers for _, numbers in made.run()]
        peak, peak_from = made.peak, made.peak_from
    finally:
        made.close()
    warm = found[_WARM : _WARM + steps]
    seconds = sum(one.seconds for one in warm)
    mfu = sum(one.mfu * one.seconds for one in warm) / seconds
    before, after = found[_WARM - 1].joules, warm[-1].joules
    watts = None if before is None or after is None else (after - before) / seconds
    hours = _needed(recipe, number, corpus) / (mfu * peak) / 3600
    return Measured(
        stage=number,
        tokens_per_s=sum(one.tokens for one in warm) / seconds,
        mfu=mfu,
        memory=warm[-1].memory,
        watts=watts,
        peak=peak,
        peak_from=peak_from,
        hours=hours,
        kilowatt_hours=None if watts is None else watts * hours / 1000,
        price=None if price is None else price * hours * world.size,
        scaled=layers is not None,
    )


def imagined(
    number: int, count: int, *, length: int, image: tuple[int, ...], size: int, words: int
) -> Corpus:
    """Make conversations of random tokens about pictures of noise, as long as real ones.

    Parameters
    ----------
    number : int
        Of the stage whose lengths they have.
    count : int
    length : int
        Tokens of the longest.
    image : tuple of int
        Tokens of a picture.
    size : int
        Side of a picture in pixels.
    words : int
        Tokens are drawn below this.
    """
    draws = np.random.default_rng(number)
    mean = np.log(_WORDS[number]) - _SPREAD**2 / 2
    texts = draws.lognormal(mean, _SPREAD, count).round().astype(int).clip(4, length - len(image))
    ids, learned = [], []
    for text in texts:
        answer = max(int(text * _LEARNED[number]), 1)
        ids.append(np.concatenate([image, draws.integers(0, words, text)]))
        learned.append(np.arange(len(image) + text) >= len(image) + text - answer)
    return Corpus(
        ids=np.concatenate(ids).astype(np.int32),
        learned=np.concatenate(learned),
        bounds=np.cumsum([0, *map(len, ids)]),
        pictures=(np.arange(count) % _PICTURES).astype(np.int32),
        rows=tuple(Row(str(n), f"imagined:{n}", (("", ""),), None) for n in range(count)),
        shades=draws.integers(0, 256, (_PICTURES, size, size, 3), np.uint8),
        bad=(),
        shortened=(),
        identity="imagined",
    )


def _needed(recipe: LlavaRecipe, number: int, corpus: Corpus) -> float:
    """Return the operations of the whole data at the full shape, from conversations like them."""
    with torch.device("meta"):
        whole, pictures = random_model(recipe, shape(recipe), torch.device("meta"))
    prepare(whole, recipe.stages[number], recipe.seed)
    work = Work.of(whole, pictures.tokens)
    learned = int(np.count_nonzero(corpus.learned))
    once = work.operations(corpus.lengths.tolist(), learned, len(corpus))
    return once * FULL / len(corpus)
