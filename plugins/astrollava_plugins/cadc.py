"""CFHT MegaPipe at CADC: which stacks cover a position, then cutouts of them, by astroquery.

Traps of astroquery's class: where nothing is found it raises AttributeError; each of its queries
asks for all columns of all rows, thousands of them at a popular position; two addresses are looked
up in a registry, without a time limit, and a vocabulary at ivoa.net to read the links; images that
are not public are left out in silence. So the class is asked its query only. Of the service: a
position at the edge of a stack gives a cutout that is half zeros, and its stacks come in no order;
weight maps are offered for cutting like images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from astropy import units as u

from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, Unknown, http
from astrollava_plugins._frames import together
from astrollava_plugins._planned import Carried
from astrollava_plugins._soda import CutoutService, best_cutout, cutouts_of, links_at
from astrollava_plugins._votable import number_of, text_of

if TYPE_CHECKING:
    from astropy.table import Table

    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["Cadc", "astrollava_contract", "astrollava_fetchers"]

astrollava_contract = 1

# The deepest stacks of one band that are looked at.
_TRIES = 3
_NO_IMAGES = ("weight", "flag", "mask", ".cat")


class Cadc(Carried):
    """Stacks of CFHT's MegaCam in u, g, r, i and z; their zero point is AB magnitude 30."""

    name = "cadc"
    survey = "CFHT MegaPipe stacks"
    bands = ("u", "g", "r", "i", "z")
    default_bands = ("g", "r", "i")
    wavelength = "optical"
    # Thousands of fields observed for one programme or another: the archive must be asked.
    footprint = Unknown()
    # Gwyn 2008, PASP 120, 212.
    pixel_scale = 0.186 * u.arcsec
    scale_range = (0.186 * u.arcsec, 6.0 * u.arcsec)
    max_size = 0.25 * u.deg
    max_pixels = 4839
    # From field to field it differs by magnitudes.
    depth = None
    licence = "public; credit is asked for, see https://www.cadc-ccda.hia-iha.nrc-cnrc.gc.ca"
    credit = (
        "This research used the facilities of the Canadian Astronomy Data Centre operated by the "
        "National Research Council of Canada; MegaPipe (Gwyn 2008, PASP 120, 212)"
    )
    url = "https://www.cadc-ccda.hia-iha.nrc-cnrc.gc.ca/en/megapipe/"
    hosts = (
        "ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca",
        "www.cadc-ccda.hia-iha.nrc-cnrc.gc.ca",
        "ws-cadc.canfar.net",
        "ws-uv.canfar.net",
    )
    base_url = "https://ws.cadc-ccda.hia-iha.nrc-cnrc.gc.ca"
    rate = 4.0
    accept = (*http.VOTABLE, *http.FITS)

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a cutout of the stacks."""
        with carrier.reading():
            archive = _archive(self.base_url, carrier)
            stacks = archive.exec_sync(_query(plan))
            if not len(stacks):
                raise self.outside(plan)
            self.check_bands(plan, map(_band, stacks))
            # The deepest first.
            order = sorted(stacks, key=lambda row: -(number_of(row, "time_exposure") or 0.0))
            covering = {
                band: stacks[[row.index for row in order if _band(row) == band][:_TRIES]]
                for band in plan.bands
            }
            # A little more than the square: what is cut is whole pixels.
            radius = 0.51 * plan.size + 2 * self.pixel_scale
            services = [self._services(covering[band], carrier) for band in plan.bands]
            best = [best_cutout(plan, each, radius, carrier, self.name) for each in services]
        return together(
            plan,
            [frame for frame, _ in best],
            self.name,
            meta={"telescope": "CFHT"},
            source={"files": [file for _, file in best]},
        )

    def _services(self, stacks: Table, carrier: Carrier) -> Iterator[CutoutService]:
        """Give the services that cut these stacks, in their order; one request tells of each."""
        for row in stacks:
            asked = urlencode({"ID": text_of(row, ["publisherID"])})
            links = links_at(f"{self.base_url}/caom2ops/datalink?{asked}", carrier)
            for service in cutouts_of(links):
                if not any(words in service.file.lower() for words in _NO_IMAGES):
                    yield service


def _query(plan: Cutout) -> str:
    like = " OR ".join(f"p.energy_bandpassName LIKE '{band}.%'" for band in plan.bands)
    return (  # nothing but numbers and names of bands is put in
        "SELECT TOP 100 p.publisherID, p.energy_bandpassName, p.time_exposure "  # noqa: S608
        "FROM caom2.Observation AS o JOIN caom2.Plane AS p ON o.obsID = p.obsID "
        "WHERE o.collection = 'CFHTMEGAPIPE' AND p.dataProductType = 'image' "
        f"AND p.calibrationLevel >= 3 AND ({like}) "
        "AND (p.quality_flag IS NULL OR p.quality_flag != 'junk') "
        f"AND CONTAINS(POINT('ICRS', {plan.ra!r}, {plan.dec!r}), p.position_bounds) = 1"
    )


def _band(row: Any) -> str:
    """Return the letter of a filter such as ``g.MP9401``."""
    return text_of(row, ["energy_bandpassName"]).partition(".")[0].lower()


def _archive(base_url: str, carrier: Carrier) -> Any:
    """Return astroquery's class, pointed at this address and carried by us."""
    from astroquery.cadc import CadcClass

    return CadcClass(url=f"{base_url}/argus", auth_session=carrier.session)


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the stacks of MegaPipe."""
    return [Cadc()]
