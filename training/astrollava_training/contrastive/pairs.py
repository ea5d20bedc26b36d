"""Pictures and captions, from the same files that a LLaVA learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.contrastive.encoders import Encoders
from astrollava_training.contrastive.recipe import Pairs
from astrollava_training.dataset.pictures import PictureCache, RenderRule
from astrollava_training.dataset.rows import find_files, read_rows

__all__ = ["Captioned", "read_pairs"]


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pairs of a picture and its caption.

    Attributes
    ----------
    shades : ndarray of uint8, shape (pictures, size, size, 3)
    captions : tuple of str
        Of each picture.
    used : ndarray of int, shape (pairs,)
        Numbers of the pictures that can be read.
    """

    shades: NDArray[np.uint8]
    captions: tuple[str, ...]
    used: NDArray[np.int64]

    def pixels(self, chosen: NDArray[np.int64], encoders: Encoders) -> torch.Tensor:
        """Return some pictures as their encoder takes them."""
        rgb = torch.from_numpy(self.shades[chosen]).permute(0, 3, 1, 2).float() / 255.0
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (encoders.mean, encoders.std))
        return (rgb - mean) / std


def read_pairs(
    data: Pairs, root: Path, encoders: Any, cache: Path, *, workers: int = 1
) -> Captioned:
    """Read the pairs of a recipe; a picture in several rows has the caption of the first.

    Raises
    ------
    InvalidRequest
        If there are none, or more rows and pictures are corrupt than the recipe allows.
    """
    rows, bad = read_rows(find_files(data.files, root), root / data.images)
    captions = {row.picture: row.turns[0][1] for row in reversed(rows) if row.picture is not None}
    pictures = list(captions)[::-1]
    # Known before any of them is decoded.
    _check_held_out(len(pictures), data.held_out)
    background = tuple(int(255 * value) for value in encoders.mean)
    rule = RenderRule(encoders.size, data.render, background)  # type: ignore[arg-type]
    seen = PictureCache.open(pictures, rule, cache, workers=workers)
    corrupt = len(bad) + len(seen.bad)
    total = len(rows) + len(bad)
    if corrupt > data.corrupt * total:
        first = bad[0].reason if bad else next(iter(seen.bad.values()))
        raise InvalidRequest(
            f"{corrupt} of {total} rows or their pictures are corrupt, such as: {first}",
            expected=f"a share of {data.corrupt} at most",
            hint="Mend the data, or raise data.corrupt",
        )
    used = np.array([n for n in range(len(pictures)) if n not in seen.bad], np.int64)
    _check_held_out(len(used), data.held_out)
    return Captioned(seen.shades, tuple(captions[picture] for picture in pictures), used)


def _check_held_out(count: int, held_out: int) -> None:
    if count >= held_out + 2:
        return
    fits = max(count // 10, 2)
    raise InvalidRequest(
        f"there are {count} pictures with captions, and data.held_out = {held_out} holds out "
        "so many of them",
        expected=f"{held_out + 2} at least, of which two are learnt from",
        hint=f"Lower it: data.held_out = {fits} in the recipe, or --set data.held_out={fits}"
        if count >= fits + 2
        else "Name more pictures",
    )
