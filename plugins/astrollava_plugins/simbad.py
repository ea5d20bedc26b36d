"""Facts from SIMBAD, the database of objects of the CDS in Strasbourg, by astroquery.

Traps: astroquery's class asks only two hosts by name, looks up the service's limits before each
query, keeps 256 answers for the life of the process, and has no time limit. Its table service is
used here without these; SIMBAD asks for six queries a second at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from astrollava.hooks import Fact, FactProvider, check_packages, hookimpl
from astrollava_plugins._facts import CatalogueObject, facts_of
from astrollava_plugins._needed import CARRIER, EXTRA

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

__all__ = ["Simbad", "astrollava_contract", "astrollava_fact_providers"]

astrollava_contract = 1

_URL = "https://simbad.cds.unistra.fr/simbad/sim-tap"
_COLUMNS = (
    "basic.main_id, basic.ra, basic.dec, basic.otype_txt, otypedef.description, "
    "basic.rvz_redshift, basic.rvz_bibcode"
)

_MEANING: Mapping[str, Sequence[str]] = {
    "name": ["main_id"],
    "ra": ["ra"],
    "dec": ["dec"],
    "type": ["description", "otype_txt"],
    "redshift": ["rvz_redshift"],
    "reference": ["rvz_bibcode"],
}


class Simbad(FactProvider):
    """Name, type and redshift of the objects nearest to a position.

    Parameters
    ----------
    base_url : str, optional
        Another address of the table service: a mirror, or a test's server.
    most : int
        How many objects to tell of, at most.
    """

    name = "simbad"
    credit = (
        "This research has made use of the SIMBAD database, operated at CDS, Strasbourg, France "
        "(Wenger et al. 2000, A&AS 143, 9)"
    )
    url = "https://simbad.cds.unistra.fr"
    requires = CARRIER
    install = EXTRA
    max_bytes = 4 << 20

    def __init__(self, *, base_url: str | None = None, most: int = 3) -> None:
        from astrollava.hooks.fetching.http import host_of

        self.base_url = (base_url or _URL).rstrip("/")
        self.private = base_url
        self.hosts = (host_of(self.base_url),)
        self.most = most

    def facts(
        self, position: SkyCoord, radius: Quantity, *, timeout: float = 60.0
    ) -> tuple[Fact, ...]:
        """Look up what is known of the objects around a position; see `FactProvider.facts`.

        The type is in SIMBAD's words, and the reference of a redshift the bibcode that SIMBAD has
        it from.
        """
        check_packages(self)
        from astrollava.hooks.fetching import http
        from astrollava_plugins._astroquery import Carrier

        there = position.icrs
        ra, dec = float(there.ra.deg), float(there.dec.deg)
        away = f"DISTANCE(POINT('ICRS', basic.ra, basic.dec), POINT('ICRS', {ra!r}, {dec!r}))"
        query = (  # nothing but numbers is put in
            f"SELECT TOP {self.most} {_COLUMNS}, {away} AS apart FROM basic "  # noqa: S608
            "LEFT JOIN otypedef ON basic.otype = otypedef.otype "
            "WHERE CONTAINS(POINT('ICRS', basic.ra, basic.dec), "
            f"CIRCLE('ICRS', {ra!r}, {dec!r}, {float(radius.to_value('deg'))!r})) = 1 "
            "ORDER BY apart ASC"
        )
        carrier = Carrier(self, timeout=timeout, accept=http.VOTABLE)
        with carrier.reading():
            # One more than there can be: a table as long as its limit counts as cut off.
            table = _service(self.base_url, carrier).search(query, maxrec=self.most + 1).to_table()
            objects = [CatalogueObject.of(row, **_MEANING) for row in table]
            return facts_of(objects, there, radius, catalogue="SIMBAD", most=self.most)


def _service(base_url: str, carrier: Any) -> Any:
    """Return astroquery's table service of SIMBAD at this address, carried by us."""
    from astroquery.simbad import SimbadClass
    from pyvo.dal import TAPService

    class At(SimbadClass):  # type: ignore[misc]
        @property
        def tap(self) -> Any:
            return TAPService(base_url, session=carrier.session)

    return At().tap


@hookimpl
def astrollava_fact_providers() -> list[FactProvider]:
    """Give SIMBAD."""
    return [Simbad()]
