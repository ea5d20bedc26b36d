"""What benchmarks of the engine share: pairs of files, pictures, and tables of promises."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np
from PIL import Image

from astrollava import Describer, models
from astrollava.engine.quantize import quantize
from astrollava.models import gguf as headers
from tiny_pair import TinyPair, write_pair

__all__ = ["N_CTX", "Pair", "Report", "embedded_pair", "galaxy", "made_pair", "timed"]

N_CTX = 1024
#: 18 layers of 4.7M weights; 13 of 5.9M and two matrices of 5,363 tokens: 85M each.
MADE = TinyPair(
    width=768, layers=13, heads=12, merges=5100, context=N_CTX, side=128, patch=16,
    tower_width=768, tower_layers=18, dtype=gguf.GGMLQuantizationType.F16,
)  # fmt: skip

Done = TypeVar("Done")


@dataclass(frozen=True)
class Pair:
    """Files of a model, how much it may say, and how much faster many images are promised to be."""

    name: str
    text: Path
    mmproj: Path
    max_tokens: int
    promise: float

    def describer(self, parallel: int | None = None) -> Describer:
        """Load it as a user does."""
        return Describer(self.text, mmproj=self.mmproj, n_ctx=N_CTX, parallel=parallel)

    @property
    def weights(self) -> tuple[int, int]:
        """How many numbers each image patch, and each token, is multiplied with."""
        tower, text = (
            sum(int(np.prod(t.shape)) for t in headers.read_header(path).tensors
                if not t.name.endswith("_embd.weight"))
            for path in (self.mmproj, self.text)
        )  # fmt: skip
        return tower, text


def made_pair(folder: Path) -> Pair:
    """Write a pair of random weights, Q8_0, of 85M parameters each."""
    small = folder / "text-q8_0.gguf", folder / "mmproj-q8_0.gguf"
    for source, target in zip(write_pair(folder, MADE), small, strict=True):
        quantize(source, target, "q8_0")
        source.unlink()
    return Pair("made", *small, max_tokens=48, promise=2.0)


def embedded_pair() -> Pair:
    """Find the model that comes with the package."""
    files = models.resolve("embedded")
    return Pair("embedded", files.text, files.mmproj, max_tokens=256, promise=4.0)


def galaxy(seed: int, side: int) -> bytes:
    """Draw something like a galaxy, as the bytes of a PNG file."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    angle, ratio, scale = random.uniform((0, 0.2, 0.04), (np.pi, 1, 0.2))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / ratio
    light = 230 * np.exp(-np.hypot(along, across) / scale)[..., None] * random.uniform(0.6, 1, 3)
    picture = np.clip(light + random.normal(10, 4, (side, side, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    return out.getvalue()


def timed(task: Callable[..., Done], *given: Any, **named: Any) -> tuple[float, Done]:
    """Call `task`; return the seconds it took, and what it gave."""
    began = time.perf_counter()
    done = task(*given, **named)
    return time.perf_counter() - began, done


class Report:
    """A table, line by line, and whether every promise in it was kept."""

    def __init__(self) -> None:
        self.kept = True

    def title(self, text: str) -> None:
        """Begin a table."""
        print(f"\n{text}", flush=True)

    def row(self, what: str, value: str, *, promise: str = "", kept: bool | None = None) -> None:
        """Add a line; `kept` says whether its promise was."""
        mark = {None: "", True: "kept", False: "NOT KEPT"}[kept]
        self.kept &= kept is not False
        print(f"  {what:<60}{value:>18}  {promise:<14}{mark}".rstrip(), flush=True)
