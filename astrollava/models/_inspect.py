"""Asking a header for values and tensors, each with the type and range llama.cpp can bear."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Final

from astrollava.errors import InvalidModelFile

from ._formats import WEIGHT_TYPES
from ._header import GGUFHeader, LazyArray, TensorInfo, Value

__all__ = ["F32", "Inspector"]

F32: Final = frozenset({"F32"})
_MISSING: Final = object()


class Inspector:
    """Reads one header; raises `InvalidModelFile` on the first value that is not as it must be."""

    def __init__(self, header: GGUFHeader) -> None:
        self.header = header
        self.tensors = {t.name: t for t in header.tensors}

    def fail(self, problem: str, expected: str = "", hint: str = "") -> InvalidModelFile:
        """Make the error for this file."""
        return InvalidModelFile(f"{self.header.path}: {problem}", expected=expected, hint=hint)

    def has(self, key: str) -> bool:
        """Say whether the metadata have the key."""
        return key in self.header.metadata

    def value(self, key: str, types: Collection[str], default: object = _MISSING) -> Value | None:
        """Return the value of a key, which must be of one of the types if it is there."""
        if key not in self.header.metadata:
            if default is _MISSING:
                raise self.fail(f"lacks the metadata key {key!r}")
            assert default is None
            return None
        kind = self.header.types[key]
        value = self.header.metadata[key]
        if kind not in types or (kind == "str" and isinstance(value, LazyArray)):
            raise self.fail(f"{key} has the type {kind}", expected=" or ".join(sorted(types)))
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a u32 within the range; it must be there unless there is a default."""
        value = self.value(key, {"u32"}, _MISSING if default is None else None)
        if value is None:
            assert default is not None
            return default
        assert isinstance(value, int)
        if not low <= value <= high:
            raise self.fail(f"{key} is {value}", expected=f"between {low} and {high}")
        return value

    def real(self, key: str, *, above: float = -math.inf, least: float = -math.inf) -> float | None:
        """Return a finite f32 within the range, or None where the key is missing."""
        value = self.value(key, {"f32"}, None)
        if value is None:
            return None
        assert isinstance(value, float)
        if not (math.isfinite(value) and value > above and value >= least):
            bound = f" above {above}" if above > -math.inf else ""
            bound += f" of at least {least}" if least > -math.inf else ""
            raise self.fail(f"{key} is {value}", expected=f"a finite number{bound}")
        return value

    def text(self, key: str) -> str | None:
        """Return a string, or None where the key is missing."""
        value = self.value(key, {"str"}, None)
        assert value is None or isinstance(value, str)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a bool."""
        value = self.value(key, {"bool"}, None)
        return default if value is None else bool(value)

    def integers(self, key: str, low: int, high: int, count: int) -> tuple[int, ...]:
        """Return `count` integers: those of an array, or a single value that stands for all."""
        value = self.value(key, {"u32", "[u32]", "[i32]", "[bool]"}, None)
        if value is None:
            return ()
        values = value if isinstance(value, tuple) else (value,) * count
        if len(values) != count:
            raise self.fail(f"{key} has {len(values)} elements", expected=f"{count}")
        numbers = tuple(int(v) for v in values if isinstance(v, int))
        if len(numbers) != count or not all(low <= n <= high for n in numbers):
            raise self.fail(f"{key} is {value!r:.80}", expected=f"values between {low} and {high}")
        return numbers

    def tensor(self, name: str) -> TensorInfo:
        """Return a tensor that must be there."""
        if name not in self.tensors:
            raise self.fail(f"lacks the tensor {name!r}")
        return self.tensors[name]

    def shape(
        self,
        name: str,
        shape: Iterable[int],
        types: Collection[str] = WEIGHT_TYPES,
        *,
        optional: bool = False,
    ) -> None:
        """Hold a tensor against a shape (fastest-varying size first) and the types it may have."""
        if optional and name not in self.tensors:
            return
        tensor = self.tensor(name)
        wanted = _trimmed(shape)
        if _trimmed(tensor.shape) != wanted:
            raise self.fail(
                f"the tensor {name!r} has the shape {tensor.shape}", expected=f"{wanted}"
            )
        self.stored_as(tensor, types)

    def stored_as(self, tensor: TensorInfo, types: Collection[str]) -> None:
        """Hold the type of a tensor against those it may have."""
        if tensor.type not in types:
            raise self.fail(
                f"the tensor {tensor.name!r} is stored as {tensor.type}",
                expected=" or ".join(sorted(types)),
            )


def _trimmed(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = list(shape)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes) or (1,)
