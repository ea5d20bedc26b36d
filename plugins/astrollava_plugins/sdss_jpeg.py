"""SDSS colour pictures: SkyServer's gri composites, as used in Galaxy Zoo.

See https://skyserver.sdss.org/dr18/help/docs/api (resource ``getJpeg``).

Traps: a side outside of 64 to 2048 pixels is moved into that range in silence, so that the scale is
another than the one asked for; outside of the survey there comes a plain picture with words on it,
with status 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from astropy import units as u

from astrollava.errors import InvalidRequest
from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, http
from astrollava_plugins._footprints import SdssFootprint
from astrollava_plugins._frames import PLAIN, flat_share, read_picture
from astrollava_plugins._planned import Planned

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.images import SkyImage

__all__ = ["SdssFootprint", "SdssPicture", "astrollava_contract", "astrollava_fetchers"]

astrollava_contract = 1

_LEAST = 64


class SdssPicture(Planned):
    """JPEGs of g, r and i in colour."""

    name = "sdss-jpeg"
    survey = "SDSS DR18, colour pictures"
    bands = ("gri",)
    default_bands = ("gri",)
    wavelength = "optical"
    footprint = SdssFootprint()
    pixel_scale = 0.396127 * u.arcsec
    scale_range = (0.05 * u.arcsec, 8.0 * u.arcsec)
    max_size = 1.0 * u.deg
    max_pixels = 2048
    # r, 95 % of point sources found (Abazajian et al. 2009, ApJS 182, 543, table 1).
    depth = 22.2
    licence = "public domain"
    credit = (
        "Sloan Digital Sky Survey (Aihara et al. 2011, ApJS 193, 29); "
        "see https://www.sdss.org/collaboration/citing-sdss"
    )
    url = "https://skyserver.sdss.org"
    hosts = ("skyserver.sdss.org",)
    base_url = "https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout"
    rate = 4.0

    def plan(
        self,
        position: SkyCoord,
        size: Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
    ) -> Cutout:
        """Check what is asked for: fewer than 64 pixels are not made. Otherwise as `Fetcher`."""
        plan = super().plan(position, size, pixels=pixels, bands=bands)
        if plan.pixels >= _LEAST:
            return plan
        if pixels is not None:
            raise InvalidRequest(
                f"{pixels} pixels along a side are fewer than {self.name} makes",
                expected=f"{_LEAST} to {self.max_pixels}",
            )
        return replace(plan, pixels=_LEAST)

    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get a picture."""
        asked = {
            "ra": f"{plan.ra:.7f}",
            "dec": f"{plan.dec:.7f}",
            "scale": f"{plan.scale:.9g}",
            "width": plan.pixels,
            "height": plan.pixels,
        }
        answer = self.get("getjpeg", asked, accept=http.JPEG, timeout=timeout)
        image = read_picture(answer.body, plan, self.name)
        if flat_share(image) > PLAIN:
            raise self.outside(plan, "a plain picture came, as it does outside of the survey")
        return image


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the pictures."""
    return [SdssPicture()]
