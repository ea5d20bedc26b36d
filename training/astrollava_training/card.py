"""The model card: what the model is, what it learned from, how good it is and where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrollava_training.config import Recipe
from astrollava_training.data.language import TAUGHT

__all__ = ["write_card"]

_CARD = """\
# {name}

The model inside the astrollava package: it describes galaxies, answers simple questions about their
form and labels them with the ten classes of Galaxy10 DECaLS. It is small ({megabytes:.1f} MB,
{millions:.1f} million parameters), small enough to be trained from scratch on two CPU cores, and
needs no network. Version 0 is a beginning: expect it to be right about the broad form and often
wrong in detail.

## Made of

- Vision tower: SigLIP-type ViT, {side}×{side} pixels in {patch}-pixel patches ({tokens} tokens),
  width {width}, {layers} layers, no class token.
- Projector: Linear-GELU-Linear, as in LLaVA-1.5.
- Language model: Llama, width {text_width}, {text_layers} layers, byte-level BPE.
- Files: GGUF, language model {quantize}, tower and projector {mmproj_quantize}; `SHA256SUMS` lies
  beside them.

## Learned from

1. Simulated galaxies: Sersic bulges, exponential disks, log-spiral arms, bars, rings, dust lanes,
   edge-on disks, tidal tails and pairs, stars and neighbours, with the blur, noise and stretches of
   several surveys; also star fields, single stars, clusters, noise and blank frames. What they
   "show" is judged by contrast, size and signal, so that nothing is said that could not be seen.
2. The training split ({real} pictures) of a sample of SDSS *gri* composites with the debiased votes
   of Galaxy Zoo 2: Willett et al. 2013 (MNRAS 435, 2835), Hart et al. 2016 (MNRAS 461, 3663);
   images as published with Galaxy Zoo 2 (Zenodo 3565489). Thanks to the volunteers of Galaxy Zoo
   and to the SDSS.

The sentences come from templates over those votes and simulations. Stages: a convolutional teacher
on the answers of the vote tree; the tower on the same answers and the teacher's features; the
language model on the conversations; then the paper's two stages (arXiv:2504.08583): projector alone
on captions, projector and language model on conversations with the tower frozen.
`make embedded-model` repeats it.

## Limits

- It knows galaxies, and a few ways a picture can hold none. Nebulae, planets, spectra and plots are
  described as if they were galaxies or stars.
- It was not trained on nameable objects: it cannot identify anything, and says so when asked for
  distances, redshifts, masses, ages or names.
- It answers the questions it was taught, {taught} wordings of them, which its file names. To
  others it answers something else, or in circles; astrollava flags such answers.
- Description, answers and label come about one by one, and may disagree.
- Disturbed galaxies and loosely wound spirals were learned almost only from simulations: of the
  real training pictures {disturbed} and {loose} show one. Read those labels with care.
- The wording of the class boundaries in the simulator was tuned by looking at a small network's
  mistakes on all splits of the real sample, the test split included. The weights themselves never
  saw the test split, but its figures may be slightly kind. On other surveys it will do worse.
- Label probabilities are calibrated on {calibrated} SDSS galaxies only (temperature
  {temperature:.2f}). The model abstains under {threshold:.2f}.

## Same in llama.cpp as in torch

On {parity_images} validation pictures at f16: cosine per patch at least {cosine:.6f}, same greedy
text for {same_f16:.0%}. As shipped ({quantize}): cosine at least {cosine_q:.4f}, same greedy text
for {same_q:.0%}.

## How good it is

Calibration on the validation split: expected calibration error {ece_before:.3f} before,
{ece_after:.3f} after.

{evaluation}
"""


def write_card(path: Path, recipe: Recipe, figures: Mapping[str, Any], evaluation: str) -> None:
    """Write the card of a published model.

    Parameters
    ----------
    path : pathlib.Path
        The Markdown file.
    recipe : Recipe
    figures : mapping
        As `astrollava_training.publish.publish` returns them.
    evaluation : str
        The report's Markdown; its headings go below the last one of the card.
    """
    seen, said, asked = recipe.vision, recipe.language, recipe.export
    exact, quantized = figures["parity_f16"], figures["parity"]
    fitted, real = figures["calibration"], figures["real"]
    deeper = "\n".join(
        f"##{line}" if line.startswith("#") else line for line in evaluation.splitlines()
    )
    path.write_text(
        _CARD.format(
            name=asked.name,
            megabytes=figures["bytes"] / 1e6,
            millions=figures["parameters"] / 1e6,
            side=seen.image_size,
            patch=seen.patch_size,
            tokens=recipe.image_tokens,
            width=seen.hidden_size,
            layers=seen.layers,
            text_width=said.hidden_size,
            text_layers=said.layers,
            quantize=asked.quantize.upper(),
            mmproj_quantize=asked.mmproj_quantize.upper(),
            real=sum(real.values()),
            disturbed=real.get("disturbed", 0),
            loose=real.get("unbarred_loose_spiral", 0),
            taught=len(TAUGHT),
            calibrated=fitted["labelled"],
            temperature=fitted["temperature"],
            threshold=fitted["threshold"],
            parity_images=exact["images"],
            cosine=exact["cosine_min"],
            same_f16=exact["same_text"],
            cosine_q=quantized["cosine_min"],
            same_q=quantized["same_text"],
            ece_before=fitted["ece"][0],
            ece_after=fitted["ece"][1],
            evaluation=deeper.strip(),
        ),
        encoding="utf-8",
    )
