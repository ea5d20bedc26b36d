"""What a cutout service is to astrollava: the class to derive from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astrollava.errors import CutoutTooLarge, InvalidRequest, OutsideFootprint
from astrollava.hooks.fetching import http
from astrollava.hooks.fetching._addresses import host_of

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.hooks.fetching.footprint import Footprint
    from astrollava.images import SkyImage

__all__ = ["Cutout", "Fetcher", "angle", "one_position"]


@dataclass(frozen=True, eq=False)
class Cutout:
    """What is wanted of a service, checked against what it can give.

    Attributes
    ----------
    position : `~astropy.coordinates.SkyCoord`
        The middle, ICRS.
    size : `~astropy.units.Quantity`
        The side of the square, an angle.
    pixels : int
        Pixels along a side: those asked for, or as many as the survey has there, at most the
        service's `max_pixels`.
    bands : tuple of str
        Bands, from blue to red or as they were asked for.
    exact : bool
        Whether that number of pixels was asked for. Where it was only filled in, a service may
        give the pixels that it has.
    """

    position: SkyCoord
    size: Quantity
    pixels: int
    bands: tuple[str, ...]
    exact: bool = False

    @property
    def ra(self) -> float:
        """Right ascension in degrees."""
        return float(self.position.ra.deg)

    @property
    def dec(self) -> float:
        """Declination in degrees."""
        return float(self.position.dec.deg)

    @property
    def degrees(self) -> float:
        """The side in degrees."""
        return float(self.size.to_value("deg"))

    @property
    def scale(self) -> float:
        """Arcseconds a pixel."""
        return float(self.size.to_value("arcsec")) / self.pixels


class Fetcher(ABC):
    """A service that cuts images out of a survey.

    A subclass sets the attributes below and writes `fetch`. Retries, a pause between requests, the
    cache, a bound on what is asked at a time and the record of where an image came from are added
    around it.

    Parameters
    ----------
    base_url : str, optional
        Another address of the service: a mirror, or a test's server. Only what is given here may
        have a private address.

    Attributes
    ----------
    name : str
        What it is called by: lower case letters, digits, ``.``, ``_`` and ``-``.
    survey : str
        What the images are from.
    bands, default_bands : tuple of str
        All bands, from blue to red, and those fetched where none are named.
    wavelength : str
        ``"optical"``, ``"infrared"``, ``"ultraviolet"``, ``"x-ray"``, ``"radio"``, several with
        commas between them.
    footprint : Footprint
        Where it has images.
    pixel_scale : `~astropy.units.Quantity`
        Angle a pixel of the survey itself.
    scale_range : tuple of `~astropy.units.Quantity`
        Finest and coarsest angle a pixel that the service gives.
    max_size : `~astropy.units.Quantity`
        The largest side of a cutout, an angle.
    max_pixels : int
        The most pixels along a side.
    depth : float or None
        5-sigma depth for points in the band seen best, AB magnitudes; None where there is none to
        compare. Say in a comment where it is from.
    licence, credit, url : str
        Terms of use, the line that using an image asks for, and where people read about it.
    hosts : tuple of str
        Every host that may be asked, or that an answer may redirect to, without ``https://``; with
        its port, ``"sky.example:8080"``, where that is not the one of http or https.
    version : str
        To be raised when the same request gives another image than before: cached ones are not
        used any more then.
    rate : float
        Requests a second at most, to each host.
    at_once : int
        Cutouts asked for at the same time at most.
    max_bytes : int
        The largest answer that is read.
    requires : tuple of str
        Packages, as they are imported, without which it cannot be used. Where one is missing it is
        listed so, and not asked.
    install : str
        What pip is to be given to have them, such as ``"mysurvey[net]"``; `requires` by default.
    """

    name: str
    survey: str
    bands: tuple[str, ...]
    default_bands: tuple[str, ...]
    wavelength: str
    footprint: Footprint
    pixel_scale: Quantity
    scale_range: tuple[Quantity, Quantity]
    max_size: Quantity
    max_pixels: int
    depth: float | None = None
    licence: str
    credit: str
    url: str
    hosts: tuple[str, ...]
    version: str = "1"
    rate: float = 10.0
    at_once: int = 4
    max_bytes: int = http.MAX_BYTES
    requires: tuple[str, ...] = ()
    install: str = ""
    #: The address of the service where none other is given.
    base_url: str = ""

    def __init__(self, *, base_url: str | None = None) -> None:
        self.private: str | None = base_url
        if base_url is not None:
            self.hosts = (host_of(base_url),)
            self.base_url = base_url.rstrip("/")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What besides its name decides which images it gives; JSON-able, part of the cache's key.

        By default the address, where it is not the usual one.
        """
        return {} if self.private is None else {"base_url": self.base_url}

    @abstractmethod
    def fetch(
        self,
        position: SkyCoord,
        size: Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> SkyImage:
        """Get an image from the service.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            The middle.
        size : `~astropy.units.Quantity`
            The side of a square, an angle.
        pixels : int, optional
            Pixels along a side; by default as many as the survey has there.
        bands : sequence of str, optional
            Some of `bands`, ``"all"`` for all of them; `default_bands` by default.
        timeout : float
            Seconds allowed in all.

        Returns
        -------
        SkyImage
            One plane a band, with its WCS; NaN where nothing was observed. By its WCS it is of
            that place and size, within a tenth or two pixels, and so are the pixels where they
            were asked for; else the core refuses it. What it says as ``source`` becomes part of
            the provenance.

        Raises
        ------
        OutsideFootprint, EmptyCutout
            If the survey has nothing there.
        CutoutTooLarge
            If that is more than the service gives.
        FetchTimeout, ServiceError, FetchRefused
            If the service does not answer as it should.
        """

    def plan(
        self,
        position: SkyCoord,
        size: Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
    ) -> Cutout:
        """Check what is asked for, and fill in what was left out.

        Parameters
        ----------
        position, size, pixels, bands
            As for `fetch`.

        Returns
        -------
        Cutout

        Raises
        ------
        InvalidRequest
            If one of them is no position, angle, number or band of this survey.
        OutsideFootprint
            If the survey has nothing there, as far as its footprint tells.
        CutoutTooLarge
            If that is more sky, or more pixels, than the service gives.
        """
        position = one_position(position)
        size = angle(size)
        if self.footprint.contains(position) is False:
            raise OutsideFootprint(
                f"{self.survey} has no image at {position.to_string('hmsdms', precision=0)}",
                expected=str(self.footprint),
                hint='Try another survey: fetch="auto" chooses one',
            )
        if size > self.max_size:
            raise CutoutTooLarge(
                f"a side of {size:.6g} is more than {self.name} gives",
                expected=f"{self.max_size:.6g} at most",
            )
        return Cutout(
            position,
            size,
            self._pixels(size, pixels),
            self._bands(bands),
            exact=pixels is not None,
        )

    def _pixels(self, size: Quantity, pixels: int | None) -> int:
        wide = float(size.to_value("arcsec"))
        finest, coarsest = (float(each.to_value("arcsec")) for each in self.scale_range)
        if pixels is None:
            native = float(self.pixel_scale.to_value("arcsec"))
            least = max(1, math.ceil(wide / coarsest - 1e-9))
            # Rounding up must not ask for more than the service's finest scale.
            most = math.floor(wide / finest * (1 + 1e-7))
            wanted = max(least, min(round(wide / native), most))
            if least > self.max_pixels:
                raise CutoutTooLarge(
                    f"a side of {size:.6g} takes {least} pixels of {self.name}'s coarsest scale",
                    expected=f"{self.max_pixels} pixels at most",
                )
            return min(wanted, self.max_pixels)
        if isinstance(pixels, bool) or not hasattr(pixels, "__index__") or int(pixels) < 1:
            raise InvalidRequest(f"pixels is {pixels!r}", expected="a whole number above zero")
        pixels = int(pixels)
        if pixels > self.max_pixels:
            raise CutoutTooLarge(
                f"{pixels} pixels along a side are more than {self.name} gives",
                expected=f"{self.max_pixels} at most",
            )
        scale = wide / pixels
        fine = finest * (1 - 1e-6) <= scale <= coarsest * (1 + 1e-6)
        # What is chosen where none is given is right, also for less than a pixel of sky.
        if not fine and pixels != self._pixels(size, None):
            raise InvalidRequest(
                f"{pixels} pixels for {size:.6g} are {scale:.3g} arcsec a pixel",
                expected=f"{finest:.3g} to {coarsest:.3g} arcsec a pixel of {self.name}",
                hint="Ask for another number of pixels, or for none",
            )
        return pixels

    def _bands(self, bands: Sequence[str] | None) -> tuple[str, ...]:
        if bands is None:
            return self.default_bands
        if isinstance(bands, str):
            if bands in self.bands:
                bands = (bands,)
            elif bands == "all":
                bands = self.bands
            elif "," in bands:
                bands = [name.strip() for name in bands.split(",")]
            else:
                bands = list(bands)  # "grz"
        wanted = tuple(bands)
        unknown = [name for name in wanted if name not in self.bands]
        if unknown or not wanted or len(set(wanted)) < len(wanted):
            raise InvalidRequest(
                f"bands {', '.join(map(str, wanted)) or 'of no name'} of {self.name}",
                expected=f"some of {', '.join(self.bands)}, each once",
            )
        return wanted

    def get(
        self,
        address: str,
        params: http.Params = None,
        *,
        accept: Sequence[str],
        timeout: float,
    ) -> http.Answer:
        """Ask the service, within its hosts and bounds; see `astrollava.hooks.fetching.http.get`.

        Parameters
        ----------
        address : str
            An address, or a path below `base_url`.
        params : mapping or sequence of pairs, optional
            What follows the ``?``.
        accept : sequence of str
            Content types that the answer may have.
        timeout : float
            Seconds allowed in all.
        """
        if "://" not in address:
            address = f"{self.base_url}/{address.lstrip('/')}"
        return http.get(
            address,
            params,
            hosts=self.hosts,
            private=self.private,
            max_bytes=self.max_bytes,
            accept=accept,
            timeout=timeout,
        )

    def read(
        self,
        answer: bytes | http.Answer,
        *,
        bands: str | Sequence[str] | None = None,
        max_pixels: int | None = None,
    ) -> SkyImage:
        """Read the FITS file or picture that the service sent, or raise what is wrong with it.

        Parameters
        ----------
        answer : bytes or Answer
            What `get` gave, or a part of it.
        bands : str or sequence of str, optional
            Planes to take, by name; where the file names none, the names of all, in order.
        max_pixels : int, optional
            The most values to read; as for `astrollava.images.read` by default.

        Raises
        ------
        EmptyCutout, CutoutTooLarge, UnreadableAnswer, ServiceError
            As `astrollava.hooks.fetching.read_answer`.
        """
        from astrollava.hooks.fetching.reading import read_answer

        return read_answer(answer, self.name, bands=bands, max_pixels=max_pixels)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def one_position(position: Any) -> SkyCoord:
    """Return one finite position, ICRS, or raise `InvalidRequest`."""
    from astropy.coordinates import SkyCoord

    if not isinstance(position, SkyCoord):
        raise InvalidRequest(
            f"the position is of type {type(position).__name__}", expected="a SkyCoord"
        )
    if not position.isscalar:
        raise InvalidRequest(
            f"the position holds {position.size} positions",
            expected="one",
            hint="describe_many takes many",
        )
    # A masked position has a number behind its mask.
    if getattr(position, "masked", False) and bool(position.mask):
        raise InvalidRequest("the position is masked", expected="finite coordinates")
    there = position.icrs
    if not (math.isfinite(there.ra.deg) and math.isfinite(there.dec.deg)):
        raise InvalidRequest("the position is not a number", expected="finite coordinates")
    return there


def angle(size: Any) -> Quantity:
    """Return one angle above zero, or raise `InvalidRequest`."""
    from astropy import units as u

    if not isinstance(size, u.Quantity) or not size.isscalar or not size.unit.is_equivalent(u.deg):
        raise InvalidRequest(
            f"size is {size!r}", expected="one angle, such as 3 * astropy.units.arcmin"
        )
    if not (math.isfinite(size.value) and size.value > 0):
        raise InvalidRequest(f"size is {size}", expected="an angle above zero")
    return size
