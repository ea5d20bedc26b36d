"""A two-stage run: all data read, each stage trained, its result kept, what it moved proven."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from astrollava.errors import AstrollavaError, InvalidRequest, ModelError
from astrollava_training.dataset.corpus import Corpus, Source
from astrollava_training.dataset.packing import Schedule
from astrollava_training.dataset.pictures import RenderRule
from astrollava_training.dataset.rows import find_files
from astrollava_training.llava.assemble import Assembled, assemble
from astrollava_training.llava.folder import (
    check,
    finished,
    read_proof,
    write_proof,
    write_recipe,
)
from astrollava_training.llava.stages import prepare, prove, snapshot
from astrollava_training.loop.report import write_report
from astrollava_training.loop.spread import World, joined
from astrollava_training.loop.stage import WEIGHTS, split, train_stage
from astrollava_training.recipe import LlavaRecipe

__all__ = ["restore", "run"]


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

    The data of all of them are read before the first is trained.

    Parameters
    ----------
    recipe : LlavaRecipe
    root : Path
        Folder of the data: what the recipe calls its files is inside it.
    out : Path
        Folder of the run; see `astrollava_training.llava.folder`. Stages that are finished there
        are taken from it.
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
        If a stage was begun and `resume` is not given, an earlier stage is missing, the folder
        holds a run of another recipe, or the data of a stage cannot be trained on.
    ModelError
        If a stage moved what it had to leave alone, left alone what it had to train, or met numbers
        that are not finite.
    """
    asked = list(recipe.stages) if stages is None else list(stages)
    with joined(device) as world:
        check(recipe, out, asked, resume=resume)
        # What the first process writes from here on must not look begun to the others.
        world.wait()
        waiting = [number for number in asked if not finished(out, number)]
        if not waiting:
            return
        # Before gigabytes of weights are read, or downloaded.
        for number in waiting:
            with _of(number):
                find_files(recipe.stages[number].data, root)
        ready = assemble(recipe)
        data = {number: _read(recipe, ready, root, out, number, world, workers)
                for number in waiting}  # fmt: skip
        for number in waiting:
            # Split over processes, a model that was trained is of no further use.
            if number == waiting[0] or world.size > 1:
                ready = ready if number == waiting[0] else assemble(recipe)
                for earlier in [n for n in recipe.stages if n < number]:
                    restore(ready, recipe, out, earlier)
            _train(recipe, ready, data.pop(number), out, number, world)


def restore(ready: Assembled, recipe: LlavaRecipe, out: Path, number: int) -> None:
    """Give a model, in place, what a finished stage trained.

    Raises
    ------
    ModelError
        If the result is not what the stage ended with: the files, or the weights that the recipe
        names, have changed since.
    """
    stage = recipe.stages[number]
    prepare(ready.model, stage, recipe.seed)
    weights = load_file(out / f"stage{number}" / WEIGHTS)
    found = ready.model.load_state_dict(weights, strict=False)
    proof = read_proof(out, number)
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


def _read(
    recipe: LlavaRecipe,
    ready: Assembled,
    root: Path,
    out: Path,
    number: int,
    world: World,
    workers: int,
) -> Corpus:
    """Read the data of a stage, and refuse what it could not be trained on."""
    stage, seen = recipe.stages[number], ready.pictures
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
    with _of(number):
        corpus = _corpus(source, ready.tokenizer, out / "cache", world, workers)
        training, held = split(corpus, recipe.data.held_out, recipe.seed)
        context = ready.model.config.text_config.max_position_embeddings
        if (longest := int(corpus.lengths.max())) > context:
            raise InvalidRequest(
                f"a conversation has {longest} tokens, and the language model reads {context}",
                expected="conversations that it can read",
                hint=f"Set data.length to {context} or less",
            )
    if world.first:
        steps = Schedule(len(training), stage.batch, stage.epochs, recipe.seed).steps
        aside = len(corpus) - len(training) - len(held)
        beside = f" and {aside} set aside about the same pictures" if aside else ""
        said = (
            f"stage {number}: {len(training)} conversations to learn from, {len(held)} held out"
            f"{beside}, {len(corpus.bad)} left out, {len(corpus.shortened)} shortened; "
            f"{steps} step{'s' * (steps > 1)} of {stage.batch}"
        )
        if corpus.bad or corpus.shortened:
            said += (
                f"\nstage {number}: what was left out and shortened is listed in {out / 'cache'}"
            )
        if stage.batch > len(training):
            said += (
                f"\nstage {number}: its batch is larger than its data, so a step learns from all "
                f"of them at once. Lower stage{number}.batch for more steps"
            )
        print(said, file=sys.stderr, flush=True)
    return corpus


@contextmanager
def _of(number: int) -> Iterator[None]:
    """Say of an error which stage it is of."""
    try:
        yield
    except AstrollavaError as error:
        told = type(error)(
            f"stage {number}: {error.problem}", expected=error.expected, hint=error.hint
        )
        raise told from error


def _corpus(source: Source, tokenizer: Any, cache: Path, world: World, workers: int) -> Corpus:
    """Let the first process prepare the data, and the others find it."""
    found = Corpus.make(source, tokenizer, cache, workers=workers) if world.first else None
    world.wait()
    return found or Corpus.make(source, tokenizer, cache, workers=0)


def _train(
    recipe: LlavaRecipe,
    ready: Assembled,
    corpus: Corpus,
    out: Path,
    number: int,
    world: World,
) -> None:
    stage = recipe.stages[number]
    prepare(ready.model, stage, recipe.seed)
    before = snapshot(ready.model)
    if world.first:
        write_recipe(recipe, out, number)
    train_stage(
        ready.model,
        ready.tokenizer,
        corpus,
        stage,
        recipe.train,
        out / f"stage{number}",
        world,
        pictures=ready.pictures,
        length=recipe.data.length,
        pack_rows=recipe.data.pack,
        held_out=recipe.data.held_out,
        seed=recipe.seed,
    )
    proof = prove(number, stage, before, snapshot(ready.model))
    if world.first:
        write_proof(proof, out, number)
        # Training has written it step by step; now it can show the proof.
        write_report(out, recipe.name)
    world.wait()
