"""Training a tower: which caption belongs to which picture."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest, ModelError
from astrollava_training.contrastive.encoders import Encoders, load_encoders
from astrollava_training.contrastive.pairs import Captioned, read_pairs
from astrollava_training.contrastive.recipe import TowerRecipe
from astrollava_training.dataset.packing import Schedule
from astrollava_training.llava import openclip
from astrollava_training.loop.optimizer import make_optimizer
from astrollava_training.loop.rounding import mix
from astrollava_training.loop.saving import CHECKPOINTS, Keeper, kept
from astrollava_training.loop.spread import joined
from astrollava_training.train import Log, has_bfloat16, schedule

__all__ = ["run"]

_RESULT: Final = "result.json"
_LARGEST_SCALE: Final = math.log(100.0)  # of CLIP's logits (Radford et al. 2021, section 2.5)
_AT_ONCE: Final = 64  # pairs encoded together where nothing is learnt
_LOG_EVERY: Final = 10  # steps


def run(
    recipe: TowerRecipe,
    root: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = None,
    workers: int = 1,
) -> None:
    """Train a tower and its text encoder, and write the tower for ``model.tower`` of a recipe.

    Parameters
    ----------
    recipe : TowerRecipe
    root : Path
        Folder of the data.
    out : Path
        Folder of the run: ``tower``, the encoders to go on from, ``result.json`` and the log.
    resume : bool
        Whether a run that was begun there goes on. Otherwise it is refused.
    device : str, optional
        Of torch; a GPU where there is one.
    workers : int
        Processes that decode pictures.

    Raises
    ------
    InvalidRequest
        If a run was begun there and `resume` is not given, or there are several processes.
    EngineUnavailable
        If open_clip, whose losses are used, cannot be.
    ModelError
        If a loss or a gradient is not finite.
    """
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    if (out / _RESULT).is_file():
        if json.loads((out / _RESULT).read_text("utf-8"))["recipe"] != plain:
            raise InvalidRequest(
                f"{out} holds the tower of another recipe",
                expected="another folder",
                hint="Name one with --out, or remove this one",
            )
        return
    # One that ended before its first checkpoint has left nothing that could go on.
    if kept(out / CHECKPOINTS) and not resume:
        raise InvalidRequest(
            f"a run was begun in {out} and did not end",
            expected="--resume to go on, or another folder",
        )
    with joined(device) as world:
        if world.size > 1:
            raise InvalidRequest(
                f"{world.size} processes", expected="one: a tower is trained on one device"
            )
        # The losses are open_clip's, whosever the model is.
        openclip.require("the training of a tower")
        encoders = load_encoders(recipe.start, recipe.seed)
        data = read_pairs(recipe.data, root, encoders, out / "cache", workers=workers)
        order = np.random.default_rng([recipe.seed, 1]).permutation(data.used)
        held, training = np.sort(order[: recipe.data.held_out]), order[recipe.data.held_out :]
        if recipe.train.batch > len(training):
            print(
                f"train.batch is {recipe.train.batch}, and there are {len(training)} pictures to "
                "learn from: a step learns from all of them",
                file=sys.stderr,
            )
        encoders.to(world.device)
        log = Log(out)
        before = _recall(encoders, data, held, world.device)
        log("tower", recall_before=before)
        keeper = Keeper(out / CHECKPOINTS, world, _identity(plain, data), print)
        _learn(encoders, data, training, recipe, keeper, world.device, log)
        after = _recall(encoders, data, held, world.device)
        log("tower", recall_after=after)
        encoders.cpu().save(out)
        result = {
            "recipe": plain,
            "recall_before": before,
            "recall_after": after,
            "held_out": len(held),
        }
        part = out / f"{_RESULT}.part"
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        part.replace(out / _RESULT)


def _learn(
    encoders: Encoders,
    data: Captioned,
    training: NDArray[np.int64],
    recipe: TowerRecipe,
    keeper: Keeper,
    device: torch.device,
    log: Log,
) -> None:
    how = recipe.train
    plan = Schedule(len(training), min(how.batch, len(training)), how.epochs, recipe.seed)
    named = [(n, p) for n, p in encoders.named_parameters() if p.requires_grad]
    optimizer = make_optimizer(
        named, kind="adamw", weight_decay=how.weight_decay, rounding="nearest", seed=recipe.seed
    )
    begun = 0
    if (found := keeper.load()) is not None:
        begun, tensors = found
        encoders.load_state_dict(_within(tensors, "weight."), strict=False)
        optimizer.restore(_within(tensors, "memory."), begun)
    loss_of = openclip.loss(siglip=getattr(encoders.model, "logit_bias", None) is not None)
    encoders.train()
    for step in range(begun, plan.steps):
        chosen = training[plan.at(step)]
        torch.manual_seed(mix(recipe.seed, step, 0))
        optimizer.begin()
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            told = encoders(
                data.pixels(chosen, encoders).to(device),
                encoders.tokens([data.captions[n] for n in chosen]).to(device),
            )
        # The logits decide among all pairs of a batch: bfloat16 is too coarse for them.
        parts = (told.pictures.float(), told.captions.float(), told.scale)
        loss = loss_of(*parts, *(() if told.bias is None else (told.bias,)))
        loss.backward()
        norm, value = optimizer.norm(), float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise ModelError(
                f"step {step + 1} has the loss {value} and a gradient of the norm {norm}",
                expected="finite numbers",
                hint="Lower train.lr, or raise train.warmup",
            )
        rate = how.lr * schedule(step, plan.steps, how.warmup)
        optimizer.step(rate, min(1.0, 1.0 / (norm + 1e-6)))
        with torch.no_grad():
            encoders.model.logit_scale.clamp_(0.0, _LARGEST_SCALE)
        keeper.settle()
        last = step + 1 == plan.steps
        if (step + 1) % how.save_every == 0 and not last:
            weights = {f"weight.{name}": p.detach() for name, p in named}
            keeper.save(
                step + 1, weights | {f"memory.{n}": v for n, v in optimizer.state().items()}
            )
        if last or (step + 1) % _LOG_EVERY == 0:
            log("tower", step=step + 1, steps=plan.steps, loss=value, rate=rate)
    keeper.settle(wait=True)
    optimizer.close()


@torch.no_grad()
def _recall(
    encoders: Encoders, data: Captioned, chosen: NDArray[np.int64], device: torch.device
) -> float:
    """Return the share of pictures whose own caption is the nearest of all that are held out.

    One of the same words is as good.
    """
    encoders.eval()
    pictures, captions = [], []
    for begin in range(0, len(chosen), _AT_ONCE):
        part = chosen[begin : begin + _AT_ONCE]
        told = encoders(
            data.pixels(part, encoders).to(device),
            encoders.tokens([data.captions[n] for n in part]).to(device),
        )
        pictures.append(told.pictures)
        captions.append(told.captions)
    nearest = (torch.cat(pictures) @ torch.cat(captions).T).argmax(1).tolist()
    right = 0
    for place, own in zip(nearest, chosen, strict=True):
        right += data.captions[chosen[place]] == data.captions[own]
    return right / len(chosen)


def _within(tensors: dict[str, torch.Tensor], begins: str) -> dict[str, torch.Tensor]:
    return {n[len(begins) :]: v for n, v in tensors.items() if n.startswith(begins)}


def _identity(recipe: dict[str, Any], data: Captioned) -> dict[str, Any]:
    """Return what a run that goes on must share, ready for JSON."""
    how = {key: value for key, value in recipe["train"].items() if key != "save_every"}
    told = hashlib.sha256("\0".join(data.captions).encode())
    told.update(data.used.tobytes())
    return {**recipe, "train": how, "captions": told.hexdigest()}
