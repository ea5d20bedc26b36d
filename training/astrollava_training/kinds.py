"""Recipes of every kind: told apart by their ``kind``, changed by ``--set``."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any, Final

from astrollava_training.config import Recipe
from astrollava_training.contrastive.recipe import TowerRecipe
from astrollava_training.recipe import LlavaRecipe, Stage
from astrollava_training.tables import RecipeError, build, nearest, parse_toml, set_values

__all__ = ["KINDS", "load_any"]

KINDS: Final[dict[str, type[Any]]] = {
    "scratch": Recipe,
    "two-stage": LlavaRecipe,
    "tower": TowerRecipe,
}
"""What ``kind`` in a recipe may be; without it a recipe is from scratch."""


def load_any(
    path: str | PathLike[str], assignments: Iterable[str] = (), *, stages: Iterable[int] = (1, 2)
) -> Recipe | LlavaRecipe | TowerRecipe:
    """Read a recipe of any kind.

    Parameters
    ----------
    path : path
        A TOML file.
    assignments : iterable of str
        ``table.key=value``, as of ``--set``. In a two-stage recipe ``train.`` also reaches the keys
        of a stage, such as ``train.lr``: in each of `stages` that the recipe has.
    stages : iterable of int
        The stages that are run.

    Raises
    ------
    RecipeError
        As `astrollava_training.tables.read_toml`, and for an unknown kind.
    FileNotFoundError
        If there is no such file.
    """
    raw = parse_toml(path)
    kind = raw.pop("kind", "scratch")
    if kind not in KINDS:
        raise RecipeError(
            f"{path}: kind is {kind!r}",
            expected=f"one of {', '.join(KINDS)}",
            hint=nearest(str(kind), list(KINDS)),
        )
    if kind == "two-stage":
        assignments = _into_stages(raw, assignments, stages)
    found: Recipe | LlavaRecipe | TowerRecipe = build(
        KINDS[kind], set_values(raw, assignments), str(path)
    )
    return found


def _into_stages(
    raw: dict[str, Any], assignments: Iterable[str], stages: Iterable[int]
) -> list[str]:
    """Send what is said of ``train`` and known to stages only to those that are run."""
    there = [f"stage{number}" for number in stages if f"stage{number}" in raw]
    found = []
    for assignment in assignments:
        table, _, rest = assignment.partition(".")
        if table.strip() == "train" and rest.partition("=")[0].strip() in Stage.__annotations__:
            found += [f"{stage}.{rest}" for stage in there]
        else:
            found.append(assignment)
    return found
