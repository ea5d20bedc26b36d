"""IRSA: images of infrared surveys, cut by the archive.

`astroquery.ipac.irsa` finds the images (SIA2); appending a centre and a size to the address of one
under ``/ibe/data/`` makes the archive cut it. Addresses elsewhere ignore that and send the whole
mosaic: they are not used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from astropy import units as u

from astrollava.errors import OutsideFootprint, ServiceError
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import AllSky, Fetcher, http
from astrollava_plugins._blank import without_constants
from astrollava_plugins._frames import read_frame, share_of, together
from astrollava_plugins._planned import ANOTHER_SURVEY, Carried

if TYPE_CHECKING:
    from astropy.table import Table

    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["AllWISE", "Irsa", "TwoMass", "astrollava_fetchers"]

astrollava_contract = 1

_CUTTING = "/ibe/data/"
_FITS = ("application/x-gzip", "application/gzip", *http.FITS)
#: Images of one band that are tried, the most central first.
_TRIES = 3


class Irsa(Carried):
    """A collection of IRSA; a subclass says which.

    Attributes
    ----------
    collection : str
        Its name in IRSA's SIA2 service.
    """

    collection: ClassVar[str]

    wavelength = "infrared"
    footprint = AllSky()
    max_pixels = 2000
    base_url = "https://irsa.ipac.caltech.edu/SIA"
    hosts = ("irsa.ipac.caltech.edu",)
    rate = 5.0
    at_once = 2
    accept = http.VOTABLE
    max_answer = 8 << 20

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of the survey's images."""
        found = self._found(carrier, plan)
        frames, links = [], []
        for band in plan.bands:
            with carrier.reading():
                known = self._links(found, band)
            frame, link = self._frame(carrier, plan, band, known)
            frames.append(frame)
            links.append(link)
        return together(plan, frames, self.name, source={"images": links})

    def _found(self, carrier: Carrier, plan: Cutout) -> Table:
        """Look up the images that have the position."""
        from astropy.coordinates import SkyCoord

        with carrier.reading():
            from astroquery.ipac.irsa import IrsaClass

            service = IrsaClass()
            service._session = carrier.session
            service.sia_url = self.base_url
            # As numbers: a SkyCoord is rounded to six digits on its way.
            where = (plan.ra * u.deg, plan.dec * u.deg, 1 * u.arcsec)
            found = service.query_sia(pos=where, collection=self.collection, maxrec=500)
            # Weights and uncertainties come along.
            found = found[[str(kind).lower() == "science" for kind in found["dataproduct_subtype"]]]
            middles = SkyCoord(list(found["s_ra"]), list(found["s_dec"]), unit="deg")
            found["apart"] = middles.separation(plan.position).arcsec
            found.sort("apart")
            return found

    def _links(self, found: Table, band: str) -> list[str]:
        called = (band.upper(), f"{band}S".upper())  # K is Ks
        links = [
            str(row["access_url"])
            for row in found
            if str(row["energy_bandpassname"]).strip().upper() in called
        ]
        if not links:
            raise OutsideFootprint(
                f"{self.survey} has no {band} image there",
                hint=ANOTHER_SURVEY,
            )
        cutting = [link for link in links if _cuts(link)]
        if not cutting:
            raise ServiceError(
                f"{self.name} offers whole images only: {links[0][:200]}",
                expected=f"an address with {_CUTTING}, which cuts them",
                hint="The archive has changed; tell the authors of this plugin",
            )
        return cutting

    def _frame(
        self, carrier: Carrier, plan: Cutout, band: str, links: Sequence[str]
    ) -> tuple[SkyImage, str]:
        """Get the cutout that has most of the square; at an edge it comes clipped."""
        native = float(self.pixel_scale.to_value("arcsec"))
        wide = float(plan.size.to_value("arcsec")) + 4 * native
        asked = {
            "center": f"{plan.ra:.8f},{plan.dec:.8f}",
            "size": f"{wide:.3f}arcsec",
            "gzip": "false",
        }
        most = 8 * (2 * round(wide / native) + 8) ** 2 + (1 << 20)
        best: tuple[float, SkyImage, str] | None = None
        refused: ServiceError | None = None
        for link in links[:_TRIES]:
            try:
                body = carrier.get(link, asked, accept=_FITS, max_bytes=most).body
            except ServiceError as error:
                # The service's words for a square beside the image are an internal error.
                if error.status != 500:
                    raise
                refused = error
                continue
            frame = without_constants(read_frame(body, self.name))
            if frame.wcs is None:
                continue
            covered = share_of(plan, frame)
            if best is None or covered > best[0]:
                best = covered, dataclasses.replace(frame, bands=(band,)), link
            if covered == 1.0:
                break
        if best is None:
            raise refused or ServiceError(f"{self.name} sent no {band} image with coordinates")
        return best[1], best[2]


def _cuts(link: str) -> bool:
    """Whether a link of the service leads to what cuts; one that is no address does not."""
    parts = http.parts_of(link)
    return parts is not None and parts.path.startswith(_CUTTING)


class AllWISE(Irsa):
    """AllWISE Atlas: coadds of 1.56 degrees."""

    name = "irsa-allwise"
    survey = "AllWISE"
    collection = "wise_allwise"
    bands = ("W1", "W2", "W3", "W4")
    default_bands = ("W1", "W2", "W3")
    pixel_scale = 1.375 * u.arcsec
    scale_range = (0.34375 * u.arcsec, 60 * u.arcsec)
    max_size = 0.7 * u.deg
    depth = 19.6  # W1, 54 uJy (AllWISE Explanatory Supplement, II.3)
    licence = "Public; the credit line is asked for"
    credit = "WISE (UCLA/JPL-Caltech/NASA), served by NASA/IPAC IRSA, doi:10.26131/IRSA153"
    url = "https://irsa.ipac.caltech.edu/Missions/wise.html"


class TwoMass(Irsa):
    """2MASS Atlas: images of 8.5 by 17 arcminutes."""

    name = "irsa-2mass"
    survey = "2MASS"
    collection = "twomass_allsky"
    bands = ("J", "H", "K")
    default_bands = ("J", "H", "K")
    pixel_scale = 1.0 * u.arcsec
    scale_range = (0.25 * u.arcsec, 10 * u.arcsec)
    max_size = 8 * u.arcmin
    # J of 15.8 at 10 sigma (Skrutskie et al. 2006), 0.75 mag deeper at 5, AB - Vega = 0.9.
    depth = 17.4
    licence = "Public; the credit line is asked for"
    credit = "2MASS (UMass/IPAC-Caltech/NASA/NSF), served by NASA/IPAC IRSA, doi:10.26131/IRSA121"
    url = "https://irsa.ipac.caltech.edu/Missions/2mass.html"


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give a fetcher for each collection."""
    return [AllWISE(), TwoMass()]
