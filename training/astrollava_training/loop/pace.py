"""How fast, of what is possible: operations a step needs, what a device can do, energy, memory.

Model FLOP utilisation (Chowdhery et al. 2022, arXiv:2204.02311, appendix B) counts what the model
needs, not what the machine does: activations computed again and padding count for nothing, and a
weight that is frozen has no gradient to count.
"""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["PEAKS", "Energy", "Work", "memory_used", "peak_operations"]

PEAKS = {
    "H200": 989e12, "H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12,
    "A10G": 70e12, "L40S": 362e12, "L4": 121e12, "B200": 2250e12, "RTX 4090": 165e12,
}  # fmt: skip
"""Dense bfloat16 operations a second of NVIDIA's data sheets, by a part of the device's name."""

_MEASURED_SIDE = 2048


@dataclass(frozen=True)
class Work:
    """Operations that a model needs, from the weights it multiplies with.

    Attributes
    ----------
    each_token : float
        For a token of the language model, attention apart.
    each_learned : float
        For a token that a loss is taken on: the head.
    each_square : float
        For the square of a conversation's length: causal attention.
    each_picture : float
        For a picture: tower and projector.
    """

    each_token: float
    each_learned: float
    each_square: float
    each_picture: float

    @classmethod
    def of(cls, model: Any, image_tokens: int) -> Work:
        """Count the operations of a LLaVA of transformers, as it is frozen now.

        Parameters
        ----------
        model : LlavaForConditionalGeneration
        image_tokens : int
            Tokens a picture takes in the language model.
        """
        inner = model.model
        tower, projector = inner.vision_tower, inner.multi_modal_projector
        seen, said = model.config.vision_config, model.config.text_config
        patches = (seen.image_size // seen.patch_size) ** 2
        trains_tower = any(p.requires_grad for p in tower.parameters())
        width = getattr(said, "head_dim", None) or said.hidden_size // said.num_attention_heads
        # Two operations a weight forwards; two more where a gradient passes through it, and two
        # where one is taken of it. Gradients pass through the whole language model: what is trained
        # lies before it, or is it.
        return cls(
            each_token=_linear(inner.language_model.modules(), passes=True),
            each_learned=_linear([model.lm_head], passes=True),
            each_square=6.0 * said.num_hidden_layers * said.num_attention_heads * width,
            each_picture=_linear(tower.modules(), passes=trains_tower) * patches
            + 4.0 * patches**2 * seen.hidden_size * seen.num_hidden_layers
            * (3.0 if trains_tower else 1.0)
            + _linear(projector.modules(), passes=trains_tower) * image_tokens,
        )  # fmt: skip

    def operations(self, lengths: Sequence[int], learned: int, pictures: int) -> float:
        """Return the operations of conversations of these lengths, in tokens."""
        return (
            self.each_token * sum(lengths)
            + self.each_square * sum(length * length for length in lengths)
            + self.each_learned * learned
            + self.each_picture * pictures
        )


def _linear(modules: Iterable[nn.Module], *, passes: bool) -> float:
    total = 0.0
    for module in modules:
        if isinstance(module, nn.Linear | nn.Conv2d):
            weight = module.weight
            total += weight.numel() * (2 + 2 * passes + 2 * weight.requires_grad)
    return total


def peak_operations(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """Return the operations a second a device can do, and where that is from.

    What a data sheet does not say is measured, with a product of matrices.
    """
    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        for part, peak in PEAKS.items():
            if part in name:
                return peak, f"data sheet of the {part}"
    side = _MEASURED_SIDE if device.type == "cuda" else _MEASURED_SIDE // 2
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(4):
        _finish(device)
        began = time.perf_counter()
        a @ b
        _finish(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best, f"measured with a product of {side} x {side} matrices"


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_used(device: torch.device) -> int:
    """Bytes: the most a GPU has had allocated so far, or the most this process has held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Energy:
    """Joules that a GPU has used since this was made, as its driver counts them (NVML)."""

    def __init__(self, device: torch.device, library: str = "libnvidia-ml.so.1") -> None:
        self._nvml: Any = None
        if device.type != "cuda":
            return
        try:
            nvml = ctypes.CDLL(library)
            handle = ctypes.c_void_p()
            # By its identity: CUDA_VISIBLE_DEVICES renumbers GPUs for CUDA, not for NVML.
            identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
            if nvml.nvmlInit_v2() == 0 and not nvml.nvmlDeviceGetHandleByUUID(
                ctypes.c_char_p(identity), ctypes.byref(handle)
            ):
                self._nvml, self._handle = nvml, handle
                self._begun = self._millijoules()
        except (OSError, AttributeError):
            self._nvml = None

    def joules(self) -> float | None:
        """Return the energy used; None where nothing counts it."""
        now = self._millijoules()
        return None if now is None or self._begun is None else (now - self._begun) / 1000.0

    def _millijoules(self) -> int | None:
        if self._nvml is None:
            return None
        found = ctypes.c_ulonglong()
        failed = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(found))
        return None if failed else found.value
