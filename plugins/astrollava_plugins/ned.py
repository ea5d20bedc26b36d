"""Facts from NED, the NASA/IPAC Extragalactic Database, by astroquery.

Traps: astroquery's class reads its addresses from the module's one object, whatever one sets on
one's own; answers are kept in a folder of pickles, failures too; where nothing is found NED answers
with status 200 and a table that is none but holds an error. So astroquery says what to ask, and the
answer is read here.

NED sorts by right ascension, and gives all of a region: the nearest are found here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from astrollava.errors import ServiceError
from astrollava.hooks import Fact, FactProvider, check_packages, hookimpl
from astrollava_plugins._facts import CatalogueObject, facts_of
from astrollava_plugins._needed import CARRIER, EXTRA
from astrollava_plugins._votable import number_of, read_votable, text_of

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from astropy.units import Quantity

    from astrollava_plugins._astroquery import Carrier

__all__ = ["TYPES", "Ned", "astrollava_contract", "astrollava_fact_providers"]

astrollava_contract = 1

_URL = "https://ned.ipac.caltech.edu/cgi-bin"
#: NED's letters for kinds of objects -> words; others stay letters.
TYPES: Mapping[str, str] = {
    "G": "galaxy",
    "GPair": "galaxy pair",
    "GTrpl": "galaxy triple",
    "GGroup": "group of galaxies",
    "GClstr": "cluster of galaxies",
    "PofG": "part of a galaxy",
    "QSO": "quasi-stellar object",
    "QGroup": "group of quasi-stellar objects",
    "AbLS": "absorption line system",
    "EmLS": "emission line source",
    "EmObj": "emission object",
    "G_Lens": "lensed image of a galaxy",
    "Q_Lens": "lensed image of a quasi-stellar object",
    "RadioS": "radio source",
    "SmmS": "submillimetre source",
    "IrS": "infrared source",
    "VisS": "visual source",
    "UvES": "ultraviolet excess source",
    "UvS": "ultraviolet source",
    "XrayS": "X-ray source",
    "GammaS": "gamma-ray source",
    "*": "star",
    "**": "double star",
    "*Ass": "stellar association",
    "*Cl": "star cluster",
    "Blue*": "blue star",
    "Red*": "red star",
    "C*": "carbon star",
    "V*": "variable star",
    "WD*": "white dwarf",
    "WR*": "Wolf-Rayet star",
    "Flare*": "flare star",
    "Nova": "nova",
    "SN": "supernova",
    "SNR": "supernova remnant",
    "PN": "planetary nebula",
    "HII": "HII region",
    "Neb": "nebula",
    "RfN": "reflection nebula",
    "MCld": "molecular cloud",
    "Psr": "pulsar",
    "Other": "other",
}
_MEANING: Mapping[str, Sequence[str]] = {
    "name": ["Object Name"],
    "ra": ["RA", "RA(deg)"],
    "dec": ["DEC", "DEC(deg)"],
    "type": ["Type"],
    "redshift": ["Redshift"],
    "reference": [],
}
_NOTHING = re.compile(r"\bno\b.*\bfound\b|not (return|find)|no objects?", re.IGNORECASE)


class Ned(FactProvider):
    """Name, type and redshift of the objects nearest to a position.

    Parameters
    ----------
    base_url : str, optional
        Another address of NED's programs: a test's server.
    most : int
        How many objects to tell of, at most.
    """

    name = "ned"
    credit = (
        "This research has made use of the NASA/IPAC Extragalactic Database (NED), which is funded "
        "by NASA and operated by the California Institute of Technology"
    )
    url = "https://ned.ipac.caltech.edu"
    requires = CARRIER
    install = EXTRA
    max_bytes = 16 << 20

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

        Of each redshift the publication is looked up whose value it is.
        """
        check_packages(self)
        from astroquery.ipac.ned import Ned as Query

        from astrollava.hooks.fetching import http
        from astrollava_plugins._astroquery import Carrier

        there = position.icrs
        carrier = Carrier(self, timeout=timeout, accept=(*http.VOTABLE, *http.TEXT))
        with carrier.reading():
            asked = Query.query_region(there, radius=radius, get_query_payload=True)
            table = self._table("objsearch", asked, carrier)
            objects = [_in_words(CatalogueObject.of(row, **_MEANING)) for row in table]
            first = facts_of(objects, there, radius, catalogue="NED", most=self.most)
            told = {fact.source for fact in first if fact.kind == "redshift"}
            objects = [
                replace(each, reference=self._reference(each, carrier))
                if f"NED: {each.name}" in told
                else each
                for each in objects
            ]
            return facts_of(objects, there, radius, catalogue="NED", most=self.most)

    def _reference(self, each: CatalogueObject, carrier: Carrier) -> str:
        """Return the reference code of the publication that has this redshift; empty for none."""
        from astroquery.ipac.ned import Ned as Query

        asked = Query.get_table(each.name, table="redshifts", get_query_payload=True)
        assert each.redshift is not None
        for row in self._table("datasearch", asked, carrier):
            published = number_of(row, "Published Redshift")
            if published is not None and abs(published - each.redshift) < 1e-6:
                return text_of(row, ["Refcode"])
        return ""

    def _table(self, program: str, asked: Mapping[str, Any], carrier: Carrier) -> Table | list[Any]:
        answer = carrier.get(f"{self.base_url}/{program}", asked)
        said = re.search(rb'<PARAM\b[^>]*\bname="Error"[^>]*\bvalue="([^"]*)"', answer.body)
        if said is None:
            return read_votable(answer.body, self.name)
        words = html.unescape(said[1].decode("utf-8", "replace")).strip()[:200]
        if _NOTHING.search(words):
            return []
        raise ServiceError(f"NED says: {words}", status=answer.status, first_line=words)


def _in_words(each: CatalogueObject) -> CatalogueObject:
    # An exclamation mark or a question mark says how sure NED is that it is in the Galaxy.
    letters = each.type.strip("!?")
    return replace(each, type=TYPES.get(letters, each.type))


@hookimpl
def astrollava_fact_providers() -> list[FactProvider]:
    """Give NED."""
    return [Ned()]
