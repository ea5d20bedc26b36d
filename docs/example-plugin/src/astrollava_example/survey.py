"""A fetcher for a survey that does not exist, of a service that could."""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from astrollava.errors import EmptyCutout, OutsideFootprint, ServiceError
from astrollava.hooks import Fetcher, SkyImage
from astrollava.hooks.fetching import Declinations, http


class ExampleSurvey(Fetcher):
    """The example survey: g, r and z of the sky north of declination -20 degrees."""

    name = "example-survey"
    survey = "Example Survey DR1"
    bands = ("g", "r", "z")
    default_bands = ("g", "r", "z")
    wavelength = "optical"
    footprint = Declinations(-20.0, 90.0)
    pixel_scale = 0.5 * u.arcsec
    scale_range = (0.5 * u.arcsec, 4 * u.arcsec)
    max_size = 20 * u.arcmin
    max_pixels = 2048
    # Point sources in r; from the survey's own paper, if there were one.
    depth = 23.4
    licence = "CC BY 4.0"
    credit = "Example Survey Collaboration"
    url = "https://survey.example/about"
    base_url = "https://survey.example"
    hosts = ("survey.example",)

    def fetch(
        self,
        position: SkyCoord,
        size: u.Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> SkyImage:
        """Get a cutout: see `astrollava.hooks.Fetcher.fetch`."""
        wanted = self.plan(position, size, pixels=pixels, bands=bands)
        try:
            answer = self.get(
                "cutout",
                {
                    "ra": f"{wanted.ra:.7f}",
                    "dec": f"{wanted.dec:.7f}",
                    "size": f"{wanted.degrees:.7f}",
                    "pixels": wanted.pixels,
                    "bands": "".join(wanted.bands),
                },
                accept=http.FITS,
                timeout=timeout,
            )
        except ServiceError as error:
            # The footprint above is only roughly known: the service has the last word.
            if error.status == 404:
                raise OutsideFootprint(f"{self.survey} has no image there") from error
            raise
        # Half a file is an `UnreadableAnswer`, which is asked for again.
        image = self.read(answer, bands=wanted.bands)
        if not np.isfinite(image.pixels).any():
            raise EmptyCutout(f"{self.survey} has no value there")
        return image
