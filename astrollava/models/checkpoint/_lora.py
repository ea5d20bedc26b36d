"""LoRA adapters (PEFT), merged into the weights row by row while these are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidCheckpoint, UnsupportedModel

from ._json import Settings, read_json
from ._names import canonical
from ._tensor import StoredTensor, Tensor, as_float32

__all__ = ["ADAPTER_CONFIG", "Adapter", "Merged", "find_adapter", "read_adapter"]

ADAPTER_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")

#: Values of ``init_lora_weights`` that leave the base model as it is.
_PLAIN_STARTS: Final = (None, True, False, "gaussian")


@dataclass(frozen=True)
class Merged:
    """A weight with its adapter added: ``W + scale * B @ A``, in float32."""

    base: Tensor
    a: NDArray[np.float32]
    b: StoredTensor
    scale: float
    kind: str = "F32"

    @property
    def name(self) -> str:
        """Name of the weight."""
        return self.base.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return self.base.shape

    @property
    def grain(self) -> int:
        """As for the weight alone."""
        return self.base.grain

    @property
    def place(self) -> tuple[str, int]:
        """Where the weight lies."""
        return self.base.place

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows of the sum."""
        values = as_float32(self.base.read(start, stop), self.base.kind)
        b = as_float32(self.b.read(start, stop), self.b.kind)
        merged: NDArray[Any] = values + np.float32(self.scale) * (b @ self.a)
        return merged


@dataclass(frozen=True)
class Adapter:
    """What an adapter does to a model.

    Attributes
    ----------
    pairs : mapping
        Weight -> its factors A and B.
    replaced : mapping
        Weight -> what stands in its place.
    alpha : float
        Numerator of the scale.
    by_root : bool
        Whether the scale's denominator is the root of the rank.
    """

    pairs: Mapping[str, tuple[StoredTensor, StoredTensor]]
    replaced: Mapping[str, StoredTensor]
    alpha: float
    by_root: bool

    def merge(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights with the adapter merged into them.

        Raises
        ------
        InvalidCheckpoint
            The adapter was made for another model.
        """
        merged = {**tensors, **self.replaced}
        for name, (a, b) in self.pairs.items():
            base = merged.get(name)
            rank = a.shape[0] if a.shape else 0
            shape = base.shape if base is not None else ()
            if base is None or len(shape) != 2 or (b.shape, a.shape) != _factors(shape, rank):
                raise InvalidCheckpoint(
                    f"the adapter changes {name} by {b.shape} x {a.shape}, the base model has "
                    f"{shape or 'no such weight'}",
                    expected="the base model the adapter was trained on",
                    hint="Give its folder as base",
                )
            scale = self.alpha / (math.sqrt(rank) if self.by_root else rank)
            merged[name] = Merged(base, as_float32(a.read(), a.kind), b, scale)
        return merged


def find_adapter(folder: Path) -> Path | None:
    """Return the file with a folder's adapter, None where there is none."""
    if not (folder / ADAPTER_CONFIG).is_file():
        return None
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise InvalidCheckpoint(
        f"{folder} has an {ADAPTER_CONFIG} and no weights for it",
        expected=" or ".join(_WEIGHTS),
        hint="Download the adapter to its end",
    )


def read_adapter(folder: Path, tensors: Mapping[str, StoredTensor]) -> Adapter:
    """Put the tensors of an adapter's file together.

    Raises
    ------
    UnsupportedModel
        It is more than plain LoRA.
    InvalidCheckpoint
        It is damaged.
    """
    config = Settings(read_json(folder / ADAPTER_CONFIG), ADAPTER_CONFIG)
    for part in _unsupported(config):
        raise UnsupportedModel(
            f"{folder} has {part}",
            expected="a plain LoRA adapter",
            hint="Merge it with PEFT (merge_and_unload) and convert the merged checkpoint",
        )
    halves: dict[str, dict[str, StoredTensor]] = {}
    replaced: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        place, mark, rest = name.partition(".lora_")
        if mark:
            # ".default" is the adapter's name, which some versions keep.
            half = rest.removesuffix(".weight").removesuffix(".default")
            whole = canonical(place + ".weight")
            if half not in ("A", "B") or whole is None:
                raise UnsupportedModel(f"the adapter has the tensor {name!r:.120}")
            halves.setdefault(whole, {})[half] = tensor
        elif whole := canonical(name.replace(".modules_to_save.default", "")):
            replaced[whole] = tensor
    for whole, found in halves.items():
        if len(found) != 2 or any(t.kind not in ("F32", "F16", "BF16") for t in found.values()):
            raise InvalidCheckpoint(f"the adapter lacks a readable A or B for {whole}")
    pairs = {whole: (found["A"], found["B"]) for whole, found in halves.items()}
    return Adapter(pairs, replaced, config.real("lora_alpha", 0.0, 1e6), config.flag("use_rslora"))


def _factors(shape: tuple[int, ...], rank: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (shape[0], rank), (rank, shape[1])


def _unsupported(config: Settings) -> Iterator[str]:
    kind = config.text("peft_type")
    if kind != "LORA":
        yield f"an adapter of the type {kind!r}"
    for key in ("use_dora", "fan_in_fan_out", "lora_bias"):
        if config.flag(key):
            yield f"a LoRA adapter with {key}"
    for key in ("alpha_pattern", "layer_replication", "megatron_config"):
        if config.get(key):
            yield f"a LoRA adapter with {key}"
    if (start := config.get("init_lora_weights")) not in _PLAIN_STARTS:
        yield f"a LoRA adapter that changed its base model at the start ({start!r:.40})"
