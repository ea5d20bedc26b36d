"""What a plugin may give besides a `Fetcher`: readers, exporters, providers of facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.images import SkyImage

__all__ = ["FACT_KINDS", "Exporter", "Fact", "FactKind", "FactProvider", "Reader"]

FactKind = Literal["name", "type", "redshift"]

#: What a `Fact` may say of an object.
FACT_KINDS: tuple[FactKind, ...] = ("name", "type", "redshift")


@dataclass(frozen=True)
class Fact:
    """What a catalogue says of an object near a position; nothing of it was seen in the image.

    Attributes
    ----------
    kind : {"name", "type", "redshift"}
        What is said.
    value : str or float
        A name or a type in the words of the catalogue; a redshift as a finite number.
    unit : str
        Unit of a number, as astropy writes it; empty where there is none.
    source : str
        The catalogue asked, with its object: ``"SIMBAD: M 51"``.
    reference : str
        Where the catalogue has it from, such as a bibcode; empty where it does not say.
    separation : `~astropy.units.Quantity` or None
        Angle between the position asked for and the object's; None where it is not known.

    Raises
    ------
    InvalidRequest
        If the kind does not exist, or the value, unit or separation is none.
    """

    kind: FactKind
    value: str | float
    unit: str
    source: str
    reference: str
    separation: Quantity | None

    def __post_init__(self) -> None:
        if self.kind not in FACT_KINDS:
            raise InvalidRequest(
                f"a fact of the kind {self.kind!r}", expected=f"one of {', '.join(FACT_KINDS)}"
            )
        if self.kind == "redshift":
            good = _is_finite(self.value)
        else:
            good = isinstance(self.value, str) and bool(self.value.strip())
        if not good:
            raise InvalidRequest(
                f"a fact says that the {self.kind} is {self.value!r}",
                expected="a finite number" if self.kind == "redshift" else "words",
                hint="Give no fact where the catalogue has none",
            )
        for name in ("unit", "source", "reference"):
            if not isinstance(getattr(self, name), str):
                raise InvalidRequest(
                    f"the {name} of a fact is {getattr(self, name)!r}", expected="a text"
                )
        if not self.source.strip():
            raise InvalidRequest("a fact has no source", expected="the catalogue it is from")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; ``separation`` in arcseconds, or None."""
        apart = None if self.separation is None else float(self.separation.to_value("arcsec"))
        return {
            "kind": self.kind,
            "value": self.value,
            "unit": self.unit,
            "source": self.source,
            "reference": self.reference,
            "separation": apart,
        }


def _is_finite(value: object) -> bool:
    import math

    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class FactProvider(ABC):
    """A catalogue that says what is known of the objects at a position.

    Attributes
    ----------
    name : str
        What it is called by: lower case letters, digits, ``.``, ``_`` and ``-``.
    credit : str
        The line that its use asks for.
    url : str
        Where people read about it.
    requires : tuple of str
        Packages, as they are imported, without which it cannot be used. Where one is missing it is
        listed so, and not asked.
    install : str
        What pip is to be given to have them, such as ``"mysurvey[net]"``; `requires` by default.
    """

    name: str
    credit: str
    url: str
    requires: tuple[str, ...] = ()
    install: str = ""

    @abstractmethod
    def facts(
        self, position: SkyCoord, radius: Quantity, *, timeout: float = 60.0
    ) -> tuple[Fact, ...]:
        """Look up what is known of the objects around a position.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            One position.
        radius : `~astropy.units.Quantity`
            An angle above zero.
        timeout : float
            Seconds allowed in all.

        Returns
        -------
        tuple of Fact
            The nearest object's first; empty where the catalogue has none there.

        Raises
        ------
        FetchTimeout, ServiceError, FetchRefused
            If the catalogue does not answer as it should.
        """


class Reader(ABC):
    """Reads a file format that astrollava cannot read itself.

    Attributes
    ----------
    name : str
        What it is called by: lower case letters, digits, ``.``, ``_`` and ``-``.
    suffixes : tuple of str
        What names of such files end with, such as ``(".xisf",)``; for people, not for `accepts`.
    """

    name: str
    suffixes: tuple[str, ...]

    @abstractmethod
    def accepts(self, head: bytes) -> bool:
        """Whether a file that begins like this is of the format.

        Parameters
        ----------
        head : bytes
            The first 512 bytes, or all of a shorter file.
        """

    @abstractmethod
    def read(self, file: BinaryIO, *, max_pixels: int) -> SkyImage:
        """Read an image.

        Parameters
        ----------
        file : binary file
            At its beginning; seekable. It may be damaged or made to do harm.
        max_pixels : int
            The largest number of values (bands x rows x columns) to read.

        Returns
        -------
        SkyImage

        Raises
        ------
        CorruptImage, ImageTooLarge, AmbiguousImage, EmptyImage
            If the file is damaged, too large or has no clear meaning.
        """


class Exporter(ABC):
    """Writes results in a format of its own.

    Attributes
    ----------
    name : str
        What it is called by: lower case letters, digits, ``.``, ``_`` and ``-``.
    suffix : str
        What the names of its files end with, such as ``".bib"``.
    announces : bool
        Whether `write` tells somebody else where the file is, as one that sends it to a viewer
        does. It is then given the file's own name, else one beside it until the file is whole.
    requires : tuple of str
        Packages, as they are imported, without which it cannot be used. Where one is missing it is
        listed so, and not asked.
    install : str
        What pip is to be given to have them, such as ``"mysurvey[net]"``; `requires` by default.
    """

    name: str
    suffix: str
    announces: bool = False
    requires: tuple[str, ...] = ()
    install: str = ""

    @abstractmethod
    def write(self, results: Sequence[Any], path: Path) -> None:
        """Write a file that holds the results.

        Parameters
        ----------
        results : sequence of Description, Answer, Classification or Extraction
            One or more, in the order of the sources.
        path : Path
            The file to write, which does not exist yet. It is in the folder where it will be and
            its name ends as that will, but differs unless the exporter `announces` it.

        Raises
        ------
        PluginError
            If the results cannot be written in this format.
        """
