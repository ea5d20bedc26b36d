"""How far a pair is from the model it was made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest

__all__ = ["Limits", "ParityReport"]


@dataclass(frozen=True)
class Limits:
    """How near a pair must be to be called the same; the defaults are for f32 and f16.

    Attributes
    ----------
    cosine : float
        The cosine every patch must exceed, in [-1, 1).
    logits : float
        What the relative error of the logits must stay below.
    gap : float
        Texts may part where torch's two best tokens are nearer than this (nats).

    Raises
    ------
    InvalidRequest
        A limit is out of range.
    """

    cosine: float = 0.999
    logits: float = 0.02
    gap: float = 0.2

    def __post_init__(self) -> None:
        if not -1.0 <= self.cosine < 1.0:
            raise InvalidRequest(
                f"the least cosine is {self.cosine}", expected="a number from -1 to below 1"
            )
        for name, value in (("error of the logits", self.logits), ("gap", self.gap)):
            if not value > 0.0:
                raise InvalidRequest(f"the largest {name} is {value}", expected="more than 0")


@dataclass(frozen=True, eq=False)
class ParityReport:
    """How far a pair is from the model it was made of.

    Attributes
    ----------
    cosine : ndarray of float64, shape (images, patches)
        Cosine between torch's and llama.cpp's embedding of each patch.
    lost : tuple of int
        Patches llama.cpp does not give, for which another stands in: left out of the figures.
    logits : float
        Largest relative error, over the pictures, of the logits of the first token of the answer:
        the norm of the difference over the norm of torch's.
    logits_same_image : float
        The same where torch reads llama.cpp's own embedding of the picture: what the language
        model alone contributes.
    logprob_error : float
        Largest difference, over the pictures, of the mean log-probability per token of torch's
        greedy text (nats).
    same : tuple of bool
        For each picture, whether the greedy texts are the same.
    gap : float
        Where texts differ, the largest gap (nats) between torch's two best tokens at the first
        difference; near zero, rounding broke a tie. Zero where all texts are the same.
    differing : tuple of (str, str)
        Torch's and llama.cpp's texts where they differ.
    repaired : tuple of str
        What was wrong with the projector file and repaired for the comparison.
    made_of_it : bool or None
        Whether the pair says that it was made of this checkpoint's files, by their hashes; None
        where it does not say. Weights saved anew have other hashes: it is told, and decides
        nothing.
    limits : Limits
        What `is_same` judges by.
    """

    cosine: NDArray[np.float64] = field(repr=False)
    lost: tuple[int, ...]
    logits: float
    logits_same_image: float
    logprob_error: float
    same: tuple[bool, ...]
    gap: float
    differing: tuple[tuple[str, str], ...] = field(repr=False)
    repaired: tuple[str, ...] = ()
    made_of_it: bool | None = None
    limits: Limits = Limits()

    @property
    def is_same(self) -> bool:
        """The verdict: whether the pair says what the model says, within `limits`."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """What is beyond `limits`, in words."""
        found = []
        # Written so that NaN fails.
        if not self.cosine_min > self.limits.cosine:
            found.append(f"a patch has cosine {self.cosine_min:.4g}, not {self.limits.cosine:g}")
        if not self.logits < self.limits.logits:
            found.append(f"the logits are {self.logits:.2g} off, not {self.limits.logits:g}")
        if not self.same_text and not self.gap < self.limits.gap:
            found.append(f"texts part at a gap of {self.gap:.2g} nats, not {self.limits.gap:g}")
        return tuple(found)

    @property
    def images(self) -> int:
        """Pictures compared."""
        return len(self.same)

    @property
    def given(self) -> NDArray[np.float64]:
        """The cosines of the patches llama.cpp gives, shape (images, patches - lost)."""
        return np.delete(self.cosine, list(self.lost), axis=1)

    @property
    def cosine_min(self) -> float:
        """The least cosine of a patch."""
        return float(self.given.min())

    @property
    def cosine_median(self) -> float:
        """The median cosine of a patch."""
        return float(np.median(self.given))

    @property
    def same_text(self) -> bool:
        """Whether all greedy texts are the same."""
        return all(self.same)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "same": self.is_same,
            "failures": list(self.failures),
            "limits": asdict(self.limits),
            "made_of_it": self.made_of_it,
            "images": self.images,
            "cosine": {
                "min": self.cosine_min,
                "median": self.cosine_median,
                "patches": self.cosine.shape[1] - len(self.lost),
                "lost": {str(patch): float(self.cosine[:, patch].min()) for patch in self.lost},
            },
            "logits": self.logits,
            "logits_same_image": self.logits_same_image,
            "logprob_error": self.logprob_error,
            "same_text": self.same_text,
            "same_texts": sum(self.same),
            "gap": self.gap,
            "differing": [list(texts) for texts in self.differing],
            "repaired": list(self.repaired),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of a table: what was compared, and how it came out."""
        rows = [
            ("pictures", str(self.images)),
            ("cosine per patch, least", f"{self.cosine_min:.7f}"),
            ("cosine per patch, median", f"{self.cosine_median:.7f}"),
            *(
                (f"cosine of patch {patch}, which llama.cpp loses", f"{least:.4f}")
                for patch, least in self.to_dict()["cosine"]["lost"].items()
            ),
            ("logits of the first token, relative error", f"{self.logits:.2g}"),
            ("the same, both reading llama.cpp's picture", f"{self.logits_same_image:.2g}"),
            ("log-probability per token, difference", f"{self.logprob_error:.2g}"),
            ("same greedy text", f"{sum(self.same)} of {self.images}"),
        ]
        if self.gap:
            rows.append(("torch's two best tokens where texts part", f"{self.gap:.2g} nats apart"))
        if self.repaired:
            rows.append(("repaired in the projector file", ", ".join(self.repaired)))
        if self.made_of_it is False:
            rows.append(("made of", "another checkpoint, by the hashes in the pair"))
        rows.append(("verdict", "the same" if self.is_same else "not the same"))
        rows += [("", problem) for problem in self.failures]
        return rows

    def __str__(self) -> str:
        width = max(len(what) for what, _ in self.rows())
        return "\n".join(f"{what:{width}}  {value}" for what, value in self.rows())
