"""DESI Legacy Imaging Surveys: cutouts of the sky viewer, as FITS and as its pictures.

The viewer's JPEGs of the layer ``ls-dr9`` are the imagery of Galaxy10 DECaLS.

Traps of the service: a side of more than 3000 pixels is cut down to 3000 in silence; where nothing
was observed there are exact zeros, a plain grey or black picture, a FITS file without an image, or
a page that says "No overlap".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from astrollava.errors import EmptyCutout, ServiceError
from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, http
from astrollava_plugins._footprints import LegacyFootprint
from astrollava_plugins._frames import (
    PLAIN,
    flat_share,
    read_frame,
    read_picture,
    without_zeros,
)
from astrollava_plugins._planned import ANOTHER_SURVEY, Planned

if TYPE_CHECKING:
    from astrollava.images import SkyImage

__all__ = ["Legacy", "LegacyPicture", "astrollava_contract", "astrollava_fetchers"]

astrollava_contract = 1

_HOST = "www.legacysurvey.org"
# In the words of the viewer's own exceptions.
_NO_OVERLAP = ("no overlap", "nooverlap")


class _Viewer(Planned):
    """What both forms of the viewer's cutouts share."""

    wavelength = "optical"
    footprint = LegacyFootprint()
    # Of the coadds; the viewer resamples to any other.
    pixel_scale = 0.262 * u.arcsec
    scale_range = (0.131 * u.arcsec, 8.384 * u.arcsec)
    max_size = 1.0 * u.deg
    max_pixels = 3000
    # g, 5 sigma for a galaxy of 0.45 arcsec; points are seen a little deeper (Dey et al. 2019).
    depth = 24.0
    licence = "public; credit is asked for, see https://www.legacysurvey.org/acknowledgment"
    credit = (
        "DESI Legacy Imaging Surveys (Dey et al. 2019, AJ 157, 168); "
        "see https://www.legacysurvey.org/acknowledgment/"
    )
    url = "https://www.legacysurvey.org/viewer"
    hosts = (_HOST, "legacysurvey.org")
    base_url = f"https://{_HOST}/viewer"
    rate = 4.0
    layer: str

    def _ask(
        self, path: str, plan: Cutout, *, accept: Sequence[str], timeout: float
    ) -> http.Answer:
        asked: dict[str, object] = {
            "ra": f"{plan.ra:.7f}",
            "dec": f"{plan.dec:.7f}",
            "layer": self.layer,
            "pixscale": f"{plan.scale:.9g}",
            "size": plan.pixels,
        }
        if path.startswith("fits"):
            asked["bands"] = "".join(plan.bands)
        try:
            return self.get(path, asked, accept=accept, timeout=timeout)
        except ServiceError as error:
            if any(words in error.first_line.lower() for words in _NO_OVERLAP):
                raise self.outside(plan) from error
            raise


class Legacy(_Viewer):
    """FITS cutouts of DR10 (DR9 in the north), in nanomaggies."""

    name = "legacy"
    survey = "DESI Legacy Imaging Surveys DR10"
    bands = ("g", "r", "i", "z")
    default_bands = ("g", "r", "z")
    layer = "ls-dr10"

    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get a FITS cutout."""
        answer = self._ask("fits-cutout", plan, accept=http.FITS, timeout=timeout)
        try:
            image = read_frame(answer.body, self.name)
        except EmptyCutout as error:
            raise self.outside(plan) from error
        self._check(image, plan)
        planes = without_zeros(image).pixels[self._order(image, plan)]
        named = zip(plan.bands, planes, strict=True)
        self.check_bands(plan, [band for band, plane in named if np.isfinite(plane).any()])
        return replace(
            image,
            pixels=planes,
            bands=plan.bands,
            unit=image.unit or "nanomaggy",
            source={"layer": self.layer},
            red_last=True,
        )

    def _order(self, image: SkyImage, plan: Cutout) -> list[int]:
        """Return where in the file the bands asked for are, as its header names them."""
        if sorted(image.bands) == sorted(plan.bands):
            return [image.bands.index(band) for band in plan.bands]
        if all(name.isdigit() for name in image.bands):
            return list(range(len(plan.bands)))  # it names none
        raise ServiceError(
            f"{self.name} sent bands {', '.join(image.bands)}", expected=", ".join(plan.bands)
        )

    def _check(self, image: SkyImage, plan: Cutout) -> None:
        asked = (len(plan.bands), plan.pixels, plan.pixels)
        if image.pixels.shape != asked:
            raise ServiceError(
                f"{self.name} sent {image.shape[1]} x {image.shape[0]} pixels "
                f"in {len(image.pixels)} bands",
                expected=f"{plan.pixels} x {plan.pixels} in {len(plan.bands)}, as asked for",
                hint="Ask for a smaller size",
            )
        apart = float("inf")
        if image.centre is not None:
            apart = plan.position.separation(SkyCoord(*image.centre, unit="deg")).arcsec
        if apart > 2 * plan.scale:
            raise ServiceError(
                f"{self.name} sent an image of another place",
                expected=f"its middle at {plan.ra:.5f} {plan.dec:.5f}",
            )


class LegacyPicture(_Viewer):
    """The viewer's JPEGs of DR9: grz in colour, as in Galaxy10 DECaLS."""

    name = "legacy-jpeg"
    survey = "DESI Legacy Imaging Surveys DR9, colour pictures"
    bands = ("grz",)
    default_bands = ("grz",)
    layer = "ls-dr9"

    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get a picture."""
        answer = self._ask("jpeg-cutout", plan, accept=http.JPEG, timeout=timeout)
        image = read_picture(answer.body, plan, self.name)
        if flat_share(image) > PLAIN:
            raise EmptyCutout(
                f"{self.name} sent a plain picture: nothing was observed there",
                hint=ANOTHER_SURVEY,
            )
        return replace(image, source={"layer": self.layer})


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the FITS cutouts and the pictures."""
    return [Legacy(), LegacyPicture()]
