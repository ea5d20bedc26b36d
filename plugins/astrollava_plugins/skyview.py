"""NASA SkyView: surveys from radio to X-rays, resampled to the grid that was asked for.

`astroquery.skyview` fills in the service's form and finds the link to the image; the image is
fetched by our own client. Left alone, astroquery waits without end, downloads whatever the link
leads to, keeps failures in its cache, and rounds the position to six digits: two arcseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from astropy import units as u

from astrollava.errors import ServiceError, UnreadableAnswer
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import AllSky, Declinations, Fetcher, Unknown, http
from astrollava_plugins._blank import without_constants
from astrollava_plugins._frames import read_frame, together
from astrollava_plugins._planned import Carried

if TYPE_CHECKING:
    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = [
    "DSS2",
    "NVSS",
    "Galex",
    "Rosat",
    "SkyView",
    "astrollava_fetchers",
]

astrollava_contract = 1

_TOOL = "SkyView, NASA's virtual observatory at GSFC"


class SkyView(Carried):
    """A survey served by SkyView; a subclass says which.

    Attributes
    ----------
    surveys : mapping
        Band -> the survey's name in SkyView's form.
    """

    surveys: ClassVar[Mapping[str, str]]

    base_url = "https://skyview.gsfc.nasa.gov/current/cgi/basicform.pl"
    hosts = ("skyview.gsfc.nasa.gov",)
    max_pixels = 2000
    max_size = 20 * u.deg
    # Each image is made on the spot, by four requests.
    rate = 2.0
    at_once = 2
    accept = ("text/html",)
    # The form has about 100 kB.
    max_answer = 4 << 20

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square with north up, band by band."""
        frames = [self._frame(carrier, plan, band) for band in plan.bands]
        asked = {band: self.surveys[band] for band in plan.bands}
        return together(plan, frames, self.name, source={"surveys": asked})

    def _frame(self, carrier: Carrier, plan: Cutout, band: str) -> SkyImage:
        form = carrier.adopt(_form(plan))
        form.URL = self.base_url
        with carrier.reading():
            links = form.get_image_list(
                plan.position,
                [self.surveys[band]],
                coordinates="J2000",
                projection="Tan",
                pixels=str(plan.pixels),
                scaling="Linear",
                width=plan.size,
                height=plan.size,
                cache=False,
            )
        if len(links) != 1:
            whole = b"</html>" in carrier.last.lower()
            raise (ServiceError if whole else UnreadableAnswer)(
                f"{self.name} answered with {len(links)} images of {self.surveys[band]}",
                expected="one",
                first_line=carrier.first_line,
                hint="Try again; if it stays, the survey may have nothing there",
            )
        # Doubles, and as much again as room for the header and the log that follows the image.
        most = 8 * plan.pixels**2 + (1 << 20)
        try:
            body = carrier.get(links[0], accept=http.FITS, max_bytes=most).body
        except ServiceError as error:
            # The link is made before the image is.
            if error.status != 404:
                raise
            raise self.outside(plan, f"none of {self.surveys[band]} was made") from error
        return without_constants(read_frame(body, self.name))


def _form(plan: Cutout) -> Any:
    """Make SkyView's form, filled in with all digits of the position."""
    from astroquery.skyview import SkyViewClass

    class Exact(SkyViewClass):  # type: ignore[misc]  # astroquery has no types
        def _submit_form(self, input: Mapping[str, Any], **options: Any) -> Any:
            where = f"{plan.ra:.8f} {plan.dec:.8f}"
            return super()._submit_form({**input, "Position": where}, **options)

    return Exact()


class DSS2(SkyView):
    """Second Digitized Sky Survey."""

    name = "skyview"
    survey = "DSS2"
    bands = ("blue", "red", "ir")
    default_bands = ("blue", "red", "ir")
    surveys: ClassVar = {"blue": "DSS2 Blue", "red": "DSS2 Red", "ir": "DSS2 IR"}
    wavelength = "optical"
    footprint = AllSky()
    pixel_scale = 1.0 * u.arcsec
    scale_range = (0.25 * u.arcsec, 1 * u.deg)
    # R of 20.8 on POSS-II, about the same in AB (Reid et al. 1991, PASP 103, 661).
    depth = 20.8
    licence = "Free for research and education; © AURA, Caltech, AAO/ROE/UKSTU, see the URL"
    credit = f"Digitized Sky Survey (STScI/NASA), {_TOOL}"
    url = "https://skyview.gsfc.nasa.gov/current/help/surveys.html"


class Galex(SkyView):
    """Galaxy Evolution Explorer."""

    name = "skyview-galex"
    survey = "GALEX"
    bands = ("FUV", "NUV")
    default_bands = ("FUV", "NUV")
    surveys: ClassVar = {"FUV": "GALEX Far UV", "NUV": "GALEX Near UV"}
    wavelength = "ultraviolet"
    footprint = Unknown()
    pixel_scale = 1.5 * u.arcsec
    scale_range = (0.375 * u.arcsec, 1 * u.deg)
    depth = 20.8  # NUV of the all-sky survey (Morrissey et al. 2007, ApJS 173, 682)
    licence = "Public; the credit line is asked for"
    credit = f"GALEX (NASA/JPL-Caltech), {_TOOL}"
    url = "https://archive.stsci.edu/missions-and-data/galex"


class NVSS(SkyView):
    """NRAO VLA Sky Survey."""

    name = "skyview-nvss"
    survey = "NVSS"
    bands = ("1.4GHz",)
    default_bands = ("1.4GHz",)
    surveys: ClassVar = {"1.4GHz": "NVSS"}
    wavelength = "radio"
    footprint = Declinations(-40.0, 90.0)  # Condon et al. 1998, AJ 115, 1693
    pixel_scale = 15.0 * u.arcsec
    scale_range = (3.75 * u.arcsec, 1 * u.deg)
    licence = "Public; citing the survey is asked for"
    credit = f"NRAO VLA Sky Survey (NRAO/AUI/NSF), {_TOOL}"
    url = "https://www.cv.nrao.edu/nvss/"


class Rosat(SkyView):
    """ROSAT All-Sky Survey."""

    name = "skyview-rass"
    survey = "ROSAT All-Sky Survey"
    bands = ("soft", "hard", "broad")
    default_bands = ("broad",)
    surveys: ClassVar = {
        "soft": "RASS-Cnt Soft", "hard": "RASS-Cnt Hard", "broad": "RASS-Cnt Broad",
    }  # fmt: skip
    wavelength = "x-ray"
    footprint = AllSky()
    pixel_scale = 45.0 * u.arcsec
    scale_range = (11.25 * u.arcsec, 1 * u.deg)
    licence = "Public; the credit line is asked for"
    credit = f"ROSAT (Max-Planck-Institut für extraterrestrische Physik), {_TOOL}"
    url = "https://www.mpe.mpg.de/ROSAT"


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give a fetcher for each survey."""
    return [DSS2(), Galex(), NVSS(), Rosat()]
