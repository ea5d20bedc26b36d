"""The smallest recipe that has every stage: seconds instead of an hour."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from astrollava_training.config import Drawn, Language, Recipe, Stage, Vision

__all__ = ["TINY", "write_recipe"]

TINY = Recipe(
    name="tiny",
    seed=3,
    vision=Vision(32, 8, 32, 64, 2, 2),
    language=Language(400, 32, 64, 2, 2, 512),
    pool=Drawn(32, real=0.3),
    teacher=Stage(32, 8),
    tower=Stage(32, 8, weight_decay=0.05),
    encoded=Drawn(32, real=0.3),
    words=Stage(32, 8),
    align=Stage(24, 8),
    instruct=Stage(32, 8),
)


def write_recipe(path: Path, recipe: Recipe = TINY) -> Path:
    """Write a recipe as the TOML file it could have come from."""
    tables = dataclasses.asdict(recipe)
    text = ""
    # Scalars first: what stands after a table's head belongs to the table.
    for key, value in sorted(tables.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict):
            text += f"[{key}]\n"
            text += "".join(f"{name} = {json.dumps(one)}\n" for name, one in value.items())
        else:
            text += f"{key} = {json.dumps(value)}\n"
    path.write_text(text, encoding="utf-8")
    return path
