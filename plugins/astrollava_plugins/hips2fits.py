"""CDS hips2fits: any survey that has a HiPS, resampled to the grid that was asked for.

The request is built by `astroquery.hips2fits.hips2fitsClass.query_with_wcs` and sent by our own
client: astroquery turns every answer but 200 into an AttributeError, or a JSONDecodeError where it
is no JSON, and fixes its time limit of 30 s when it is imported.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from astropy import units as u

from astrollava.errors import ServiceError
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import AllSky, Declinations, Fetcher, Unknown, http
from astrollava_plugins._blank import without_constants
from astrollava_plugins._footprints import LegacyFootprint, SdssFootprint
from astrollava_plugins._frames import read_frame, together
from astrollava_plugins._grid import north_up
from astrollava_plugins._needed import CARRIER
from astrollava_plugins._planned import Carried

if TYPE_CHECKING:
    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = [
    "DSS2",
    "SDSS9",
    "AllWISE",
    "Galex",
    "Hips2Fits",
    "LegacySurveys",
    "PanStarrs",
    "TwoMass",
    "astrollava_fetchers",
]

astrollava_contract = 1

_TOOL = "hips2fits, a tool developed at CDS, Strasbourg, France"


class Hips2Fits(Carried):
    """A survey served by hips2fits; a subclass says which, and where its bands are.

    Attributes
    ----------
    hips : mapping
        Band -> whole identifier of its HiPS. A part of one would do for the service, which then
        takes any survey that matches.
    """

    hips: ClassVar[Mapping[str, str]]

    base_url = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"
    hosts = ("alasky.cds.unistra.fr", "alaskybis.cds.unistra.fr")
    # Not a limit of the service (50 million pixels), but of what is of use here.
    max_pixels = 4000
    max_size = 10 * u.deg
    rate = 5.0
    # astroquery imports the last without saying so.
    requires = (*CARRIER, "matplotlib")
    accept = http.FITS
    url = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square with north up, band by band."""
        frames = [self._frame(carrier, plan, band) for band in plan.bands]
        return together(
            plan, frames, self.name, source={"hips": {band: self.hips[band] for band in plan.bands}}
        )

    def _frame(self, carrier: Carrier, plan: Cutout, band: str) -> SkyImage:
        grid = north_up(plan.position, plan.size, plan.pixels)
        with carrier.reading():
            from astroquery.hips2fits import hips2fitsClass

            asked = hips2fitsClass().query_with_wcs(
                hips=self.hips[band], wcs=grid, format="fits", get_query_payload=True
            )
        # Doubles, and as much again as room for the header.
        most = 8 * plan.pixels**2 + (1 << 16)
        body = carrier.get(self.base_url, asked, max_bytes=most).body
        frame = without_constants(read_frame(body, self.name))
        with carrier.reading():
            self._check_survey(body, band)
        return frame

    def _check_survey(self, body: bytes, band: str) -> None:
        """Refuse pixels of another survey than the one asked for, where the header tells."""
        from astropy.io import fits

        history = fits.Header.fromfile(io.BytesIO(body)).get("HISTORY", "")
        for line in str(history).splitlines():
            words = line.split()
            if words[:2] == ["From", "HiPS"] and words[2:3] not in ([], [self.hips[band]]):
                raise ServiceError(
                    f"{self.name} sent pixels of {words[2]}",
                    expected=self.hips[band],
                    hint="The survey may have moved; tell the authors of this plugin",
                )


class DSS2(Hips2Fits):
    """Second Digitized Sky Survey."""

    name = "hips2fits"
    survey = "DSS2"
    bands = ("blue", "red", "nir")
    default_bands = ("blue", "red", "nir")
    hips: ClassVar = {
        "blue": "CDS/P/DSS2/blue", "red": "CDS/P/DSS2/red", "nir": "CDS/P/DSS2/NIR",
    }  # fmt: skip
    wavelength = "optical"
    footprint = AllSky()
    pixel_scale = 1.0 * u.arcsec
    scale_range = (0.25 * u.arcsec, 1 * u.deg)
    # R of 20.8 on POSS-II, about the same in AB (Reid et al. 1991, PASP 103, 661).
    depth = 20.8
    licence = "Free for research and education; © AURA, Caltech, AAO/ROE/UKSTU, see the URL"
    credit = f"Digitized Sky Survey (STScI/NASA), {_TOOL}"
    url = "https://archive.stsci.edu/dss/copyright.html"


class PanStarrs(Hips2Fits):
    """Pan-STARRS 1 stacks."""

    name = "hips2fits-panstarrs"
    survey = "Pan-STARRS DR1"
    bands = ("g", "r", "i", "z", "y")
    default_bands = ("g", "r", "i")
    hips: ClassVar = {band: f"CDS/P/PanSTARRS/DR1/{band}" for band in bands}
    wavelength = "optical"
    # The 3-pi survey: north of -30 deg (Chambers et al. 2016, arXiv:1612.05560).
    footprint = Declinations(-30.0, 90.0)
    pixel_scale = 0.25 * u.arcsec
    scale_range = (0.0625 * u.arcsec, 1 * u.deg)
    depth = 23.3  # g, the same paper's table 11
    licence = "Public; citing the survey is asked for"
    credit = f"Pan-STARRS1 Surveys (IfA, University of Hawaii and others), {_TOOL}"
    url = "https://panstarrs.stsci.edu"


class LegacySurveys(Hips2Fits):
    """DESI Legacy Imaging Surveys."""

    name = "hips2fits-legacy"
    survey = "DESI Legacy Surveys DR10"
    bands = ("g", "r", "i", "z")
    # What Galaxy10 DECaLS is made of.
    default_bands = ("g", "r", "z")
    hips: ClassVar = {band: f"CDS/P/DESI-Legacy-Surveys/DR10/{band}" for band in bands}
    wavelength = "optical"
    footprint = LegacyFootprint()
    pixel_scale = 0.262 * u.arcsec
    scale_range = (0.0655 * u.arcsec, 1 * u.deg)
    depth = 24.0  # g (Dey et al. 2019, AJ 157, 168)
    licence = "Public; citing the surveys is asked for"
    credit = f"DESI Legacy Imaging Surveys, {_TOOL}"
    url = "https://www.legacysurvey.org/acknowledgment/"


class SDSS9(Hips2Fits):
    """Sloan Digital Sky Survey."""

    name = "hips2fits-sdss"
    survey = "SDSS DR9"
    bands = ("u", "g", "r", "i", "z")
    default_bands = ("g", "r", "i")
    hips: ClassVar = {band: f"CDS/P/SDSS9/{band}" for band in bands}
    wavelength = "optical"
    footprint = SdssFootprint()
    pixel_scale = 0.396 * u.arcsec
    scale_range = (0.099 * u.arcsec, 1 * u.deg)
    depth = 22.2  # r, 95 % complete for points (Abazajian et al. 2009, ApJS 182, 543)
    licence = "Public; citing the survey is asked for"
    credit = f"Sloan Digital Sky Survey, {_TOOL}"
    url = "https://www.sdss.org/collaboration/citing-sdss/"


class TwoMass(Hips2Fits):
    """Two Micron All Sky Survey."""

    name = "hips2fits-2mass"
    survey = "2MASS"
    bands = ("J", "H", "K")
    default_bands = ("J", "H", "K")
    hips: ClassVar = {band: f"CDS/P/2MASS/{band}" for band in bands}
    wavelength = "infrared"
    footprint = AllSky()
    pixel_scale = 1.0 * u.arcsec
    scale_range = (0.25 * u.arcsec, 1 * u.deg)
    # J of 15.8 at 10 sigma (Skrutskie et al. 2006), 0.75 mag deeper at 5, AB - Vega = 0.9.
    depth = 17.4
    licence = "Public; the credit line is asked for"
    credit = f"2MASS (UMass/IPAC-Caltech/NASA/NSF), {_TOOL}"
    url = "https://www.ipac.caltech.edu/2mass/"


class AllWISE(Hips2Fits):
    """Wide-field Infrared Survey Explorer."""

    name = "hips2fits-allwise"
    survey = "AllWISE"
    bands = ("W1", "W2", "W3", "W4")
    default_bands = ("W1", "W2", "W3")
    hips: ClassVar = {band: f"CDS/P/allWISE/{band}" for band in bands}
    wavelength = "infrared"
    footprint = AllSky()
    pixel_scale = 1.375 * u.arcsec
    scale_range = (0.34375 * u.arcsec, 1 * u.deg)
    depth = 19.6  # W1, 54 uJy (AllWISE Explanatory Supplement, II.3)
    licence = "Public; the credit line is asked for"
    credit = f"WISE (UCLA/JPL-Caltech/NASA), {_TOOL}"
    url = "https://wise2.ipac.caltech.edu/docs/release/allwise/"


class Galex(Hips2Fits):
    """Galaxy Evolution Explorer."""

    name = "hips2fits-galex"
    survey = "GALEX GR6/7"
    bands = ("FUV", "NUV")
    default_bands = ("FUV", "NUV")
    hips: ClassVar = {band: f"CDS/P/GALEXGR6_7/{band}" for band in bands}
    wavelength = "ultraviolet"
    footprint = Unknown()
    pixel_scale = 1.5 * u.arcsec
    scale_range = (0.375 * u.arcsec, 1 * u.deg)
    depth = 20.8  # NUV of the all-sky survey (Morrissey et al. 2007, ApJS 173, 682)
    licence = "Public; the credit line is asked for"
    credit = f"GALEX (NASA/JPL-Caltech), {_TOOL}"
    url = "https://archive.stsci.edu/missions-and-data/galex"


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give a fetcher for each survey."""
    return [
        DSS2(), PanStarrs(), LegacySurveys(), SDSS9(), TwoMass(), AllWISE(), Galex(),
    ]  # fmt: skip
