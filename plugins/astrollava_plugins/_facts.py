"""Rows of a catalogue as facts: the nearest object's first, none without a name and a place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astropy import units as u

from astrollava.hooks import Fact
from astrollava_plugins._votable import number_of, text_of

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

__all__ = ["CatalogueObject", "facts_of"]


@dataclass(frozen=True)
class CatalogueObject:
    """What a catalogue says of an object.

    Attributes
    ----------
    name, type : str
        In the words of the catalogue; empty where it has none.
    ra, dec : float or None
        ICRS degrees.
    redshift : float or None
        Heliocentric.
    reference : str
        Where the redshift is from.
    """

    name: str
    ra: float | None
    dec: float | None
    type: str
    redshift: float | None
    reference: str

    @classmethod
    def of(
        cls,
        row: Any,
        *,
        name: Sequence[str],
        ra: Sequence[str],
        dec: Sequence[str],
        type: Sequence[str],
        redshift: Sequence[str],
        reference: Sequence[str],
    ) -> CatalogueObject:
        """Read a row of a table; each argument names the columns to look into, the best first."""
        return cls(
            # Names are padded to columns: "M  51".
            " ".join(text_of(row, name).split()),
            _number(row, ra),
            _number(row, dec),
            text_of(row, type),
            _number(row, redshift),
            text_of(row, reference),
        )


def _number(row: Any, names: Sequence[str]) -> float | None:
    return next((n for name in names if (n := number_of(row, name)) is not None), None)


def facts_of(
    objects: Iterable[CatalogueObject],
    position: SkyCoord,
    radius: Quantity,
    *,
    catalogue: str,
    most: int,
) -> tuple[Fact, ...]:
    """Say what is known of the objects within a radius.

    Parameters
    ----------
    objects : iterable of CatalogueObject
        In any order; those without a name or a place are left out.
    position, radius : `~astropy.coordinates.SkyCoord`, `~astropy.units.Quantity`
        Where was asked.
    catalogue : str
        Its name.
    most : int
        Objects to tell of, at most.

    Returns
    -------
    tuple of Fact
        Name, type and redshift of the nearest object, then of the next.
    """
    near = []
    for each in objects:
        if each.name and each.ra is not None and each.dec is not None:
            apart = _separation(position, each.ra, each.dec)
            if apart <= radius:
                near.append((apart.to(u.arcsec), each))
    near.sort(key=lambda pair: float(pair[0].value))
    return tuple(fact for apart, each in near[:most] for fact in _facts(each, apart, catalogue))


def _separation(position: SkyCoord, ra: float, dec: float) -> Quantity:
    from astropy.coordinates import SkyCoord

    return position.separation(SkyCoord(ra, dec, unit="deg"))


def _facts(each: CatalogueObject, apart: Quantity, catalogue: str) -> list[Fact]:
    said: dict[str, Any] = {
        "unit": "",
        "source": f"{catalogue}: {each.name}",
        "separation": apart,
    }
    facts = [Fact(kind="name", value=each.name, reference="", **said)]
    if each.type:
        facts.append(Fact(kind="type", value=each.type, reference="", **said))
    if each.redshift is not None:
        facts.append(Fact(kind="redshift", value=each.redshift, reference=each.reference, **said))
    return facts
