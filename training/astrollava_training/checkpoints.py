"""What a run keeps: written whole or not at all, and only for the recipe it belongs to."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from astrollava.errors import InvalidRequest
from astrollava_training.config import Recipe
from astrollava_training.data.facts import Facts
from astrollava_training.data.pool import Pool
from astrollava_training.seeing import Encoded

__all__ = ["Checkpoints"]


class Checkpoints:
    """The folder of a run.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``run.json`` (whose run it is), ``tokenizer.json``, the weights after each stage as
        ``<stage>.pt``, ``pool.npy`` and ``pool.npz`` (pictures and answers), ``encoded.npy`` and
        ``facts.json`` (the encoded pictures), ``log.jsonl``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "run.json"

    def claim(self, recipe: Recipe, votes: Path) -> None:
        """Make the folder that of a run, or raise `InvalidRequest` if it is that of another."""
        table = hashlib.sha256(votes.read_bytes()).hexdigest()
        self.check(recipe, table)
        if not self._record.exists() and (found := sorted(self.folder.glob("*.pt"))):
            raise InvalidRequest(
                f"{self.folder} holds {found[0].name} but no {self._record.name}",
                expected="an empty folder, or an earlier run with its record",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with _whole(self._record) as part:
            part.write_text(json.dumps(_identity(recipe, table), indent=1) + "\n", "utf-8")

    def check(self, recipe: Recipe, table: str | None = None) -> None:
        """Raise `InvalidRequest` if the folder is known to be that of another recipe or table.

        The ``export`` part may differ: training does not depend on it.
        """
        if not self._record.exists():
            return
        ours, theirs = _identity(recipe, table), json.loads(self._record.read_text("utf-8"))
        differing = [key for key, value in ours.items() if value not in (None, theirs.get(key))]
        if differing:
            raise InvalidRequest(
                f"{self.folder} holds another run: it differs in {', '.join(differing)}",
                expected="a run of the same recipe and table of votes",
                hint="Name another folder, or remove this one",
            )

    def restore(self, stage: str, model: nn.Module) -> bool:
        """Give the model its weights after a stage; False where that is not finished."""
        kept = self.folder / f"{stage}.pt"
        if kept.exists():
            model.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True))
        return kept.exists()

    def save(self, stage: str, model: nn.Module) -> None:
        """Keep the weights after a stage."""
        with _whole(self.folder / f"{stage}.pt") as part:
            torch.save(model.state_dict(), part)

    @overload
    def tokenizer(self, make: Callable[[], Tokenizer]) -> Tokenizer: ...
    @overload
    def tokenizer(self) -> Tokenizer | None: ...
    def tokenizer(self, make: Callable[[], Tokenizer] | None = None) -> Tokenizer | None:
        """Return the tokenizer of the run; made, where it can be, if there is none yet."""
        kept = self.folder / "tokenizer.json"
        if not kept.exists():
            if make is None:
                return None
            with _whole(kept) as part:
                make().save(str(part))
        return Tokenizer.from_file(str(kept))

    def pool(self, make: Callable[[Path], tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Pool:
        """Return the pool of the run; ``make`` writes its pictures to a path if there is none."""
        pictures, answers = self.folder / "pool.npy", self.folder / "pool.npz"
        # The answers are written last: with them the pictures are whole.
        if not answers.exists():
            with _whole(pictures) as part:
                targets, weights = make(part)
            with _whole(answers) as part, part.open("wb") as stream:
                np.savez(stream, targets=targets, weights=weights)
        with np.load(answers) as found:
            return Pool(np.load(pictures, mmap_mode="r"), found["targets"], found["weights"])

    def encoded(self, make: Callable[[], Encoded]) -> Encoded:
        """Return the encoded pictures of the run, made if there are none yet."""
        features, facts = self.folder / "encoded.npy", self.folder / "facts.json"
        # The facts are written last: with them the features are whole.
        if not facts.exists():
            made = make()
            with _whole(features) as part, part.open("wb") as stream:
                np.save(stream, made.features)
            with _whole(facts) as part:
                plain = [dataclasses.asdict(known) for known in made.facts]
                part.write_text(json.dumps(plain), encoding="utf-8")
        found = [Facts(**known) for known in json.loads(facts.read_text("utf-8"))]
        return Encoded(np.load(features, mmap_mode="r"), found)


def _identity(recipe: Recipe, table: str | None) -> dict[str, Any]:
    """Return what the weights of a run depend on; ``votes`` is the SHA-256 of the table."""
    identity = dataclasses.asdict(recipe) | {"votes": table}
    del identity["export"]
    return identity


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes ``path`` once all is written."""
    part = path.with_name(path.name + ".part")
    yield part
    part.replace(path)
