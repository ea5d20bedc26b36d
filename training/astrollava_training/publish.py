"""From a finished run to the files in the package: export, calibrate, prove, evaluate."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from astrollava.errors import ModelError
from astrollava_training import evaluate
from astrollava_training.card import write_card
from astrollava_training.config import Recipe
from astrollava_training.data.galaxies import read_votes
from astrollava_training.data.language import TAUGHT
from astrollava_training.export import About, export
from astrollava_training.parity import parity

__all__ = ["LARGEST_TIE", "LEAST_COSINE", "publish"]

LEAST_COSINE = 0.999
"""Cosine per patch between torch and llama.cpp at f16 under which a pair is not published."""

LARGEST_TIE = 0.1
"""Lead of torch's best token, in nats, up to which another in llama.cpp is a matter of rounding."""


def publish(
    model: Any,
    tokenizer: Any,
    recipe: Recipe,
    votes: str | PathLike[str],
    out: str | PathLike[str],
    *,
    proved_on: int = 24,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Write a trained model as a calibrated, evaluated GGUF pair with its card.

    Nothing reaches the folder before all has succeeded.

    Parameters
    ----------
    model, tokenizer
        As `astrollava_training.run.run` returns them.
    recipe : Recipe
        Name, quantization and render rule.
    votes : path
        ``votes.csv``: parity is shown on pictures of its validation split, temperature and
        threshold are fitted there, and the figures come from its test split.
    out : path
        Folder for the pair, ``SHA256SUMS``, ``card.md`` and ``figures.json``.
    proved_on : int
        Pictures that parity is shown on, at most.
    resamples : int
        Of the bootstrap behind the intervals of the evaluation.

    Returns
    -------
    dict
        The figures, as in ``figures.json``.

    Raises
    ------
    ModelError
        If llama.cpp does not repeat what torch computes.
    """
    from astrollava import Describer, images
    from astrollava_training.evaluate.llama_model import LlamaModel

    asked, data = recipe.export, evaluate.open_data(Path(votes))
    about = About(
        licence=asked.licence,
        description="Describes galaxies; from scratch on simulations and Galaxy Zoo 2 votes",
        render_rule=asked.render_rule,
        render_background=asked.render_background,
        questions=TAUGHT,
    )
    side = (recipe.vision.image_size, recipe.vision.image_size)
    pictures = [
        images.render(
            images.read(path), size=side, rule=asked.render_rule, background=asked.render_background
        ).rgb
        for path, _, _ in read_votes(votes, split="val")[:proved_on]
    ]
    with TemporaryDirectory() as work:
        exact = export(
            model, tokenizer, Path(work) / "f16", name=asked.name, quantize="f16", about=about
        )
        at_f16 = parity(model, tokenizer, exact, pictures)
        # Where torch's two best tokens are as good as equal, rounding may choose the other.
        if at_f16.cosine_min < LEAST_COSINE or (at_f16.same_text < 1 and at_f16.gap > LARGEST_TIE):
            raise ModelError(
                f"the exported pair is not the model: {at_f16}",
                expected=f"a cosine of at least {LEAST_COSINE} and the same greedy texts",
            )
        stored = partial(
            export,
            model,
            tokenizer,
            Path(work) / "made",
            name=asked.name,
            quantize=asked.quantize,
            mmproj_quantize=asked.mmproj_quantize,
        )
        # The temperature is fitted to what the pair answers at one.
        raw = replace(about, label_temperature=1.0, label_threshold=0.0)
        text, mmproj = stored(about=raw)
        quantized = parity(model, tokenizer, (text, mmproj), pictures)
        with LlamaModel(Describer(text, mmproj=mmproj)) as made:
            calibration = evaluate.calibrate(made, data)
        # Fitted on what the stored pair answers, so it comes after the weights; they stay the same.
        stored(
            about=replace(
                about,
                label_temperature=calibration.temperature,
                label_threshold=calibration.threshold,
            )
        )
        with LlamaModel(Describer(text, mmproj=mmproj)) as made:
            plan = evaluate.Plan(split="test", paper=False, resamples=resamples)
            evaluation = evaluate.evaluate(made, data, plan)
        figures = {
            "parity_f16": at_f16.to_dict(),
            "parity": quantized.to_dict(),
            "calibration": asdict(calibration),
            "parameters": sum(value.numel() for value in model.parameters()),
            "bytes": text.stat().st_size + mmproj.stat().st_size,
            "real": Counter(str(facts.label) for _, _, facts in read_votes(votes, split="train")),
            "evaluation": evaluation.to_dict(),
        }
        folder = text.parent
        (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        write_card(folder / "card.md", recipe, figures, evaluation.markdown())
        shutil.copytree(folder, Path(out), dirs_exist_ok=True)
    return figures
