"""Where on the sky a survey has images."""

from __future__ import annotations

import atexit
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = [
    "AllSky",
    "Declinations",
    "Footprint",
    "GalacticLatitudes",
    "Intersection",
    "Moc",
    "Union",
    "Unknown",
]


class Footprint(ABC):
    """A part of the sky. ``a | b`` is what either covers, ``a & b`` what both do."""

    @abstractmethod
    def contains(self, position: SkyCoord) -> bool | None:
        """Whether a position lies inside; None where that is not known.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            One position.
        """

    def __or__(self, other: Footprint) -> Footprint:
        return Union((self, other))

    def __and__(self, other: Footprint) -> Footprint:
        return Intersection((self, other))


@dataclass(frozen=True)
class AllSky(Footprint):
    """All of the sky."""

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        return True

    def __str__(self) -> str:
        return "all of the sky"


@dataclass(frozen=True)
class Unknown(Footprint):
    """Some of the sky; the service must be asked."""

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        return None

    def __str__(self) -> str:
        return "not known in advance"


@dataclass(frozen=True)
class Declinations(Footprint):
    """A band of declinations, both ends included.

    Parameters
    ----------
    lowest, highest : float
        ICRS declinations in degrees.
    """

    lowest: float = -90.0
    highest: float = 90.0

    def __post_init__(self) -> None:
        if not -90.0 <= self.lowest <= self.highest <= 90.0:
            raise InvalidRequest(
                f"declinations from {self.lowest} to {self.highest}",
                expected="two numbers from -90 to 90, the lower one first",
            )

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        return bool(self.lowest <= position.icrs.dec.deg <= self.highest)

    def __str__(self) -> str:
        return f"declinations from {self.lowest:g} to {self.highest:g} deg"


@dataclass(frozen=True)
class GalacticLatitudes(Footprint):
    """All that is not too near to the plane of the Galaxy.

    Parameters
    ----------
    lowest : float
        Absolute galactic latitude in degrees, included.
    """

    lowest: float

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        return bool(abs(position.galactic.b.deg) >= self.lowest)

    def __str__(self) -> str:
        return f"galactic latitudes of {self.lowest:g} deg and more"


@dataclass(frozen=True)
class Moc(Footprint):
    """A multi-order coverage map; looking into it needs mocpy (the extra ``fetch``).

    Without mocpy nothing is known.

    Parameters
    ----------
    text : str
        The map in ASCII form, as the IVOA writes it: ``"3/1-3 4/16 20"``.
    """

    text: str

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        loaded = _loaded(self.text)
        if loaded is None:
            return None
        there = position.icrs
        return bool(loaded.contains_lonlat(there.ra.reshape(1), there.dec.reshape(1))[0])

    def __repr__(self) -> str:
        return f"Moc({self.text[:40] + '...' if len(self.text) > 40 else self.text!r})"

    def __str__(self) -> str:
        return "a coverage map"


@functools.lru_cache(maxsize=64)
def _loaded(text: str) -> Any:
    try:
        from mocpy import MOC
    except ImportError:
        return None
    # One that is left at the end of the program would complain on standard error.
    atexit.register(_loaded.cache_clear)
    return MOC.from_string(text)


@dataclass(frozen=True)
class Union(Footprint):
    """What any of several footprints covers.

    Parameters
    ----------
    parts : tuple of Footprint
        One or more.
    """

    parts: tuple[Footprint, ...]

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        said = [part.contains(position) for part in self.parts]
        return True if any(said) else None if None in said else False

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Intersection(Footprint):
    """What each of several footprints covers.

    Parameters
    ----------
    parts : tuple of Footprint
        One or more.
    """

    parts: tuple[Footprint, ...]

    def contains(self, position: SkyCoord) -> bool | None:  # noqa: D102
        said = [part.contains(position) for part in self.parts]
        return False if False in said else None if None in said else True

    def __str__(self) -> str:
        return " and ".join(str(part) for part in self.parts)
