"""``bench``: how fast a recipe trains on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.commands.parser import add_device, add_recipe, add_set, number, whole

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    bench = commands.add_parser(
        "bench",
        help="measure how fast a two-stage recipe trains here",
        description="Train a recipe's stages for some steps on random weights of its shape, and "
        "say what one epoch of AstroLLaVA's data would take. Nothing is downloaded or kept.",
    )
    add_recipe(bench)
    bench.add_argument("--stage", type=int, choices=(1, 2), help="this stage only (default: both)")
    bench.add_argument(
        "--steps",
        type=whole(1),
        default=5,
        metavar="N",
        help="steps to measure, after two to warm up (default: %(default)s)",
    )
    bench.add_argument(
        "--layers",
        type=whole(1),
        metavar="N",
        help="layers of tower and language model, at most; what all would take is told from"
        " these (default: all)",
    )
    add_set(bench, ", such as train.rows=2")
    bench.add_argument(
        "--price",
        type=number,
        metavar="MONEY",
        help="price of an hour of one device, in any currency: that of the epoch is told in it",
    )
    add_device(bench)
    bench.add_argument("--json", action="store_true", help="print JSON, one stage a line")
    bench.set_defaults(work=_bench)


def _bench(given: argparse.Namespace) -> None:
    from astrollava_training.kinds import load_any
    from astrollava_training.loop.bench import bench
    from astrollava_training.loop.spread import joined
    from astrollava_training.recipe import LlavaRecipe

    stages = (1, 2) if given.stage is None else (given.stage,)
    recipe = load_any(given.recipe, given.set, stages=stages)
    if not isinstance(recipe, LlavaRecipe):
        raise InvalidRequest(f"{given.recipe} is of another kind", expected="a two-stage recipe")
    with joined(given.device) as world:
        for number in recipe.stages:
            if number not in stages:
                continue
            found = bench(
                recipe, number, world, steps=given.steps, layers=given.layers, price=given.price
            )
            if world.first:
                print(json.dumps(found.to_dict()) if given.json else _told(found), flush=True)


def _told(found: Any) -> str:
    from astrollava_training.loop.bench import FULL

    watts = "not measured" if found.watts is None else f"{found.watts:.0f} W"
    energy = "not measured" if found.kilowatt_hours is None else f"{found.kilowatt_hours:.2f} kWh"
    price = "" if found.price is None else f", {found.price:.2f} at the price given"
    scaled = " (fewer layers were measured)" if found.scaled else ""
    return (
        f"stage {found.stage}: {found.tokens_per_s:,.0f} tokens/s, MFU {found.mfu:.1%} of "
        f"{found.peak / 1e12:.3g} TFLOP/s ({found.peak_from}), memory {found.memory / 1e9:.1f} GB, "
        f"power {watts}\n"
        f"  one epoch of {FULL:,} conversations{scaled}: {found.hours:.2f} h, "
        f"energy {energy}{price}"
    )
