"""From a finished run to the pair that `Describer` opens, with the proof that it is the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from astrollava.convert import convert
from astrollava.engine.quantize import check_type
from astrollava.errors import InvalidRequest, ModelError
from astrollava.models import ModelFiles
from astrollava.parity import ParityReport, parity
from astrollava.parity.loading import quiet
from astrollava_training.llava.assemble import Assembled, assemble
from astrollava_training.llava.folder import read_recipe
from astrollava_training.llava.lora import merge_adapters
from astrollava_training.llava.run import restore
from astrollava_training.recipe import LlavaRecipe

__all__ = ["explained", "export", "load", "save"]

#: What is compared before fewer bits are. In bf16 llama.cpp rounds activations, too, to eight bits.
_WHOLE: Final = "f16"
_REPORT: Final = "parity"


def load(out: Path, stage: int | None = None) -> tuple[LlavaRecipe, Assembled]:
    """Return the model of a run, adapters merged.

    Parameters
    ----------
    out : Path
        Folder of the run.
    stage : int, optional
        The model as this stage left it, by default the last stage of the recipe.

    Raises
    ------
    ModelNotFound
        If the stage is not finished there, or a pretrained part is gone.
    ModelError
        If the weights are not what the stages ended with.
    """
    recipe = read_recipe(out, stage)
    ready = assemble(recipe)
    for number in recipe.stages:
        if stage is None or number <= stage:
            restore(ready, recipe, out, number)
    merge_adapters(ready.model)
    ready.model.eval()
    return recipe, ready


def save(ready: Assembled, folder: Path) -> Path:
    """Write a model as a checkpoint of transformers that says how its pictures are rendered."""
    model, pictures = ready.model, ready.pictures
    with quiet():
        model.save_pretrained(folder)
        ready.tokenizer.save_pretrained(folder)
    said = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_pad": pictures.rule == "pad",
        "do_center_crop": pictures.rule == "crop",
        "image_mean": list(pictures.mean),
        "image_std": list(pictures.std),
        "size": {"height": pictures.size, "width": pictures.size},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    return folder


def export(
    run: Path,
    out: Path,
    *,
    stage: int | None = None,
    quantize: str = "q4_k_m",
    mmproj_quantize: str | None = None,
    pictures: Iterable[Any] = (),
    keep: Path | None = None,
) -> tuple[ModelFiles, ParityReport]:
    """Write the model of a run as a pair of GGUF files, and prove that it is the model.

    Written whole first, the pair must repeat torch: only then is it stored in fewer bits. What
    these cost is measured too, and stands in the report beside it.

    Parameters
    ----------
    run : Path
        Folder of a run.
    out : Path
        A new or empty folder: the pair, ``parity.json`` and ``parity.txt``.
    stage : int, optional
        The model as this stage left it. Without, all stages of the recipe must be finished: a pair
        of half a run would look like the whole.
    quantize, mmproj_quantize : str
        Storage of the language model, and of tower and projector; see `astrollava.convert`.
    pictures : iterable
        Images to compare on, as for `astrollava.images.read`; a few made for it by default.
    keep : Path, optional
        A new or empty folder for the checkpoint of transformers that the pair is made of; without,
        it is removed.

    Returns
    -------
    files : ModelFiles
    report : ParityReport
        Of the pair that is written.

    Raises
    ------
    ModelError
        If llama.cpp does not repeat what torch computes; nothing is written then.
    ModelNotFound
        If the stage is not finished.
    InvalidRequest
        For an unknown type, or a folder that is not empty.
    """
    check_type(quantize)
    if mmproj_quantize is not None:
        check_type(mmproj_quantize, projector=True)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InvalidRequest(
            f"{keep} is not empty", expected="a new or empty folder for the checkpoint"
        )
    sources = list(pictures)
    recipe, ready = load(run, stage)
    write = partial(convert, name=recipe.name, licence=recipe.licence or None)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the pair: /tmp may be small, and in memory.
    work = Path(mkdtemp(prefix=f".{out.name}.", suffix=".export", dir=out.parent))
    try:
        checkpoint = save(ready, keep or work / "checkpoint")
        del ready
        write(checkpoint, work / "whole", quantize=_WHOLE)
        whole = parity(checkpoint, work / "whole", sources)
        if not whole.is_same:
            raise ModelError(
                f"the exported pair is not the model: {'; '.join(whole.failures)}",
                expected="what torch computes",
                hint="Look at the run: weights that are hardly trained have greedy texts that "
                "rounding decides",
            )
        files = write(checkpoint, out, quantize=quantize, mmproj_quantize=mmproj_quantize)
        report = parity(checkpoint, out, sources)
        _write(out, whole, report)
    finally:
        shutil.rmtree(work)
    return files, report


def explained(report: ParityReport) -> str:
    """Say what a verdict on a pair stored by `export` means, or nothing where it is the same."""
    if report.is_same:
        return ""
    return (
        "The limits of this verdict are those of 16 bits, within which the pair was proven to be "
        "the model. It is stored in fewer: it is expected to differ, and the figures say how far."
    )


def _write(out: Path, whole: ParityReport, report: ParityReport) -> None:
    values = {_WHOLE: whole.to_dict(), "stored": report.to_dict()}
    (out / f"{_REPORT}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    parts = [f"At {_WHOLE}, against torch:", whole, "As stored here, against torch:", report]
    (out / f"{_REPORT}.txt").write_text(
        "\n\n".join(filter(None, [*map(str, parts), explained(report)])) + "\n", encoding="utf-8"
    )
