"""A two-stage run: each stage trained, its result kept, what it moved proven.

The folder of a run holds, for each stage, ``stage1`` and ``stage2``: the recipe it was trained by
(``recipe.json``), the parameters it trained (``weights.safetensors``), the proof that nothing else
moved (``proof.json``), and what training leaves: checkpoints, metrics, the report.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file

from astrollava.errors import InvalidRequest, ModelError, ModelNotFound
from astrollava_training.dataset.corpus import Corpus, Source
from astrollava_training.dataset.pictures import RenderRule
from astrollava_training.llava.assemble import Assembled, assemble
from astrollava_training.llava.stages import prepare, prove, snapshot
from astrollava_training.loop.report import write_report
from astrollava_training.loop.spread import World, joined
from astrollava_training.loop.stage import WEIGHTS, train_stage
from astrollava_training.recipe import LlavaRecipe
from astrollava_training.tables import build

__all__ = ["finished", "read_recipe", "restore", "run"]

_PROOF: Final = "proof.json"
_RECIPE: Final = "recipe.json"
#: What may differ between a run and its continuation: how often something is kept or shown.
_FREE: Final = ("save_every", "evaluate_every")


def run(
    recipe: LlavaRecipe,
    root: Path,
    out: Path,
    *,
    stages: Sequence[int] | None = None,
    resume: bool = False,
    device: str | None = None,
    workers: int = 1,
) -> None:
    """Train the stages of a recipe, or those of them that are asked for.

    Parameters
    ----------
    recipe : LlavaRecipe
    root : Path
        Folder of the data: what the recipe calls its files is inside it.
    out : Path
        Folder of the run. Stages that are finished there are taken from it.
    stages : sequence of int, optional
        Which stages; by default all that the recipe has.
    resume : bool
        Whether a stage that was begun there goes on. Otherwise it is refused.
    device : str, optional
        Of torch; a GPU where there is one.
    workers : int
        Processes that decode pictures.

    Raises
    ------
    InvalidRequest
        If a stage was begun and `resume` is not given, an earlier stage is missing, or the folder
        holds a run of another recipe.
    ModelError
        If a stage moved what it had to leave alone, left alone what it had to train, or met numbers
        that are not finite.
    """
    asked = list(recipe.stages) if stages is None else list(stages)
    with joined(device) as world:
        _check(recipe, out, asked, resume=resume)
        # What the first process writes from here on must not look begun to the others.
        world.wait()
        ready: Assembled | None = None
        for number in asked:
            if finished(out, number):
                ready = None
                continue
            if ready is None:
                ready = assemble(recipe)
                for earlier in [n for n in recipe.stages if n < number]:
                    restore(ready, recipe, out, earlier)
            _train(recipe, ready, root, out, number, world, workers)
            # Split over processes, a model is of no further use.
            ready = ready if world.size == 1 else None


def finished(out: Path, number: int) -> bool:
    """Whether a folder holds the result of a stage."""
    return (out / f"stage{number}" / _PROOF).is_file()


def read_recipe(out: Path) -> LlavaRecipe:
    """Return the recipe by which the last finished stage of a folder was trained.

    Raises
    ------
    ModelNotFound
        If no stage is finished there.
    """
    for number in (2, 1):
        if finished(out, number):
            raw = json.loads((out / f"stage{number}" / _RECIPE).read_text("utf-8"))
            return build(LlavaRecipe, raw, str(out))
    raise ModelNotFound(
        f"{out} holds no finished stage", expected="the folder of a run of a two-stage recipe"
    )


def restore(ready: Assembled, recipe: LlavaRecipe, out: Path, number: int) -> None:
    """Give a model, in place, what a finished stage trained.

    Raises
    ------
    ModelError
        If the result is not what the stage ended with: the files, or the weights that the recipe
        names, have changed since.
    """
    stage, folder = recipe.stages[number], out / f"stage{number}"
    prepare(ready.model, stage, recipe.seed)
    found = ready.model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    proof = json.loads((folder / _PROOF).read_text("utf-8"))
    expected = proof["frozen"] | {part: pair[1] for part, pair in proof["trained"].items()}
    now = snapshot(ready.model)
    changed = sorted(part for part in now if now[part] != expected.get(part))
    if changed or found.unexpected_keys:
        raise ModelError(
            f"{', '.join(changed) or found.unexpected_keys[0]} of the model are not what stage "
            f"{number} in {out} ended with",
            expected="the files as they were, and the same pretrained weights",
            hint="Name the weights by folders that do not change, or run the stage again",
        )


def _train(
    recipe: LlavaRecipe,
    ready: Assembled,
    root: Path,
    out: Path,
    number: int,
    world: World,
    workers: int,
) -> None:
    stage, folder, seen = recipe.stages[number], out / f"stage{number}", ready.pictures
    prepare(ready.model, stage, recipe.seed)
    before = snapshot(ready.model)
    if world.first:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _RECIPE, dataclasses.asdict(recipe))
    source = Source(
        files=stage.data,
        root=root,
        images=recipe.data.images,
        template=stage.template,
        length=recipe.data.length,
        image=seen.ids,
        render=RenderRule(seen.size, seen.rule, seen.background),
        corrupt=recipe.data.corrupt,
    )
    corpus = _corpus(source, ready.tokenizer, out / "cache", world, workers)
    train_stage(
        ready.model,
        ready.tokenizer,
        corpus,
        stage,
        recipe.train,
        folder,
        world,
        pictures=seen,
        length=recipe.data.length,
        pack_rows=recipe.data.pack,
        held_out=recipe.data.held_out,
        seed=recipe.seed,
    )
    proof = prove(number, stage, before, snapshot(ready.model))
    if world.first:
        _write(folder / _PROOF, proof)
        # Training has written it step by step; now it can show the proof.
        write_report(out, recipe.name)
    world.wait()


def _corpus(source: Source, tokenizer: Any, cache: Path, world: World, workers: int) -> Corpus:
    """Let the first process prepare the data, and the others find it."""
    found = Corpus.make(source, tokenizer, cache, workers=workers) if world.first else None
    world.wait()
    return found or Corpus.make(source, tokenizer, cache, workers=0)


def _check(recipe: LlavaRecipe, out: Path, asked: Sequence[int], *, resume: bool) -> None:
    for number in asked:
        if number not in recipe.stages:
            raise InvalidRequest(
                f"stage {number}", expected=f"one the recipe has: {[*recipe.stages]}"
            )
    needed = [n for n in recipe.stages if n < min(asked)]
    for number in needed:
        if not finished(out, number):
            raise InvalidRequest(
                f"stage {number} of {recipe.name!r} is not finished in {out}",
                expected="the stages before the one that is asked for",
                hint=f"Run it first, with --stage {number}",
            )
    for number in asked:
        folder = out / f"stage{number}"
        if not (folder / _RECIPE).is_file():
            continue
        theirs = json.loads((folder / _RECIPE).read_text("utf-8"))
        # Tuples are lists there.
        ours = json.loads(json.dumps(_without_none(dataclasses.asdict(recipe))))
        differing = _differing(ours, theirs, number)
        if differing:
            raise InvalidRequest(
                f"{folder} was begun by another recipe: it differs in {', '.join(differing)}",
                expected="the same recipe and --set",
                hint="Name another folder with --out, or remove this one",
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
            keys = [k for k in a if a[k] != b.get(k) and k not in _FREE]
            found += [f"{table}.{key}" for key in keys]
        elif a != b:
            found.append(table)
    return found


def _write(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, whole or not at all; what is None has no place in a recipe."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(_without_none(values), indent=1) + "\n", "utf-8")
    part.replace(path)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(v) for key, v in value.items() if v is not None}
    return value
