"""Recipes of every kind: found by name, told apart by their ``kind``, changed by ``--set``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any, Final

from astrollava_training.config import Recipe
from astrollava_training.contrastive.recipe import TowerRecipe
from astrollava_training.recipe import LlavaRecipe, Stage, Train
from astrollava_training.tables import RecipeError, build, nearest, parse_toml, set_values

__all__ = ["KINDS", "PACKAGED", "find_recipe", "load_any", "packaged"]

PACKAGED: Final = Path(__file__).with_name("recipes")
"""The folder of the recipes that come along."""

KINDS: Final[dict[str, type[Any]]] = {
    "scratch": Recipe,
    "two-stage": LlavaRecipe,
    "tower": TowerRecipe,
}
"""What ``kind`` in a recipe may be; without it a recipe is from scratch."""


def packaged() -> list[str]:
    """Return the names of the recipes that come along."""
    return sorted(path.stem for path in PACKAGED.glob("*.toml"))


def find_recipe(named: str | PathLike[str]) -> Path:
    """Return the file of a recipe.

    Parameters
    ----------
    named : path
        A file; or, where there is none, one of `packaged`, as it is, with ``.toml`` behind and with
        ``recipes/`` before it.

    Raises
    ------
    RecipeError
        If it is neither.
    """
    path = Path(named)
    if path.is_file():
        return path
    name = path.name.removesuffix(".toml")
    if path.parent in (Path(), Path("recipes")) and name in packaged():
        return PACKAGED / f"{name}.toml"
    raise RecipeError(
        f"{path} is {'a folder' if path.is_dir() else 'no file'}",
        expected=f"a recipe: a TOML file, or one that comes along: {', '.join(packaged())}",
        hint=nearest(name, packaged()),
    )


def load_any(
    path: str | PathLike[str], assignments: Iterable[str] = (), *, stages: Iterable[int] = (1, 2)
) -> Recipe | LlavaRecipe | TowerRecipe:
    """Read a recipe of any kind.

    Parameters
    ----------
    path : path
        As for `find_recipe`.
    assignments : iterable of str
        ``table.key=value``, as of ``--set``. In a two-stage recipe ``train.`` also reaches the keys
        of a stage, such as ``train.lr``: in each of `stages` that the recipe has.
    stages : iterable of int
        The stages that are run.

    Raises
    ------
    RecipeError
        As `astrollava_training.tables.read_toml`, for an unknown kind, and where there is no such
        recipe.
    """
    path = find_recipe(path)
    raw = parse_toml(path)
    kind = raw.pop("kind", None)
    if kind is None:
        kind = _without_kind(raw, path)
    if kind not in KINDS:
        raise RecipeError(
            f"{path}: kind is {kind!r}",
            expected=f"one of {', '.join(KINDS)}",
            hint=nearest(str(kind), list(KINDS)),
        )
    if kind == "two-stage":
        _check_train(raw, path)
        assignments = _into_stages(raw, assignments, stages)
    found: Recipe | LlavaRecipe | TowerRecipe = build(
        KINDS[kind], set_values(raw, assignments), str(path), beside=("kind",)
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
        key = rest.partition("=")[0].partition(".")[0].strip()
        if table.strip() != "train" or key in Train.__annotations__:
            found.append(assignment)
        elif key in Stage.__annotations__:
            found += [f"{stage}.{rest}" for stage in there]
        else:
            raise RecipeError(
                f"--set {assignment!r}: unknown key {key!r}",
                expected=f"after train., one of {', '.join(Train.__annotations__)}; or, of the "
                f"stages, {', '.join(Stage.__annotations__)}",
                hint=nearest(key, [*Train.__annotations__, *Stage.__annotations__]),
            )
    return found


def _check_train(raw: dict[str, Any], path: Path) -> None:
    """Refuse in the table ``train`` what belongs to a stage, or is near to what does."""
    table = raw.get("train")
    for key in table if isinstance(table, dict) else ():
        if key in Train.__annotations__:
            continue
        hint = nearest(key, [*Train.__annotations__, *Stage.__annotations__])
        if key in Stage.__annotations__:
            hint = f"{key!r} is a key of stage1 and of stage2"
        elif hint and not nearest(key, [*Train.__annotations__]):
            hint += " That is a key of stage1 and of stage2"
        raise RecipeError(
            f"{path}: train: unknown key {key!r}",
            expected=f"one of {', '.join(Train.__annotations__)}",
            hint=hint,
        )


def _without_kind(raw: dict[str, Any], path: Path) -> str:
    """Return the kind of a recipe that says none, unless its keys are those of another."""
    known = {kind: {field.name for field in fields(made)} for kind, made in KINDS.items()}
    likest = max(known, key=lambda kind: len(known[kind] & raw.keys()))
    # Kinds share some names: what is from scratch as much as anything is from scratch.
    if len(known["scratch"] & raw.keys()) < len(known[likest] & raw.keys()):
        raise RecipeError(
            f"{path} has no kind, and its keys are those of the kind {likest!r}",
            expected=f'kind = "{likest}" before its first table',
        )
    return "scratch"
