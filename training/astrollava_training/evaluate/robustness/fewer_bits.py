"""The same model in fewer bits: what it says otherwise, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astrollava import Describer
from astrollava.models import resolve
from astrollava.quantize import quantize
from astrollava_training.evaluate.llama_model import LlamaModel
from astrollava_training.evaluate.models import Model

__all__ = ["KINDS", "stored_as", "whole"]

#: Storage types compared with f16, of the language model; the tower gets `quantize`'s default.
KINDS: tuple[str, ...] = ("q8_0", "q4_k_m", "q4_0")


def whole(name: str, folder: Path) -> Path:
    """Store a GGUF pair in f16, the type that the others are made of and compared with.

    Parameters
    ----------
    name : str
        What `open_model` takes; not a checkpoint.
    folder : pathlib.Path
        Where the pair goes, in a folder of its own.

    Returns
    -------
    pathlib.Path
        That folder. What is quantized already is taken apart: its own loss is not in the
        comparison.
    """
    text, _, mmproj = name.partition(",")
    out = folder / "f16"
    files = resolve(text, mmproj or None)
    quantize(files, "f16", out, mmproj_quantize="f16", requantize=True)
    return out


@contextmanager
def stored_as(kind: str, f16: Path, *, threads: int | None = None) -> Iterator[Model]:
    """Open the pair in a type, made of that in f16 where it is not f16 itself."""
    folder = f16 if kind == "f16" else f16.parent / kind
    if kind != "f16":
        quantize(str(f16), kind, folder)
    with LlamaModel(Describer(folder, threads=threads)) as model:
        yield model
