"""What a stage may move, and the proof of what it moved."""

from __future__ import annotations

from typing import Any

from astrollava.errors import ModelError
from astrollava_training.llava.lora import add_adapters
from astrollava_training.parts import ADAPTER, PARTS, fingerprint, part_of
from astrollava_training.recipe import Stage

__all__ = ["moves", "prepare", "prove", "snapshot"]


def moves(stage: Stage) -> set[str]:
    """Return the parts that a stage trains: with LoRA the adapter in place of the language model.

    Examples
    --------
    >>> from astrollava_training.recipe import Lora
    >>> both = ("projector", "language")
    >>> stage = Stage(("qa.json",), "v1", both, 2e-4, 128, lora=Lora())
    >>> sorted(moves(stage))
    ['adapter', 'projector']
    """
    trained: set[str] = {*stage.trains}
    return trained if stage.lora is None else trained - {"language"} | {ADAPTER}


def prepare(model: Any, stage: Stage, seed: int) -> None:
    """Put in a stage's adapters, and say of each parameter whether the stage trains it."""
    if stage.lora is not None:
        add_adapters(model, stage.lora, seed)
    trained = moves(stage)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in trained)


def snapshot(model: Any) -> dict[str, str]:
    """Return the fingerprint of each part that a model has."""
    has = {part_of(name) for name, _ in model.named_parameters()}
    return {part: fingerprint(model, part) for part in (*PARTS, ADAPTER) if part in has}


def prove(
    number: int, stage: Stage, before: dict[str, str], after: dict[str, str]
) -> dict[str, Any]:
    """Hold what a stage moved against what it had to move.

    Parameters
    ----------
    number : int
        Of the stage.
    stage : Stage
    before, after : dict of str to str
        From `snapshot`.

    Returns
    -------
    dict
        Ready for JSON: ``frozen``, the parts left alone with their hashes, and ``trained``, those
        that were moved with their hashes before and after.

    Raises
    ------
    ModelError
        If it moved a part it had to leave alone, or left alone one it had to train.
    """
    wanted = moves(stage)
    moved = {part for part in after if after[part] != before[part]}
    if moved != wanted:
        raise ModelError(
            f"stage {number} moved {sorted(moved)}", expected=f"{sorted(wanted)}, and all of it"
        )
    return {
        "frozen": {part: after[part] for part in sorted(after.keys() - moved)},
        "trained": {part: [before[part], after[part]] for part in sorted(moved)},
    }
