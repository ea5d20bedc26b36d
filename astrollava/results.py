"""What comes out: text, answers and labels, each with a record of how it was made.

All of it is frozen, plain data: it can be printed, pickled, compared and written as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Answer", "Classification", "Description", "Flag", "Provenance"]


@dataclass(frozen=True)
class Flag:
    """A claim in a text that the picture alone cannot support.

    Attributes
    ----------
    kind : str
        One of the kinds in `astrollava.grounding.KINDS`, for example ``"redshift"``.
    start, end : int
        The span ``text[start:end]`` in characters.
    text : str
        The words of the span.
    reason : str
        Why a picture cannot show it, in one sentence.
    """

    kind: str
    start: int
    end: int
    text: str
    reason: str


@dataclass(frozen=True)
class Provenance:
    """How a result came about: enough to repeat it.

    Attributes
    ----------
    model : mapping
        ``name``, ``files`` (role -> ``{"name", "sha256", "bytes"}``), ``quantization``, ``licence``.
    prompt : mapping
        ``id``, ``version`` and the ``text`` the user's turn carried.
    sampling : mapping
        ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repeat_penalty``, ``seed``, ``max_tokens``.
    rendering : mapping
        The `astrollava.images.Rendering` record.
    source : mapping
        ``kind``, ``path`` and ``sha256`` of the input, ``hdu``, ``shape``, ``centre`` (ICRS degrees) and
        ``pixel_scale`` (arcsec) where a WCS is there.
    generation : mapping
        ``finish_reason``, ``prompt_tokens``, ``generated_tokens``, ``seconds``.
    versions : mapping
        Versions of astrollava, llama-cpp-python, numpy, astropy, pillow and Python.
    created : str
        UTC time, ISO 8601.
    """

    model: Mapping[str, Any]
    prompt: Mapping[str, Any]
    sampling: Mapping[str, Any]
    rendering: Mapping[str, Any]
    source: Mapping[str, Any]
    generation: Mapping[str, Any]
    versions: Mapping[str, str]
    created: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Result:
    """What every result shares: provenance, a picture and ways to print it."""

    provenance: Provenance
    #: The picture the model saw, as PNG bytes; kept out of `repr` and of `to_dict`.
    thumbnail: bytes = field(default=b"", repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain dictionaries, without the thumbnail."""
        record = asdict(self)
        record.pop("thumbnail")
        return {"type": type(self).__name__, **record}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the result as JSON that validates against ``docs/schema/result.json``."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def _repr_html_(self) -> str:
        from astrollava._html import result_card

        return result_card(self)


@dataclass(frozen=True)
class Description(_Result):
    """A description of an image.

    Attributes
    ----------
    text : str
        What the model said.
    flags : tuple of Flag
        Claims in the text that a picture cannot support.
    """

    text: str = ""
    flags: tuple[Flag, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Answer(_Result):
    """An answer to a question about an image.

    Attributes
    ----------
    question : str
        The question asked.
    text : str
        What the model said.
    flags : tuple of Flag
        Claims in the text that a picture cannot support.
    """

    question: str = ""
    text: str = ""
    flags: tuple[Flag, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Classification(_Result):
    """Probabilities over a set of labels.

    Attributes
    ----------
    vocabulary : str
        Name of the label set, or ``"custom"``.
    probabilities : mapping
        Label -> probability in [0, 1], summing to one, most probable first.
    abstained : bool
        True where the highest probability is under `threshold`: the model does not know.
    threshold : float
        The probability under which the model abstains, in [0, 1].
    """

    vocabulary: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    abstained: bool = False
    threshold: float = 0.0

    @property
    def label(self) -> str:
        """The most probable label."""
        return next(iter(self.probabilities))

    @property
    def probability(self) -> float:
        """The probability of `label`, in [0, 1]."""
        return self.probabilities[self.label]

    def __str__(self) -> str:
        note = " (unsure)" if self.abstained else ""
        return f"{self.label} ({self.probability:.0%}){note}"
