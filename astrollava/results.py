"""What comes out: text, answers and labels, each with a record of how it was made.

All of it is frozen, plain data: it can be printed, pickled, compared, hashed and written as JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from astrollava.errors import InvalidRequest

__all__ = [
    "Answer",
    "Catalogued",
    "Classification",
    "Description",
    "Extraction",
    "Flag",
    "Provenance",
]

_PRESENT_FROM = 0.5


class _Record(dict[str, Any]):
    """A dictionary that cannot be changed: prints, compares and becomes JSON like any other."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("a result cannot be changed; result.to_dict() gives a copy that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[object, ...]:
        # Unpickling would otherwise set item by item.
        return (type(self), (dict(self),))


def _plain(value: Any) -> Any:
    """Turn a value into frozen plain data; what JSON cannot say becomes None or words."""
    if value is None or isinstance(value, bool):
        return value
    # Subclasses are made plain too: numpy's float64 is a float, its str_ a str, an Enum either.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return _Record({str(key): _plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, set | frozenset):
        return tuple(_plain(item) for item in sorted(value, key=repr))
    if callable(isoformat := getattr(value, "isoformat", None)):
        return str(isoformat())
    # Scalars and arrays of numpy, without importing it. A Quantity has no list: it becomes words.
    if callable(tolist := getattr(value, "tolist", None)) and not hasattr(value, "unit"):
        return _plain(tolist())
    return str(value)


def _thawed(value: Any) -> Any:
    """Copy plain data into dictionaries and lists that may be changed."""
    if isinstance(value, Catalogued | Flag | Provenance):
        return {f.name: _thawed(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_thawed(item) for item in value]
    return value


@dataclass(frozen=True)
class Flag:
    """A claim in a text that the picture alone cannot support, or what else makes it doubtful.

    Attributes
    ----------
    kind : str
        One of the kinds in `astrollava.grounding.KINDS`, for example ``"redshift"``;
        ``"repetition"`` where a text goes in circles; ``"untaught"`` where the model was never
        taught to answer the question.
    start, end : int
        The span ``text[start:end]`` in characters.
    text : str
        The words of the span.
    reason : str
        Why a picture cannot show it, or what is wrong, in one sentence.
    """

    kind: str
    start: int
    end: int
    text: str
    reason: str


@dataclass(frozen=True)
class Catalogued:
    """What a catalogue says of an object; nothing of it was seen in the picture.

    Attributes
    ----------
    kind : {"name", "type", "redshift"}
        What is said.
    value : str or float
        A name or type in the catalogue's words, or a number.
    unit : str
        Unit of a number; empty where there is none.
    source : str
        The catalogue, with its object: ``"SIMBAD: M 51"``.
    reference : str
        Where the catalogue has it from, such as a bibcode; empty where it does not say.
    separation : float or None
        Arcseconds between the middle of the image and the object; None where it is not known.
    """

    kind: str
    value: str | float
    unit: str
    source: str
    reference: str
    separation: float | None

    def __str__(self) -> str:
        value = f"{self.value:.6g}" if isinstance(self.value, float) else str(self.value)
        unit = f" {self.unit}" if self.unit else ""
        said = [self.source]
        if self.separation is not None:
            said.append(f"{self.separation:.1f} arcsec away")
        if self.reference:
            said.append(self.reference)
        words = f"{self.kind} {value}{unit} ({', '.join(said)})"
        # Words of a catalogue must not move the cursor of a terminal.
        return "".join(sign if sign.isprintable() else " " for sign in words)


@dataclass(frozen=True)
class Provenance:
    """How a result came about: enough to repeat it.

    Whatever is given is kept as plain data that cannot be changed: numpy scalars and arrays become
    numbers and tuples, paths and dates strings, NaN and infinities None.

    Attributes
    ----------
    model : mapping
        ``name``, ``files`` (role -> ``{"name", "sha256", "bytes"}``), ``quantization`` and
        ``licence``.
    prompt : mapping
        ``id``, ``version`` and the ``text`` the user's turn carried.
    sampling : mapping
        ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repeat_penalty``, ``seed`` and
        ``max_tokens``.
    rendering : mapping
        The `astrollava.images.Rendering` record.
    source : mapping
        ``kind``, ``path`` and ``sha256`` of the input, ``hdu``, ``shape``, ``centre`` (ICRS
        degrees) and ``pixel_scale`` (arcsec) where a WCS is there.
    generation : mapping
        ``finish_reason``, ``prompt_tokens``, ``reused_tokens`` (of the prompt, that the model
        still held), ``generated_tokens`` and ``seconds``; for labels the reason is ``"scored"``,
        with the number of ``labels``.
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

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _plain(getattr(self, each.name)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for JSON."""
        record: dict[str, Any] = _thawed(self)
        return record


@dataclass(frozen=True)
class _Result:
    """What every result shares: provenance, a picture and ways to print it."""

    provenance: Provenance
    #: The picture the model saw, as PNG bytes; kept out of `repr` and of `to_dict`.
    thumbnail: bytes = field(default=b"", repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain dictionaries and lists, without the thumbnail.

        ``type`` comes first, then the fields of the result, then ``provenance``.
        """
        names = [f.name for f in fields(self) if f.name not in ("provenance", "thumbnail")]
        said = {name: _thawed(getattr(self, name)) for name in names}
        return {"type": type(self).__name__, **said, "provenance": self.provenance.to_dict()}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the result as JSON that validates against ``docs/schema/result.json``.

        Parameters
        ----------
        indent : int, optional
            Spaces to indent by; on one line by default.
        """
        text = json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)
        # File names may hold bytes that are no UTF-8; Python keeps them as lone surrogates, which
        # no stream could write. JSON can: as an escape.
        return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        from astrollava import _html

        return _html.result_card(self)


def _checked_flags(text: str, flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
    """Return the flags in the order of the text, or raise if one is not of this text."""
    for flag in flags:
        if text[flag.start : flag.end] != flag.text:
            raise InvalidRequest(
                f"the flag {flag.text!r} at {flag.start}:{flag.end} is not of the text",
                expected=f"a flag with the words found there, {text[flag.start : flag.end]!r}",
                hint="Find the flags in the very text of the result",
            )
    return tuple(sorted(flags, key=lambda flag: (flag.start, flag.end)))


@dataclass(frozen=True)
class Description(_Result):
    """A description of an image.

    Attributes
    ----------
    text : str
        What the model said.
    flags : tuple of Flag
        Claims in the text that a picture cannot support, and what else makes it doubtful.
    catalogued : tuple of Catalogued or None
        What catalogues say of the object, where they were asked (``facts=...``), else None; empty
        where they have nothing. The model was not told.
    """

    text: str = ""
    flags: tuple[Flag, ...] = ()
    catalogued: tuple[Catalogued, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", _checked_flags(self.text, self.flags))
        if self.catalogued is not None:
            object.__setattr__(self, "catalogued", tuple(self.catalogued))

    def __str__(self) -> str:
        if self.catalogued is None:
            return self.text
        known = [str(fact) for fact in self.catalogued] or ["nothing"]
        return "\n".join([f"visible: {self.text}", *(f"catalogued: {line}" for line in known)])

    def __repr__(self) -> str:
        # The words, as a list of results is read; `to_dict` has the rest.
        return f"<{type(self).__name__} {self.text!r}>"


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
        Claims in the text that a picture cannot support, and what else makes it doubtful.
    """

    question: str = ""
    text: str = ""
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", _checked_flags(self.text, self.flags))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # The words, as a list of results is read; `to_dict` has the rest.
        return f"<{type(self).__name__} {self.text!r}>"


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
        True where the model does not know: the highest probability is under `threshold`, or it is
        more probable than not that there is nothing to label.
    threshold : float
        The probability under which the model abstains, in [0, 1].
    calibrated : bool
        Whether the probabilities were fitted to real votes for this model and label set. Where they
        were not, they rank the labels and nothing more.
    present : float or None
        The model's probability that the picture shows anything the labels are for, in [0, 1]; None
        where the model cannot be asked. The probabilities hold if it does.
    """

    vocabulary: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    abstained: bool = False
    threshold: float = 0.0
    calibrated: bool = False
    present: float | None = None

    def __post_init__(self) -> None:
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        plain = {str(label): float(probability) for label, probability in ranked}
        if not plain or not all(0.0 <= p <= 1.0 for p in plain.values()):
            raise InvalidRequest(
                f"the probabilities are {dict(self.probabilities)}",
                expected="one or more labels, each with a number from 0 to 1",
            )
        object.__setattr__(self, "probabilities", _Record(plain))
        object.__setattr__(self, "present", None if self.present is None else float(self.present))
        if self.present is not None and not 0.0 <= self.present <= 1.0:
            raise InvalidRequest(f"present is {self.present}", expected="a number from 0 to 1")
        object.__setattr__(self, "abstained", bool(self.abstained) or self.empty)
        object.__setattr__(self, "threshold", float(self.threshold))
        object.__setattr__(self, "calibrated", bool(self.calibrated))

    @property
    def label(self) -> str:
        """The most probable label."""
        return next(iter(self.probabilities))

    @property
    def probability(self) -> float:
        """The probability of `label`, in [0, 1]."""
        return self.probabilities[self.label]

    @property
    def empty(self) -> bool:
        """Whether the model sees nothing that the labels are for."""
        return self.present is not None and self.present < _PRESENT_FROM

    def __str__(self) -> str:
        notes = [f"{self.probability:.0%}"]
        if self.empty:
            notes = ["nothing to label", *notes]
        elif self.abstained:
            notes.append("unsure")
        if not self.calibrated:
            notes.append("not calibrated")
        return f"{self.label} ({', '.join(notes)})"

    def __repr__(self) -> str:
        return f"<Classification {self}>"


@dataclass(frozen=True)
class Extraction(_Result):
    """An object that an image was asked for.

    Attributes
    ----------
    value : object
        An instance of the type that was asked for, or parsed JSON where that was a schema. It is
        what nothing here can freeze, and left out of comparisons.
    text : str
        The same as compact JSON.
    probabilities : mapping
        Path of a value that is one of a few, such as ``bars[0].kind`` -> each of them, as JSON
        unless it is a string -> probability in [0, 1], summing to one, most probable first.
    flags : tuple of Flag
        Claims in the text that a picture cannot support, and what else makes it doubtful.
    """

    value: Any = field(default=None, compare=False)
    text: str = ""
    probabilities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", _checked_flags(self.text, self.flags))
        ranked = {
            str(path): dict(sorted(shares.items(), key=lambda item: -item[1]))
            for path, shares in self.probabilities.items()
        }
        if not all(0.0 <= p <= 1.0 for shares in ranked.values() for p in shares.values()):
            raise InvalidRequest(
                f"the probabilities are {ranked}", expected="numbers from 0 to 1, under each path"
            )
        object.__setattr__(self, "probabilities", _plain(ranked))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain dictionaries and lists; ``value`` is parsed from the text."""
        return {**super().to_dict(), "value": json.loads(self.text)}

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.text!r}>"
