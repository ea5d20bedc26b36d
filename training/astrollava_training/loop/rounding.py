"""Weights in sixteen bits that keep what nearest rounding throws away, and states in eight.

A weight in bfloat16 has eight significant bits: a step of 2e-5 on a weight of 0.02 is lost in
nearest rounding. Stochastic rounding goes up or down with the chance that the lost bits say, so
steps add up on average (Gupta et al. 2015, arXiv:1502.02551). The chances are a hash of seed and
place: the same on every device and after every restart, with no generator to be kept.
"""

from __future__ import annotations

import torch

__all__ = ["Eight", "add_rounded", "decode", "encode", "mix", "stochastic"]

_BLOCK = 256
_LARGEST = 448.0  # of float8_e4m3fn

Eight = tuple[torch.Tensor, torch.Tensor]
"""Values as float8 of blocks, (blocks, 256), and the scale of each block, float32 (blocks, 1)."""


def mix(*numbers: int) -> int:
    """Make one 31-bit seed of several numbers."""
    value = 0
    for number in numbers:
        value = (value ^ (number & 0xFFFFFFFF)) * 0x9E3779B1 & 0xFFFFFFFF
        value ^= value >> 15
        value = value * 0x85EBCA77 & 0xFFFFFFFF
        value ^= value >> 13
    return value & 0x7FFFFFFF


def stochastic(values: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Round float32 to bfloat16 stochastically.

    Parameters
    ----------
    values : Tensor of float32
        Finite.
    seed : Tensor of int32, scalar
        On the device of the values.

    Returns
    -------
    Tensor of bfloat16, of the same shape
    """
    flat = values.reshape(-1)
    # The low-bias hash of Wellons (https://nullprogram.com/blog/2018/07/31/) of place and seed.
    # Shifts of int32 carry the sign along, so the bits shifted in are cleared.
    draws = torch.arange(flat.numel(), dtype=torch.int32, device=flat.device) + seed
    draws = (draws ^ ((draws >> 16) & 0xFFFF)) * 0x7FEB352D
    draws = (draws ^ ((draws >> 15) & 0x1FFFF)) * -0x7B935975
    draws = (draws ^ ((draws >> 16) & 0xFFFF)) & 0xFFFF
    bits = (flat.view(torch.int32) + draws) & -0x10000
    return bits.view(torch.float32).view(values.shape).to(torch.bfloat16)


def add_rounded(total: torch.Tensor, more: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Add to a bfloat16 sum with stochastic rounding."""
    return stochastic(total.float() + more.float(), seed)


def encode(values: torch.Tensor) -> Eight:
    """Keep values as float8, each block of 256 on a scale of its own.

    Parameters
    ----------
    values : Tensor of float32
        Finite. Three significant bits are kept of what is no smaller than 4e-5 of the largest in
        its block; what is below 4e-6 of it becomes zero.
    """
    flat = values.reshape(-1)
    flat = torch.nn.functional.pad(flat, (0, -flat.numel() % _BLOCK)).view(-1, _BLOCK)
    scale = flat.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / _LARGEST
    return (flat / scale).clamp(-_LARGEST, _LARGEST).to(torch.float8_e4m3fn), scale


def decode(kept: Eight, shape: torch.Size) -> torch.Tensor:
    """Return what `encode` was given, in float32."""
    codes, scale = kept
    return (codes.float() * scale).view(-1)[: shape.numel()].view(shape)
