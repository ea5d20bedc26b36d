"""``run`` and ``tower``: train what a recipe says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.commands.parser import (
    VOTES,
    add_device,
    add_recipe,
    add_set,
    find_votes,
    whole,
)

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the two commands."""
    run = commands.add_parser(
        "run",
        help="train the model of a recipe, of any kind",
        description="Train the model of a recipe. Finished stages are kept and not run again.",
    )
    run.add_argument(
        "--stage",
        type=int,
        choices=(1, 2),
        help="of a two-stage recipe, this stage only (default: both)",
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on with a stage that did not end; recipes from scratch always go on",
    )
    tower = commands.add_parser(
        "tower",
        help="train a vision tower on pictures and captions",
        description="Train a vision tower on pictures and captions, by a recipe of kind 'tower'.",
    )
    tower.add_argument("--resume", action="store_true", help="go on with a run that did not end")
    tower.set_defaults(stage=None)
    for command in (run, tower):
        add_recipe(command)
        command.add_argument(
            "-o",
            "--out",
            type=Path,
            metavar="DIR",
            help="folder of the run (default: runs/NAME, by the name that the recipe says)",
        )
        command.add_argument(
            "--data",
            type=Path,
            metavar="PATH",
            help="folder that the recipe's files are in (default: this one)"
            + (
                f"; of a recipe from scratch the table of votes, pictures beside it"
                f" (default: {VOTES})"
                if command is run
                else ""
            ),
        )
        add_set(command, "; train.KEY reaches the stages that are run")
        add_device(command)
        command.add_argument(
            "--workers",
            type=whole(0),
            default=max((os.cpu_count() or 2) // 2, 1),
            metavar="N",
            help="processes that decode or simulate pictures; 0 does without"
            " (default: half the cores)",
        )
        command.set_defaults(work=_run)


def _run(given: argparse.Namespace) -> None:
    from astrollava_training.config import Recipe
    from astrollava_training.contrastive.recipe import TowerRecipe
    from astrollava_training.kinds import load_any

    stages = (1, 2) if given.stage is None else (given.stage,)
    recipe = load_any(given.recipe, given.set, stages=stages)
    out = given.out or Path("runs", recipe.name)
    if given.command == "tower" and not isinstance(recipe, TowerRecipe):
        raise InvalidRequest(
            f"{given.recipe} is no recipe of a tower", expected='kind = "tower"', hint="Use run"
        )
    for folder in (out, *out.parents):
        if folder.exists() and not folder.is_dir():
            raise InvalidRequest(
                f"{folder} is a file",
                expected="a folder for the run: a new one, or one that holds it already",
                hint="Name one with -o",
            )
    if isinstance(recipe, Recipe):
        with _stoppable(lambda: "The same command goes on after the last finished stage"):
            _scratch(recipe, given, out)
        return
    root = given.data or Path()
    if not root.is_dir():
        there = "is no folder" if root.exists() else "is not there"
        raise InvalidRequest(f"--data {root}: it {there}", expected="the folder of the data")
    if isinstance(recipe, TowerRecipe):
        from astrollava_training.contrastive.run import run as train_tower

        _no_stage(given)
        with _stoppable(lambda: _tower_goes_on(out)):
            train_tower(
                recipe, root, out, resume=given.resume, device=given.device, workers=given.workers
            )
    else:
        from astrollava_training.llava.folder import goes_on
        from astrollava_training.llava.run import run

        asked = None if given.stage is None else stages
        with _stoppable(lambda: goes_on(out, asked or list(recipe.stages))):
            run(
                recipe,
                root,
                out,
                stages=asked,
                resume=given.resume,
                device=given.device,
                workers=given.workers,
            )
    if os.environ.get("RANK", "0") == "0":
        print(f"{out}: finished")


def _scratch(recipe: Any, given: argparse.Namespace, out: Path) -> None:
    from astrollava_training.loop.spread import find_device
    from astrollava_training.run import run

    _no_stage(given)
    votes = find_votes(given.data)
    run(recipe, votes, out, device=find_device(given.device), workers=given.workers)
    print(f"{out}: finished; see {out / 'log.jsonl'}")


@contextmanager
def _stoppable(told: Callable[[], str]) -> Iterator[None]:
    """Let what stops a run on its way, Ctrl-C or SIGTERM, say how it is gone on with."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = (told(),)
        raise


def _tower_goes_on(out: Path) -> str:
    from astrollava_training.loop.saving import CHECKPOINTS, kept, step_of

    if found := kept(out / CHECKPOINTS):
        return f"With --resume the same command goes on from step {step_of(found[-1])}"
    return "No checkpoint was kept yet (train.save_every): the same command begins anew"


def _no_stage(given: argparse.Namespace) -> None:
    if given.stage is not None:
        raise InvalidRequest(
            f"--stage {given.stage}", expected="a two-stage recipe: this is of another kind"
        )
