"""Checkpoints: written beside the training, whole or not at all, the last good one kept.

``checkpoints/step-0000200`` holds, for each process, ``rank-0.safetensors`` with its pieces of the
weights that are trained and of the optimizer's memory, and ``rank-0.json`` with the hash of that
file and whose it is. The folder gets its name once all of it is on the disk; only then is the one
before removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from astrollava.errors import HashMismatch, InvalidRequest
from astrollava_training.loop.spread import World

__all__ = ["CHECKPOINTS", "Keeper", "kept", "step_of", "write_whole"]

CHECKPOINTS = "checkpoints"
"""Name of their folder, inside that of a stage."""


def kept(folder: Path) -> list[Path]:
    """Return the whole checkpoints in their folder, the oldest first."""
    return sorted(folder.glob("step-*[0-9]"))


def step_of(checkpoint: Path) -> int:
    """Return the steps that were done when a checkpoint of `kept` was taken."""
    return int(checkpoint.name.removeprefix("step-"))


class Keeper:
    """The checkpoints of a stage.

    Parameters
    ----------
    folder : Path
        Where they lie; made if it is not there.
    world : World
    identity : mapping
        What the numbers depend on, ready for JSON; a run with another one does not go on from here.
    say : callable
        Told, in the first process, what could not be written.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        identity: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._world = world
        self._identity = {**identity, "processes": world.size}
        self._say = say
        self._thread: threading.Thread | None = None
        self._step = 0
        self._problem: str | None = None
        self._copies: dict[str, torch.Tensor] = {}
        if world.first:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob("*.part"):  # of a process that was killed
                shutil.rmtree(left)
        world.wait()

    @property
    def busy(self) -> bool:
        """Whether a checkpoint has been begun and is not settled."""
        return self._thread is not None

    def load(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """Read the last checkpoint, if there is one.

        Returns
        -------
        step, tensors
            Steps done, and what `save` was given, on the CPU.

        Raises
        ------
        InvalidRequest
            If it is that of another run.
        HashMismatch
            If it is not what was written.
        """
        found = kept(self._folder)
        if not found:
            return None
        about = found[-1] / f"rank-{self._world.rank}.json"
        record = json.loads(about.read_text("utf-8")) if about.is_file() else {}
        theirs = record.get("identity", {})
        differing = [
            key
            for key in {**self._identity, **theirs}
            if self._identity.get(key) != theirs.get(key)
        ]
        if differing:
            raise InvalidRequest(
                f"{found[-1]} is of another run: it differs in {', '.join(sorted(differing))}",
                expected="the same recipe, data and number of processes",
                hint="Name another folder for this run, or remove that one",
            )
        path = about.with_suffix(".safetensors")
        if _hash(path) != record["sha256"]:
            raise HashMismatch(
                f"{path} is not what was written",
                expected=f"SHA-256 {record['sha256']}",
                hint="The disk has lost a part of it. Remove its folder to begin the stage anew",
            )
        return int(record["step"]), load_file(path)

    def save(self, step: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors, and write the copies in a thread; all processes must call this.

        One that is still being written is waited for.
        """
        if self.busy:
            self.settle(wait=True)
        for name, tensor in tensors.items():
            copy = self._copies.get(name)
            if copy is None:
                pinned = tensor.device.type == "cuda"
                copy = torch.empty_like(tensor, device="cpu", pin_memory=pinned)
                self._copies[name] = copy
            copy.copy_(tensor, non_blocking=True)
        if self._world.device.type == "cuda":
            torch.cuda.synchronize(self._world.device)
        self._step, self._problem = step, None
        self._thread = threading.Thread(target=self._write, args=(step,), daemon=True)
        self._thread.start()

    def settle(self, *, wait: bool = False) -> None:
        """Give a checkpoint that is written its name; all processes must call this.

        Where one process could not write its part, the checkpoint is dropped, the one before stays
        and training goes on.
        """
        if self._thread is None:
            return
        if wait:
            self._thread.join()
        here = not self._thread.is_alive()
        done, failed = self._world.sum(here, here and self._problem is not None)
        if done < self._world.size:
            return
        self._thread.join()
        self._thread = None
        final = self._folder / f"step-{self._step:07}"
        part = final.with_suffix(".part")
        if failed:
            if self._problem is not None:
                self._say(f"no checkpoint of step {self._step}: {self._problem}")
            self._world.wait()
            if self._world.first:
                shutil.rmtree(part, ignore_errors=True)
        elif self._world.first:
            if final.exists():  # written before the process was killed
                shutil.rmtree(final)
            part.rename(final)
            _sync(self._folder)
            for older in kept(self._folder):
                if older != final:
                    shutil.rmtree(older)
        self._world.wait()

    def _write(self, step: int) -> None:
        part = self._folder / f"step-{step:07}.part"
        path = part / f"rank-{self._world.rank}.safetensors"
        try:
            part.mkdir(exist_ok=True)
            save_file(self._copies, path)
            _sync(path)
            record = {"step": step, "sha256": _hash(path), "identity": self._identity}
            about = path.with_suffix(".json")
            about.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            _sync(about)
        except (OSError, SafetensorError) as error:
            self._problem = str(error)
            path.unlink(missing_ok=True)  # the disk may be full: what is no use gives its room back


def write_whole(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors to a file that is there whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = path.with_suffix(".part")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
        _sync(part)
        part.replace(path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
