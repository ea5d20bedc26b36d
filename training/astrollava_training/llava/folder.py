"""The folder of a two-stage run: what is finished there, and by which recipe.

It holds, for each stage, ``stage1`` and ``stage2``: the recipe it was trained by (``recipe.json``),
the parameters it trained (``weights.safetensors``), the proof that nothing else moved
(``proof.json``), and what training leaves: checkpoints, metrics, the report.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidRequest, ModelNotFound
from astrollava_training.loop.saving import CHECKPOINTS, kept, step_of
from astrollava_training.loop.stage import WEIGHTS
from astrollava_training.recipe import LlavaRecipe
from astrollava_training.tables import build

__all__ = [
    "check",
    "finished",
    "goes_on",
    "read_proof",
    "read_recipe",
    "write_proof",
    "write_recipe",
]

_PROOF: Final = "proof.json"
_RECIPE: Final = "recipe.json"
#: What may differ between a run and its continuation: how often something is kept or shown, and how
#: much may be left out, which is looked at before anything is trained.
_FREE: Final = ("save_every", "evaluate_every", "corrupt")


def finished(out: Path, number: int) -> bool:
    """Whether a folder holds the result of a stage."""
    return (out / f"stage{number}" / _PROOF).is_file()


def read_recipe(out: Path, stage: int | None = None) -> LlavaRecipe:
    """Return the recipe by which a stage was trained.

    Parameters
    ----------
    out : Path
        Folder of the run.
    stage : int, optional
        By default the last of the recipe.

    Raises
    ------
    ModelNotFound
        If that stage, or one before it, is not finished there.
    """
    done = [number for number in (1, 2) if finished(out, number)]
    if not done:
        begun = any((out / f"stage{number}").is_dir() for number in (1, 2))
        raise ModelNotFound(
            f"{out} holds no finished stage",
            expected="the folder of a run of a two-stage recipe",
            hint=f"Finish it with {_finishing(out)}" if begun else "",
        )
    number = stage if stage in done else done[-1]
    raw = json.loads((out / f"stage{number}" / _RECIPE).read_text("utf-8"))
    recipe = build(LlavaRecipe, raw, str(out))
    last = max(recipe.stages) if stage is None else stage
    missing = [n for n in sorted({*recipe.stages, last}) if n <= last and n not in done]
    if missing:
        raise ModelNotFound(
            f"stage {missing[0]} of {recipe.name!r} is not finished in {out}: stage {number} is",
            expected="a run of which all stages are finished",
            hint=f"Finish it with {_finishing(out)}, or ask for what is there by --stage {number}",
        )
    return recipe


def _finishing(out: Path) -> str:
    return f"`astrollava-train run RECIPE -o {out} --resume`"


def goes_on(out: Path, asked: Sequence[int]) -> str:
    """Say how a run that was stopped is gone on with, and from where.

    Parameters
    ----------
    out : Path
        Folder of the run.
    asked : sequence of int
        The stages that it was to train.
    """
    done = [number for number in asked if finished(out, number)]
    said = f"Stage {done[-1]} is finished and kept. " if done else ""
    waiting = [number for number in asked if number not in done]
    if not waiting:
        return said.rstrip()
    number = waiting[0]
    folder = out / f"stage{number}"
    if not (folder / _RECIPE).is_file():
        return f"{said}The same command goes on with stage {number}, which was not begun"
    if (folder / WEIGHTS).is_file():
        where = "from its last step"
    elif found := kept(folder / CHECKPOINTS):
        where = f"from step {step_of(found[-1])}"
    else:
        where = "from its first step: no checkpoint was kept yet (train.save_every)"
    return f"{said}With --resume the same command goes on with stage {number}, {where}"


def write_recipe(recipe: LlavaRecipe, out: Path, number: int) -> None:
    """Write down by what a stage is trained: from here on it is begun."""
    folder = out / f"stage{number}"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _RECIPE, _without_none(dataclasses.asdict(recipe)))


def read_proof(out: Path, number: int) -> dict[str, Any]:
    """Return the proof of a finished stage."""
    proof: dict[str, Any] = json.loads((out / f"stage{number}" / _PROOF).read_text("utf-8"))
    return proof


def write_proof(proof: dict[str, Any], out: Path, number: int) -> None:
    """Write the proof of a stage: from here on it is finished."""
    _write(out / f"stage{number}" / _PROOF, proof)


def check(recipe: LlavaRecipe, out: Path, asked: Sequence[int], *, resume: bool) -> None:
    """Hold what is asked for against what is in a folder.

    Raises
    ------
    InvalidRequest
        If the recipe has no such stage, one before it is missing, or one that is there was begun
        and `resume` is not given, or is that of another recipe.
    """
    for number in asked:
        if number not in recipe.stages:
            raise InvalidRequest(
                f"stage {number}", expected=f"one the recipe has: {[*recipe.stages]}"
            )
    for number in [n for n in recipe.stages if n < min(asked)]:
        if not finished(out, number):
            raise InvalidRequest(
                f"stage {number} of {recipe.name!r} is not finished in {out}",
                expected="the stages before the one that is asked for",
                hint=f"Run it first, with --stage {number}",
            )
    for number in asked:
        if (out / f"stage{number}" / _RECIPE).is_file():
            _check_begun(recipe, out, number, asked, resume=resume)


def _check_begun(
    recipe: LlavaRecipe, out: Path, number: int, asked: Sequence[int], *, resume: bool
) -> None:
    folder = out / f"stage{number}"
    theirs = json.loads((folder / _RECIPE).read_text("utf-8"))
    # Tuples are lists there.
    ours = json.loads(json.dumps(_without_none(dataclasses.asdict(recipe))))
    differing = _differing(ours, theirs, number)
    # Before its first checkpoint nothing of a stage is kept that another recipe could mix with.
    if differing and ((folder / WEIGHTS).is_file() or kept(folder / CHECKPOINTS)):
        done, later = finished(out, number), [n for n in asked if n > number]
        raise InvalidRequest(
            f"{folder} was {'trained' if done else 'begun'} by another recipe: it differs in "
            f"{', '.join(differing)}",
            expected="the same recipe and --set",
            hint="Name another folder with --out, or remove this one"
            + (f", or keep it and go on with --stage {later[0]}" if done and later else ""),
        )
    if not (resume or finished(out, number)):
        raise InvalidRequest(
            f"stage {number} was begun in {out} and did not end",
            expected="--resume to go on, or another folder",
        )


def _differing(ours: dict[str, Any], theirs: dict[str, Any], number: int) -> list[str]:
    found = []
    for table in ("model", "data", "train", f"stage{number}", "seed"):
        a, b = ours.get(table), theirs.get(table)
        if isinstance(a, dict) and isinstance(b, dict):
            keys = [k for k in {**a, **b} if a.get(k) != b.get(k) and k not in _FREE]
            found += [f"{table}.{key}" for key in keys]
        elif a != b:
            found.append(table)
    return found


def _write(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    part.replace(path)


def _without_none(value: Any) -> Any:
    """Leave out what is None: it has no place in a recipe."""
    if isinstance(value, dict):
        return {key: _without_none(v) for key, v in value.items() if v is not None}
    return value
