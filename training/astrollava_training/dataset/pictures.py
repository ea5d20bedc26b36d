"""Pictures, decoded and rendered once into one memory-mapped file of shades."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import AstrollavaError, ImageError, NotEnoughSpace
from astrollava_training.dataset.shards import Member

__all__ = ["Picture", "PictureCache", "RenderRule"]

Picture: TypeAlias = Path | Member

_VERSION = 1
_AT_ONCE = 16  # pictures a process is given at a time


@dataclass(frozen=True)
class RenderRule:
    """How a picture is brought to the tower's input; what a model was trained with, it needs again.

    Attributes
    ----------
    size : int
        Side of the square in pixels.
    rule : {"pad", "crop", "stretch"}
    background : (int, int, int)
        Colour of the padding: LLaVA's is the mean colour of its tower.
    """

    size: int
    rule: str = "pad"
    background: tuple[int, int, int] = (0, 0, 0)


class PictureCache:
    """Every picture of a data set as the tower takes it.

    Attributes
    ----------
    shades : ndarray of uint8, shape (pictures, size, size, 3)
        Mapped from the disk. A picture that cannot be read is black, and in `bad`.
    bad : dict of int to str
        Number of a picture that cannot be read, and why.
    """

    def __init__(self, shades: NDArray[np.uint8], bad: dict[int, str]) -> None:
        self.shades = shades
        self.bad = bad

    @classmethod
    def open(
        cls, pictures: Sequence[Picture], rule: RenderRule, folder: Path, *, workers: int = 1
    ) -> PictureCache:
        """Open the cache of some pictures, made if it is not there.

        Parameters
        ----------
        pictures : sequence of Path or Member
        rule : RenderRule
        folder : Path
            Where ``pictures-….u8`` is kept; its name holds what the shades depend on, so a file
            that changed, or another rule, makes another cache.
        workers : int
            Processes that decode; 0 decodes in this one.

        Raises
        ------
        NotEnoughSpace
            If the disk has no room for the shades.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"pictures-{_key(pictures, rule)}.u8"
        index = path.with_suffix(".json")
        shape = (len(pictures), rule.size, rule.size, 3)
        # The index is written last: with it the shades are whole.
        if not index.exists():
            bad = _fill(path, pictures, rule, shape, workers)
            part = index.with_suffix(".part")
            record = {"rule": asdict(rule), "pictures": len(pictures), "bad": bad}
            part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            part.replace(index)
        found = json.loads(index.read_text(encoding="utf-8"))["bad"]
        shades: NDArray[np.uint8] = (
            np.memmap(path, np.uint8, "r", shape=shape) if pictures else np.zeros(shape, np.uint8)
        )
        return cls(shades, {int(number): reason for number, reason in found.items()})


def _key(pictures: Sequence[Picture], rule: RenderRule) -> str:
    digest = hashlib.sha256(json.dumps([_VERSION, asdict(rule)]).encode())
    for picture in pictures:
        file = picture.shard if isinstance(picture, Member) else picture
        about = file.stat()
        place = (picture.name, picture.offset) if isinstance(picture, Member) else ()
        digest.update(repr((str(file), about.st_size, about.st_mtime_ns, *place)).encode())
    return digest.hexdigest()[:16]


def _fill(
    path: Path,
    pictures: Sequence[Picture],
    rule: RenderRule,
    shape: tuple[int, int, int, int],
    workers: int,
) -> dict[int, str]:
    needed = int(np.prod(shape))
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise NotEnoughSpace(
            f"{len(pictures)} pictures take {needed / 1e9:.1f} GB, {path.parent} has room for "
            f"{free / 1e9:.1f} GB",
            expected="room for every picture as the tower takes it",
        )
    part = path.with_suffix(".u8.part")
    with part.open("wb") as stream:
        stream.truncate(needed)
    parts = [
        range(begin, min(begin + _AT_ONCE, len(pictures)))
        for begin in range(0, len(pictures), _AT_ONCE)
    ]
    bad: dict[int, str] = {}
    with ExitStack() as stack:
        work: Iterator[dict[int, str]]
        given = (([pictures[n] for n in numbers], numbers) for numbers in parts)
        if workers:
            # Not forked: this process may hold threads of torch.
            pool: Executor = stack.enter_context(
                ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            )
            futures = [pool.submit(_decode, part, shape, rule, *one) for one in given]
            work = (future.result() for future in futures)
        else:
            work = (_decode(part, shape, rule, *one) for one in given)
        from tqdm import tqdm

        with tqdm(total=len(pictures), desc="pictures", unit="", disable=None) as bar:
            for found, numbers in zip(work, parts, strict=True):
                bad |= found
                bar.update(len(numbers))
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(path)
    return bad


def _decode(
    path: Path,
    shape: tuple[int, int, int, int],
    rule: RenderRule,
    pictures: Sequence[Picture],
    numbers: range,
) -> dict[int, str]:
    """Write some pictures into the file; return those that cannot be read, and why."""
    from astrollava.images import read, render

    shades = np.memmap(path, np.uint8, "r+", shape=shape)
    bad: dict[int, str] = {}
    for number, picture in zip(numbers, pictures, strict=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers; what cannot be read is an error
                image = read(picture.read() if isinstance(picture, Member) else picture)
                shades[number] = render(
                    image, size=(rule.size, rule.size), rule=rule.rule, background=rule.background
                ).rgb
        except (ImageError, OSError, MemoryError) as error:
            about = error.problem if isinstance(error, AstrollavaError) else str(error)
            bad[number] = about or type(error).__name__
    shades.flush()
    return bad
