"""Any service of the Virtual Observatory that finds images by SIA2 and cuts them by SODA, by pyvo.

Give the address of its query end point::

    from astrollava_plugins.sia import Sia2
    describer.describe(position, fetch=Sia2("https://host/sia/v2query"), size=2 * u.arcmin)

or name it in the environment, to reach it by that name from the command line too::

    export ASTROLLAVA_SIA2="mine=https://host/sia/v2query other=https://archive.org/sia2"

Where a service offers no cutouts, nothing is downloaded: whole images may be gigabytes. For what
else pyvo does by itself see `astrollava_plugins._soda`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from astropy import units as u

from astrollava.errors import InvalidRequest
from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, Unknown, http
from astrollava_plugins._frames import together
from astrollava_plugins._planned import Carried
from astrollava_plugins._soda import CutoutService, best_cutout, cutouts_of, links_at

if TYPE_CHECKING:
    from astropy.units import Quantity

    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["VARIABLE", "Sia2", "astrollava_contract", "astrollava_fetchers", "named_services"]

astrollava_contract = 1

#: The environment variable that names services: ``name=address``, with spaces between them.
VARIABLE = "ASTROLLAVA_SIA2"

_ANY = "image"
_SCALE = 0.25 * u.arcsec
# Levels of calibration of ObsCore: what may be called an image of the sky, then anything.
_CALIBRATED: tuple[list[int] | None, ...] = ([2, 3, 4], None)
# Rows asked for, and images of them whose links are looked at.
_ROWS, _LOOKED_AT = 100, 5


class Sia2(Carried):
    """A service given by its address.

    Parameters
    ----------
    base_url : str
        The address of the SIA2 query, without parameters. Its host may have a private address.
    name : str
        What to call it by.
    collection : str, optional
        The only collection of images to use, in the words of the service.
    bands : mapping, optional
        Name -> (shortest, longest) wavelength, as quantities. Without it there is one band,
        ``image``: the best-calibrated image in whatever light.
    pixel_scale : `~astropy.units.Quantity`
        Angle a pixel to give where no number of pixels is asked for.
    hosts : sequence of str
        Hosts besides the service's own that its links may lead to.
    credit, licence : str
        What using its images asks for.
    """

    wavelength = "any"
    footprint = Unknown()
    scale_range = (0.001 * u.arcsec, 60.0 * u.arcsec)
    max_size = 1.0 * u.deg
    max_pixels = 3000
    depth = None
    # A service that does not cut shall not send a whole image first.
    max_bytes = 96 << 20
    accept = (*http.VOTABLE, *http.FITS)

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "sia2",
        collection: str | None = None,
        bands: Mapping[str, tuple[Quantity, Quantity]] | None = None,
        pixel_scale: Quantity = _SCALE,
        hosts: Sequence[str] = (),
        credit: str = "see the service's own terms",
        licence: str = "see the service's own terms",
    ) -> None:
        super().__init__(base_url=base_url)
        self.name = name
        self.collection = collection
        self.pixel_scale = pixel_scale
        self.wavelengths = dict(bands or {})
        self.bands = tuple(self.wavelengths) or (_ANY,)
        self.default_bands = self.bands[:3]
        self.hosts = (*self.hosts, *hosts)
        self.survey = collection or f"images of {self.hosts[0]}"
        self.url = self.base_url
        self.credit = credit
        self.licence = licence

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The address, the collection and the wavelengths; part of the cache's key."""
        metres = {
            band: [float(end.to_value("m", equivalencies=u.spectral())) for end in ends]
            for band, ends in self.wavelengths.items()
        }
        return {"base_url": self.base_url, "collection": self.collection, "bands": metres}

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a cutout of the best image of each band."""
        # The circle around the square: a service may leave out what lies outside of it.
        radius = 0.7072 * plan.size
        with carrier.reading():
            best = [
                best_cutout(plan, self._services(plan, band, carrier), radius, carrier, self.name)
                for band in plan.bands
            ]
        return together(
            plan,
            [frame for frame, _ in best],
            self.name,
            source={"files": [file for _, file in best]},
        )

    def _services(self, plan: Cutout, band: str, carrier: Carrier) -> Iterator[CutoutService]:
        """Give the services that cut the images there, the best image's first."""
        images = self._images(plan, band, carrier)
        if not len(images):
            raise self.outside(plan, band=band)
        for row in sorted(images, key=_rank)[:_LOOKED_AT]:
            yield from _cutters(images, row, carrier)

    def _images(self, plan: Cutout, band: str, carrier: Carrier) -> Any:
        from pyvo.dal.sia2 import SIA2Query, SIA2Results

        for levels in _CALIBRATED:
            query = SIA2Query(
                self.base_url,
                pos=(plan.ra * u.deg, plan.dec * u.deg, 1.0 * u.arcsec),
                band=self.wavelengths.get(band),
                data_type="image",
                collection=self.collection,
                calib_level=levels,
                maxrec=_ROWS,
                session=carrier.session,
            )
            # Not its own method, which warns where a service has more than it tells.
            images = SIA2Results(query.execute_votable(), session=carrier.session)
            if len(images):
                break
        return images


def _rank(row: Any) -> tuple[float, float]:
    """Sort images: the best-calibrated first, of these the one that is nearest in pixels."""
    level = row.get("calib_level", None)
    scale = row.get("s_pixel_scale", None)
    return (-_plain(level, 0.0), _plain(scale, 1e9))


def _plain(value: Any, otherwise: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def _cutters(images: Any, row: Any, carrier: Carrier) -> Iterator[CutoutService]:
    """Give what cuts an image: described in the table of images, or behind its links."""
    from pyvo.dal import DALServiceError

    described = list(cutouts_of(images, row))
    if described:
        yield from described
        return
    if "content=datalink" in str(row.access_format or ""):
        yield from cutouts_of(links_at(str(row.access_url), carrier))
        return
    try:
        links = row.getdatalink()
    except DALServiceError:
        return  # whole files only
    yield from cutouts_of(links)


def named_services(said: str) -> list[Sia2]:
    """Read the value of the environment variable.

    Parameters
    ----------
    said : str
        ``name=address``, with spaces between several; after an address, other hosts its links may
        lead to, with commas: ``mine=https://a.org/sia2,files.a.org``.

    Raises
    ------
    InvalidRequest
        If it is of another form.
    """
    services = []
    for each in said.split():
        name, _, rest = each.partition("=")
        address, *hosts = rest.split(",")
        if not name or http.parts_of(address) is None:
            raise InvalidRequest(
                f"{VARIABLE} has {each!r}", expected="name=https://address, with spaces between"
            )
        services.append(Sia2(address, name=name, hosts=hosts))
    return services


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the services that the environment names."""
    return [*named_services(os.environ.get(VARIABLE, ""))]
