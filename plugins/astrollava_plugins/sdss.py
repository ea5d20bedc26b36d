"""SDSS corrected frames, cut to size.

`astroquery.sdss` finds the field and builds the addresses of its frames; they are fetched by our
own client. The service gives whole frames only, 13.5 by 9.8 arcmin, about 3 MB a band: those of two
bands lie some pixels apart, because the sky drifted over one detector after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from astropy import units as u

from astrollava.errors import OutsideFootprint
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import Fetcher, http
from astrollava_plugins._footprints import SdssFootprint
from astrollava_plugins._frames import read_frame, together
from astrollava_plugins._planned import Carried
from astrollava_plugins._votable import number_of

if TYPE_CHECKING:
    from astropy.table import Table

    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["SDSSFrames", "astrollava_fetchers"]

astrollava_contract = 1

_RELEASE = 17
_SAS = "https://data.sdss.org/sas"
#: Arcminutes from a field's middle to its corner, and some more.
_REACH = 9.0
#: The names of all columns with nothing below, or as SkyServer says it.
_NOTHING = re.compile(
    rb"(?m)^(run,rerun,camcol,field,distance\s*\Z|no (objects|rows|entries)\b)", re.IGNORECASE
)
_BZIP2 = ("application/x-bzip2", "application/x-bzip", "application/bzip2", *http.FITS)
#: A frame has 3 million pixels.
_FRAME = 4_000_000


class SDSSFrames(Carried):
    """Sloan Digital Sky Survey, imaging of data release 17."""

    name = "sdss"
    survey = "SDSS DR17"
    bands = ("u", "g", "r", "i", "z")
    default_bands = ("g", "r", "i")
    wavelength = "optical"
    footprint = SdssFootprint()
    pixel_scale = 0.396127 * u.arcsec
    scale_range = (0.099 * u.arcsec, 10 * u.arcsec)
    max_size = 9 * u.arcmin
    max_pixels = 2048
    depth = 22.2  # r, 95 % complete for points (Abazajian et al. 2009, ApJS 182, 543)
    licence = "Public; citing the survey is asked for"
    credit = "Sloan Digital Sky Survey IV, www.sdss.org"
    url = "https://www.sdss.org/collaboration/citing-sdss/"
    base_url = "https://skyserver.sdss.org"
    hosts = ("skyserver.sdss.org", "data.sdss.org")
    # A frame is some 3 MB, packed.
    max_bytes = 32 << 20
    rate = 2.0
    accept = http.TEXT
    max_answer = 1 << 20

    def __init__(self, *, base_url: str | None = None) -> None:
        super().__init__(base_url=base_url)
        self._sas = _SAS if base_url is None else f"{self.base_url}/sas"

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of the field that has the position nearest to its middle.

        One band keeps the frame's own pixels; several are brought onto one grid with north up.
        """
        fields = self._fields(carrier, plan)
        for place in range(len(fields)):
            try:
                return self._cutout(carrier, plan, fields[place : place + 1])
            except OutsideFootprint:
                # At a field's very edge the next one may have it.
                if place == len(fields) - 1:
                    raise
        raise self.outside(plan)

    def _fields(self, carrier: Carrier, plan: Cutout) -> Table | tuple[()]:
        """Look up the nearest fields, as SkyServer's own pages do."""
        service = self._service(carrier)
        # Nothing of this is text that somebody typed.
        query = (
            "SELECT TOP 2 r.run, r.rerun, r.camcol, r.field, n.distance "  # noqa: S608
            f"FROM dbo.fGetNearbyFrameEq({plan.ra:.8f}, {plan.dec:.8f}, {_REACH}, 0) AS n "
            "JOIN Frame AS r ON r.fieldID = n.fieldID WHERE r.zoom = 0 ORDER BY n.distance"
        )
        with carrier.reading():
            found = service.query_sql(query, data_release=_RELEASE, cache=False)
            if found is None:
                # A line of words is a table without rows to astroquery, too.
                if not _NOTHING.search(carrier.last):
                    raise ValueError("no table of fields")
                return ()
            for name in ("run", "rerun", "camcol", "field"):
                # They become parts of an address.
                found[name] = [int(value) for value in found[name]]
            # Where the last line is cut off, astroquery fills it up.
            if any(number_of(row, "distance") is None for row in found):
                raise ValueError("a field without a distance")
            return found

    def _cutout(self, carrier: Carrier, plan: Cutout, field: Table) -> SkyImage:
        with carrier.reading():
            links = [
                container._target.replace(_SAS, self._sas, 1)
                for container in self._service(carrier).get_images_async(
                    matches=field,
                    band=plan.bands,
                    data_release=_RELEASE,
                    cache=False,
                    show_progress=False,
                )
            ]
        frames = [
            read_frame(
                carrier.get(link, accept=_BZIP2, max_bytes=self.max_bytes).body,
                self.name,
                max_pixels=_FRAME,
            )
            for link in links
        ]
        names = ("run", "rerun", "camcol", "field")
        return together(
            plan, frames, self.name, source={name: int(field[name][0]) for name in names}
        )

    def _service(self, carrier: Carrier) -> Any:
        from astroquery.sdss import SDSSClass

        service = carrier.adopt(SDSSClass())
        # The configuration that holds these addresses is the whole process's.
        service._get_query_url = lambda release: (
            self.base_url + service.QUERY_URL_SUFFIX_DR_NEW.format(dr=release)
        )
        return service


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give the survey's imaging."""
    return [SDSSFrames()]
