"""From a finished run to the files in the package: export, calibrate, prove, evaluate."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from astrollava_training import evaluate
from astrollava_training.card import write_card
from astrollava_training.config import Recipe
from astrollava_training.data.galaxies import read_votes
from astrollava_training.export import About, export, set_calibration
from astrollava_training.parity import parity

__all__ = ["LEAST_COSINE", "publish"]

LEAST_COSINE = 0.999
"""Cosine per patch between torch and llama.cpp at f16 under which a pair is not published."""

_PROVED_ON = 24


def publish(
    model: Any,
    tokenizer: Any,
    recipe: Recipe,
    votes: str | PathLike[str],
    out: str | PathLike[str],
) -> dict[str, Any]:
    """Write a trained model as a calibrated, evaluated GGUF pair with its card.

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

    Returns
    -------
    dict
        The figures, as in ``figures.json``.

    Raises
    ------
    RuntimeError
        If llama.cpp does not repeat what torch computes.
    """
    from astrollava import Describer, images

    folder, asked = Path(out), recipe.export
    about = About(
        licence=asked.licence,
        description="Describes galaxies; from scratch on simulations and Galaxy Zoo 2 votes",
        render_rule=asked.render_rule,
        render_background=asked.render_background,
    )
    exact = export(model, tokenizer, folder / "f16", name=asked.name, quantize="f16", about=about)
    side = (recipe.vision.image_size, recipe.vision.image_size)
    pictures = [
        images.render(
            images.read(path), size=side, rule=asked.render_rule, background=asked.render_background
        ).rgb
        for path, _, _ in read_votes(votes, split="val")[:_PROVED_ON]
    ]
    at_f16 = parity(model, tokenizer, exact, pictures)
    if at_f16.cosine_min < LEAST_COSINE:
        raise RuntimeError(f"the exported pair is not the model: {at_f16}")
    text, mmproj = export(
        model,
        tokenizer,
        folder,
        name=asked.name,
        quantize=asked.quantize,
        mmproj_quantize=asked.mmproj_quantize,
        about=about,
    )
    quantized = parity(model, tokenizer, (text, mmproj), pictures)
    with Describer(text, mmproj=mmproj) as describer:
        calibration = evaluate.calibrate(describer, votes)
    set_calibration(text, calibration.temperature, calibration.threshold)
    with Describer(text, mmproj=mmproj) as describer:
        evaluation = evaluate.embedded(describer, votes)
    for path in exact:
        path.unlink()
    (exact[0].parent / "SHA256SUMS").unlink()
    exact[0].parent.rmdir()
    figures = {
        "parity_f16": at_f16.to_dict(),
        f"parity_{asked.quantize}": quantized.to_dict(),
        "calibration": {
            "temperature": calibration.temperature,
            "threshold": calibration.threshold,
            "labelled": calibration.labelled,
            "ece": list(calibration.ece),
            "nll": list(calibration.nll),
            "answered": calibration.answered,
        },
        "parameters": int(sum(np.prod(value.shape) for value in model.state_dict().values())),
        "bytes": text.stat().st_size + mmproj.stat().st_size,
        "evaluation": evaluation.to_dict(),
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_card(folder / "card.md", recipe, figures, evaluation.markdown())
    return figures
