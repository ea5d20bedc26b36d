"""Taking the weights a model needs out of those there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, overload

from astrollava.errors import InvalidCheckpoint, UnsupportedModel
from astrollava.models.checkpoint import READABLE, Tensor, stored_name

__all__ = ["Needs"]


class Needs:
    """Hands out weights by name, holds them against a shape and remembers which are left."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._left = dict.fromkeys(tensors)

    def tensor(self, name: str) -> Tensor:
        """Return a weight that must be there."""
        tensor = self._tensors.get(name)
        if tensor is None:
            present = {ours: weight.name for ours, weight in self._tensors.items()}
            raise InvalidCheckpoint(
                f"the checkpoint lacks the weight {stored_name(name, present)}",
                hint="Its files may be incomplete, or its configuration that of another model",
            )
        return tensor

    @overload
    def take(self, name: str, shape: tuple[int, ...]) -> Tensor: ...
    @overload
    def take(self, name: str, shape: tuple[int, ...], *, optional: Literal[False]) -> Tensor: ...
    @overload
    def take(self, name: str, shape: tuple[int, ...], *, optional: bool) -> Tensor | None: ...
    def take(self, name: str, shape: tuple[int, ...], *, optional: bool = False) -> Tensor | None:
        """Return a weight, which must have the shape and numbers that can be read."""
        if optional and name not in self._tensors:
            return None
        tensor = self.tensor(name)
        if tensor.shape != shape:
            raise InvalidCheckpoint(
                f"the weight {tensor.name} has the shape {tensor.shape}",
                expected=f"{shape} by the configuration",
            )
        if tensor.kind not in READABLE:
            raise UnsupportedModel(
                f"the weight {tensor.name} is stored as {tensor.kind}",
                expected=", ".join(READABLE),
                hint="Convert the checkpoint that was not quantized",
            )
        self._left.pop(name, None)
        return tensor

    def skip(self, *prefixes: str) -> None:
        """Forget weights that are not needed."""
        for name in [name for name in self._left if name.startswith(prefixes)]:
            del self._left[name]

    def rest(self, prefix: str) -> list[str]:
        """Return what the files call those that nobody took."""
        return [self._tensors[name].name for name in self._left if name.startswith(prefix)]
