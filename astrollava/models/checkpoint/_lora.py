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
from ._names import canonical, stored_name
from ._tensor import READABLE, StoredTensor, Tensor, View, as_float32

__all__ = ["ADAPTER_CONFIG", "Adapter", "Merged", "find_adapter", "read_adapter"]

ADAPTER_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")

#: Values of ``init_lora_weights`` that leave the base model as it is.
_PLAIN_STARTS: Final = (None, True, False, "gaussian")

_BASE: Final = "the base model the adapter was trained on"
_GIVE_IT: Final = "Give its folder (--base)"


@dataclass(frozen=True)
class Merged(View):
    """A weight with its adapter added: ``W + scale * B @ A``, in float32."""

    a: StoredTensor
    b: StoredTensor
    scale: float

    @property
    def kind(self) -> str:
        """Single precision, whatever the weight's."""
        return "F32"

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The weight and both factors."""
        return self.base, self.a, self.b

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows of the sum."""
        values = as_float32(self.base.read(start, stop), self.base.kind)
        # A for each piece anew: those of all weights of a 13B model would take gigabytes.
        a = as_float32(self.a.read(), self.a.kind)
        b = as_float32(self.b.read(start, stop), self.b.kind)
        # What is not finite is found where it is written.
        with np.errstate(invalid="ignore", over="ignore"):
            merged: NDArray[Any] = values + np.float32(self.scale) * (b @ a)
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
            if base is None:
                present = {ours: weight.name for ours, weight in tensors.items()}
                raise InvalidCheckpoint(
                    f"the base model has no weight {stored_name(name, present)}, which the "
                    f"adapter's {a.name} changes",
                    expected=_BASE,
                    hint=_GIVE_IT,
                )
            rank = a.shape[0] if a.shape else 0
            if not rank or len(base.shape) != 2 or (b.shape, a.shape) != _factors(base.shape, rank):
                raise InvalidCheckpoint(
                    f"the adapter's {b.name} of shape {b.shape} and {a.name} of shape {a.shape} do "
                    f"not fit the base model's {base.name} of shape {base.shape}",
                    expected=f"{_BASE}{_in_shapes(base.shape)}",
                    hint=_GIVE_IT,
                )
            if base.kind not in READABLE:
                raise UnsupportedModel(
                    f"the base model's {base.name} is stored as {base.kind}",
                    expected=", ".join(READABLE),
                    hint="Give a base model that was not quantized (--base)",
                )
            scale = self.alpha / (math.sqrt(rank) if self.by_root else rank)
            merged[name] = Merged(base, a, b, scale)
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
    for found in halves.values():
        _check_halves(found)
    pairs = {whole: (found["A"], found["B"]) for whole, found in halves.items()}
    return Adapter(pairs, replaced, config.real("lora_alpha", 0.0, 1e6), config.flag("use_rslora"))


def _check_halves(found: Mapping[str, StoredTensor]) -> None:
    """Raise unless both factors of a weight are there, in numbers that can be read."""
    for half, other in ("AB", "BA"):
        if half not in found:
            there = found[other].name
            lacking = there.replace(f".lora_{other}", f".lora_{half}")
            raise InvalidCheckpoint(
                f"the adapter has {there} and lacks {lacking}",
                expected="both",
                hint="Download the adapter to its end",
            )
        if found[half].kind not in READABLE:
            raise UnsupportedModel(
                f"the adapter's {found[half].name} is stored as {found[half].kind}",
                expected=", ".join(READABLE),
            )


def _in_shapes(shape: tuple[int, ...]) -> str:
    """Return the shapes that factors of a matrix have, as the end of a sentence."""
    if len(shape) != 2:
        return ""
    return f": lora_B of ({shape[0]}, rank), lora_A of (rank, {shape[1]})"


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
