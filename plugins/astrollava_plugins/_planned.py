"""What the fetchers here have in common: a plan before anything is asked, and words for nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from astrollava.errors import EmptyCutout, OutsideFootprint
from astrollava.hooks import check_packages
from astrollava.hooks.fetching import AllSky, Fetcher, Unknown
from astrollava_plugins._needed import CARRIER, EXTRA

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["ANOTHER_SURVEY", "Carried", "Planned"]

ANOTHER_SURVEY = 'Try another survey: fetch="auto" chooses one'


class Planned(Fetcher):
    """A fetcher that is asked for what was planned; a subclass writes `image`."""

    def fetch(
        self,
        position: SkyCoord,
        size: Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> SkyImage:
        """Get a square; see `astrollava.hooks.Fetcher.fetch`."""
        return self.image(self.plan(position, size, pixels=pixels, bands=bands), timeout)

    @abstractmethod
    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get what was planned, within so many seconds."""

    def outside(self, plan: Cutout, why: str = "", *, band: str = "") -> OutsideFootprint:
        """Return the error that says that the survey has nothing there, or nothing of a band."""
        at = plan.position.to_string("hmsdms", precision=0)
        said = f"{self.survey}: no {f'{band} ' if band else ''}image at {at}"
        vague = isinstance(self.footprint, AllSky | Unknown)
        return OutsideFootprint(
            f"{said}: {why}" if why else said,
            expected="" if vague else str(self.footprint),
            hint=ANOTHER_SURVEY,
        )

    def check_bands(self, plan: Cutout, there: Iterable[str]) -> None:
        """Raise `EmptyCutout` where images of some bands only are there: others are no substitute.

        Parameters
        ----------
        plan : Cutout
            What is wanted.
        there : iterable of str
            Bands of which there are images.
        """
        there = set(there)
        if missing := [band for band in plan.bands if band not in there]:
            raise EmptyCutout(
                f"{self.survey}: no {', '.join(missing)} image there",
                expected=f"some of {', '.join(sorted(there))}" if there else "",
                hint="Ask for other bands, or another survey",
            )


class Carried(Planned):
    """A fetcher whose requests are made by astroquery or pyvo; a subclass writes `carried`.

    Attributes
    ----------
    accept : tuple of str
        Content types to take, where a request names no others.
    max_answer : int or None
        The most bytes of an answer, where a request says nothing else; `max_bytes` by default.
    """

    requires = CARRIER
    install = EXTRA
    accept: ClassVar[tuple[str, ...]]
    max_answer: ClassVar[int | None] = None

    def image(self, plan: Cutout, timeout: float) -> SkyImage:
        """Get what was planned; the time is for all requests together."""
        # Without the libraries that astrollava[fetch] adds a plugin can still be listed.
        check_packages(self)
        from astrollava_plugins._astroquery import Carrier

        carrier = Carrier(self, timeout=timeout, accept=self.accept, max_bytes=self.max_answer)
        return self.carried(plan, carrier)

    @abstractmethod
    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get what was planned, by requests of this carrier."""
