"""The teacher: a small convolutional network, which learns pictures in minutes.

A transformer that starts from scratch needs many times the pictures, for it must find out that
neighbouring pixels belong together. It learns faster from this network, which gives it a target for
every patch (see ``docs/decisions/0007``). The teacher is no part of the model.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

from astrollava_training.config import Vision
from astrollava_training.data.facts import TARGETS

__all__ = ["Teacher"]

_LEAST_WIDTH = 8
_DROPPED = 0.2  # of the features before the answers


class Teacher(nn.Module):
    """Convolutions that halve the picture until a pixel is as large as a patch of the tower.

    Parameters
    ----------
    vision : Vision
        The tower it is to teach: it has as many tokens, of the same width.

    Attributes
    ----------
    answers : nn.Linear
        From the mean over the patches to the questions of the tree.
    """

    def __init__(self, vision: Vision) -> None:
        super().__init__()
        halvings = max(round(math.log2(vision.patch_size)), 1)
        widths = [
            max(vision.hidden_size >> (halvings - 1 - k), _LEAST_WIDTH) for k in range(halvings)
        ]
        widths[-1] = vision.hidden_size
        # The first sees enough of the picture at once to tell an edge from noise.
        first = nn.Conv2d(3, widths[0], 6, stride=2, padding=2, bias=False)
        self.body = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)),
            *(_Halving(a, b) for a, b in itertools.pairwise(widths)),
            nn.AdaptiveAvgPool2d(vision.image_size // vision.patch_size),
        )
        self.dropped = nn.Dropout(_DROPPED)
        self.answers = nn.Linear(widths[-1], len(TARGETS))

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (n, 3, size, size) to features (n, tokens, width), row by row."""
        seen: torch.Tensor = self.body(pixels.contiguous(memory_format=torch.channels_last))
        return seen.flatten(2).transpose(1, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (n, 3, size, size) to logits (n, len(TARGETS))."""
        answers: torch.Tensor = self.answers(self.dropped(self.patches(pixels).mean(1)))
        return answers


class _Halving(nn.Module):
    """Two convolutions beside a shortcut, at half the size.

    Means of four pixels rather than a stride: patches stay where they are, whichever way the
    picture is turned.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.smaller = nn.AvgPool2d(2)
        self.convolved = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.passed = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        seen = self.smaller(seen)
        return torch.relu(self.convolved(seen) + self.passed(seen))
