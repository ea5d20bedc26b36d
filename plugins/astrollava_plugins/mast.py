"""Cutouts of MAST: TESS, deep fields and the Hubble Advanced Products.

`astroquery.mast` knows what to ask; our own client carries it, and archives are unpacked here, to a
bound: astroquery unpacks whatever comes, and gives an empty list and a warning where there is no
image.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from astropy import units as u

from astrollava.errors import OutsideFootprint, ServiceError
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import Fetcher, Unknown, http
from astrollava_plugins._archives import ARCHIVES, unzip
from astrollava_plugins._frames import share_of, together, without_zeros
from astrollava_plugins._planes import by_filter, stacked_cadences
from astrollava_plugins._planned import ANOTHER_SURVEY, Carried

if TYPE_CHECKING:
    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["Hapcut", "Tesscut", "Zcut", "astrollava_fetchers"]

astrollava_contract = 1

#: Single exposures and coarse copies of the same images, in the names that Hapcut gives.
_ONE_EXPOSURE = re.compile(r"-i[a-z0-9]{7}\.fits$|-j[a-z0-9]{7}\.fits$")
#: The most that a list or a message has.
_WORDS = 1 << 20
#: Words of a message that is not about the sky.
_TROUBLE = re.compile(r"error|fail|time|busy|limit|unavailable|exception", re.IGNORECASE)
_HST = (
    "F275W", "F336W", "F435W", "F475W", "F555W", "F606W", "F625W", "F775W", "F814W", "F850LP",
    "F098M", "F105W", "F110W", "F125W", "F140W", "F160W",
)  # fmt: skip


class _Mast(Carried):
    """One of MAST's cutout services."""

    #: What the service is called in its address.
    service: ClassVar[str]
    #: The most that an archive may unpack to.
    max_unpacked: ClassVar[int] = 512 << 20

    footprint = Unknown()
    base_url = "https://mast.stsci.edu"
    hosts = ("mast.stsci.edu",)
    max_bytes = 256 << 20
    rate = 2.0
    at_once = 2
    accept = (*http.JSON, *ARCHIVES)

    def _ask(
        self, carrier: Carrier, query: Any, what: str, asked: Mapping[str, Any], **options: Any
    ) -> bytes:
        """Send a request as astroquery would."""
        service = carrier.adopt(query._service_api_connection)
        service.REQUEST_URL = f"{self.base_url}/{self.service}/api/v0.1/"
        with carrier.reading():
            body = service.service_request_async(what, dict(asked), **options).content
            return bytes(body)

    def _files(
        self, carrier: Carrier, query: Any, asked: Mapping[str, Any], **options: Any
    ) -> dict[str, bytes]:
        body = self._ask(carrier, query, "astrocut", asked, **options)
        if not body.startswith(b"PK"):
            raise self._nothing(carrier, body)
        files = unzip(body, max_bytes=self.max_unpacked, what=self.name)
        return {name: data for name, data in files.items() if name.lower().endswith(".fits")}

    def _nothing(self, carrier: Carrier, body: bytes) -> Exception:
        """Say what an answer without images means."""
        with carrier.reading():
            said = json.loads(body[:_WORDS])
            why, found = str(said.get("msg", "")).strip()[:200], said.get("results")
            nothing = found == [] or (found is None and why and not _TROUBLE.search(why))
        if not nothing:
            return ServiceError(
                f"{self.name} answered with words, not with images{f': {why}' if why else ''}",
                status=200,
                first_line=why or http.first_line(body),
            )
        return OutsideFootprint(
            f"{self.survey} has no image there{f': {why}' if why else ''}",
            hint=ANOTHER_SURVEY,
        )


class Tesscut(_Mast):
    """TESS full-frame images: the median of a sector."""

    name = "tesscut"
    service = "tesscut"
    survey = "TESS"
    bands = ("TESS",)
    default_bands = ("TESS",)
    wavelength = "optical"
    pixel_scale = 21.0 * u.arcsec
    scale_range = (5.25 * u.arcsec, 84 * u.arcsec)
    # A cutout holds every cadence: 20 bytes a pixel, 1,300 to 11,800 times.
    max_size = 20 * u.arcmin
    max_pixels = 228
    licence = "Public domain; citing the mission is asked for"
    credit = "TESS (NASA), obtained from MAST with TESScut (Brasseur et al. 2019)"
    url = "https://mast.stsci.edu/tesscut/"

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of what MAST sends."""
        from astroquery.mast import TesscutClass

        query = TesscutClass()
        place = {"ra": plan.ra, "dec": plan.dec}
        body = self._ask(carrier, query, "sector", {**place, "radius": 0.0})
        with carrier.reading():
            found = json.loads(body[:_WORDS])["results"]
            # The earliest: full frames came every 30 minutes first, every 200 seconds later.
            sector = min((int(each["sector"]) for each in found), default=None)
        if sector is None:
            raise self._nothing(carrier, body)
        wide = round(float(plan.size.to_value("arcsec")) / 21.0) + 4
        asked = {**place, "x": wide, "y": wide, "units": "px", "sector": sector}
        files = self._files(carrier, query, asked)
        if len(files) != 1:
            raise ServiceError(f"{self.name} sent {len(files)} files of sector {sector}")
        ((name, data),) = files.items()
        frame = stacked_cadences(data, self.name, name)
        return together(plan, [frame], self.name, source={"sector": sector, "files": [name]})


class Zcut(_Mast):
    """Deep fields: CANDELS, GOODS, 3D-HST and the like, whichever reach there."""

    name = "zcut"
    service = "zcut"
    survey = "Hubble deep fields"
    bands = _HST
    default_bands = ("F606W", "F814W", "F160W")
    wavelength = "optical, infrared, ultraviolet"
    pixel_scale = 0.06 * u.arcsec
    scale_range = (0.015 * u.arcsec, 1 * u.arcsec)
    max_size = 1 * u.arcmin
    max_pixels = 2000
    depth = 27.0  # F160W of CANDELS wide (Grogin et al. 2011, ApJS 197, 35)
    licence = "Public; citing the survey and the observations is asked for"
    credit = "NASA/ESA Hubble Space Telescope, high-level products from MAST with Zcut"
    url = "https://mast.stsci.edu/zcut/"

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of what MAST sends."""
        from astroquery.mast import ZcutClass

        files = self._files(carrier, ZcutClass(), _square(plan))
        return _best(self, plan, files)


class Hapcut(_Mast):
    """Hubble Advanced Products: mosaics of everything ACS and WFC3 saw, in skycells."""

    name = "hapcut"
    service = "hapcut"
    survey = "Hubble Advanced Products"
    bands = _HST
    # Taken most often; few places have any three.
    default_bands = ("F814W",)
    wavelength = "optical, infrared, ultraviolet"
    pixel_scale = 0.04 * u.arcsec
    scale_range = (0.01 * u.arcsec, 1 * u.arcsec)
    max_size = 1 * u.arcmin
    max_pixels = 2000
    licence = "Public; citing the observations is asked for"
    credit = "NASA/ESA Hubble Space Telescope, Hubble Advanced Products from MAST with HAPcut"
    url = "https://mast.stsci.edu/hapcut/"

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of what MAST sends."""
        from astroquery.mast import HapcutClass

        files = self._files(carrier, HapcutClass(), _square(plan), use_json=True)
        whole = {name: data for name, data in files.items() if not _ONE_EXPOSURE.search(name)}
        return _best(self, plan, whole)


def _square(plan: Cutout) -> dict[str, Any]:
    """Ask for some more sky than is wanted, so that cutting it to size leaves no gap."""
    side = plan.degrees * 1.02 + 4 * 0.12 / 3600
    return {"ra": plan.ra, "dec": plan.dec, "x": side, "y": side, "units": "d"}


def _best(fetcher: _Mast, plan: Cutout, files: Mapping[str, bytes]) -> SkyImage:
    """Choose, for each filter, the image that has most of the square, the finest of those."""
    found: dict[str, tuple[tuple[float, float], SkyImage, str]] = {}
    for name, data in sorted(files.items()):
        for band, image in by_filter(data, fetcher.name, name):
            image = without_zeros(image)
            covered = round(share_of(plan, image), 2)
            rank = (covered, -(image.pixel_scale or math.inf))
            if covered and (band not in found or rank > found[band][0]):
                found[band] = (rank, image, name)
    missing = [band for band in plan.bands if band not in found]
    if missing:
        raise OutsideFootprint(
            f"{fetcher.survey} has no {', '.join(missing)} image there",
            expected=f"bands that are there: {', '.join(sorted(found))}" if found else "",
            hint="Name other bands, or try another survey",
        )
    return together(
        plan,
        [found[band][1] for band in plan.bands],
        fetcher.name,
        source={"files": [found[band][2] for band in plan.bands]},
    )


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give the three services."""
    return [Tesscut(), Zcut(), Hapcut()]
