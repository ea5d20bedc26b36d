"""ESASky: observations of ESA's missions, downloaded whole and cut to size.

ESASky makes no cutouts. `astroquery.esasky` builds the search; the one product that fits best is
fetched by our own client, to a bound, and unpacked in memory. astroquery's `get_images` downloads
every product there is to the working folder, under names that the answers state.
"""

from __future__ import annotations

import logging
import re
import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from astropy import units as u

from astrollava.errors import InvalidRequest, OutsideFootprint, ServiceError
from astrollava.hooks import hookimpl
from astrollava.hooks.fetching import Fetcher, Unknown, http
from astrollava_plugins._archives import ARCHIVES, contents
from astrollava_plugins._frames import read_frame, together, without_zeros
from astrollava_plugins._outlines import covers
from astrollava_plugins._planes import filter_of
from astrollava_plugins._planned import Carried
from astrollava_plugins._votable import read_votable, text_of

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.table import Row, Table

    from astrollava.hooks.fetching import Cutout
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["EsaSky", "Herschel", "Hubble", "astrollava_fetchers"]

astrollava_contract = 1

_log = logging.getLogger(__name__)

#: Searching changes which name resolver the whole process uses: one at a time, and undone.
_searching = threading.Lock()


class EsaSky(Carried):
    """A mission of ESASky; a subclass says which.

    Attributes
    ----------
    mission : str
        Its name in ESASky's table of missions.
    reach : Quantity
        From an observation's middle to its farthest corner, about.
    """

    mission: ClassVar[str]
    reach: ClassVar[u.Quantity]
    #: The most that a product may unpack to.
    max_unpacked: ClassVar[int] = 512 << 20

    footprint = Unknown()
    base_url = "https://sky.esa.int/esasky-tap"
    hosts = (
        "sky.esa.int", "hst.esac.esa.int", "archives.esac.esa.int", "hsa.esac.esa.int",
    )  # fmt: skip
    max_bytes = 256 << 20
    rate = 1.0
    at_once = 1
    accept = http.VOTABLE
    max_answer = 16 << 20
    max_pixels = 4000

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a square out of one observation."""
        rows = [row for row in self._search(carrier, plan) if _reaches(row, plan)]
        row = self._choose(plan, rows)
        link = _said(row, "product_url") or _said(row, "access_url")
        if not link:
            raise ServiceError(f"{self.name} gives no address of the product")
        _log.info("%s downloads a whole product: %s", self.name, link)
        body = carrier.get(link, accept=ARCHIVES, max_bytes=self.max_bytes).body
        frames = self._frames(body, plan)
        return together(
            plan,
            frames,
            self.name,
            source={
                "product": link,
                "product_bytes": len(body),
                "observation": _said(row, "observation_id"),
            },
        )

    @abstractmethod
    def _choose(self, plan: Cutout, rows: Sequence[Row]) -> Row:
        """Choose an observation."""

    @abstractmethod
    def _frames(self, body: bytes, plan: Cutout) -> list[SkyImage]:
        """Read a product."""

    def _search(self, carrier: Carrier, plan: Cutout) -> Table:
        """Look up observations; by their middle where ESASky does not know their outlines."""
        from astropy.coordinates.name_resolve import sesame_database

        service = _esasky(_Tap(self, carrier))
        radius = self.reach + plan.size / 2
        with carrier.reading(), _searching:
            before = sesame_database.get()
            try:
                found = service.query_region_maps(
                    plan.position, radius, missions=[self.mission], row_limit=2000
                )
            finally:
                sesame_database.set(before)
            # Only what has rows is in the list; its `[]` raises TypeError else.
            return found[self.mission] if self.mission in found.keys() else ()  # noqa: SIM118

    def _none_there(self, plan: Cutout, there: Iterable[str]) -> OutsideFootprint:
        known = sorted(set(there))
        return OutsideFootprint(
            f"{self.survey} has no {', '.join(plan.bands)} image there",
            expected=f"what is there: {', '.join(known)}" if known else "",
            hint="Name other bands, or try another survey",
        )


class _Tap:
    """Stands in for astroquery's TAP client, which waits without end and reads without bound."""

    def __init__(self, fetcher: EsaSky, carrier: Carrier) -> None:
        self._url = f"{fetcher.base_url}/tap/sync"
        self._name = fetcher.name
        self._carrier = carrier
        self._found: Any = None

    def launch_job(self, query: str, **ignored: Any) -> _Tap:
        """Run a query."""
        asked = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query}
        self._found = read_votable(self._carrier.get(self._url, asked).body, self._name)
        return self

    def get_results(self) -> Table:
        """Return its table."""
        return self._found


def _esasky(tap: _Tap) -> Any:
    """Make astroquery's object, and undo what importing its module does to all of Python."""
    import sys
    import tarfile

    known = "astroquery.esasky" in sys.modules
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    from astroquery.esasky import ESASkyClass

    if not known:
        # It makes `tarfile` extract whatever an archive says, wherever it says, for everybody.
        tarfile.TarFile.extraction_filter = before
    return ESASkyClass(tap_handler=tap)


def _said(row: Row, name: str) -> str:
    return text_of(row, [name])


def _reaches(row: Row, plan: Cutout) -> bool:
    """Whether an observation's outline has the position, or none is known."""
    return covers(_said(row, "stc_s"), plan.position) is not False


def _seconds(row: Row) -> float:
    for name in ("exposure_duration", "duration"):
        try:
            return float(_said(row, name) or "nan")
        except ValueError:
            continue
    return 0.0


class Hubble(EsaSky):
    """Hubble's optical images, each observation by itself."""

    name = "esasky-hst"
    mission = "HST-OPTICAL"
    survey = "Hubble, optical"
    bands = (
        "F435W", "F439W", "F450W", "F475W", "F502N", "F547M", "F555W", "F606W", "F625W", "F656N",
        "F658N", "F675W", "F702W", "F775W", "F791W", "F814W", "F850LP",
    )  # fmt: skip
    default_bands = ("F814W",)
    wavelength = "optical"
    reach = 3 * u.arcmin
    pixel_scale = 0.05 * u.arcsec
    scale_range = (0.0125 * u.arcsec, 2 * u.arcsec)
    max_size = 3 * u.arcmin
    licence = "Public after a year; citing the observations is asked for"
    credit = "NASA/ESA Hubble Space Telescope, from the European HST Archive through ESASky"
    url = "https://www.cosmos.esa.int/web/hst"

    def plan(
        self,
        position: SkyCoord,
        size: u.Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
    ) -> Cutout:
        """Check what is asked for; see `Fetcher.plan`. A band is a whole product: one at most."""
        plan = super().plan(position, size, pixels=pixels, bands=bands)
        if len(plan.bands) > 1:
            raise InvalidRequest(
                f"{len(plan.bands)} bands of {self.name}",
                expected="one: each is a whole product",
                hint="Name one band, or fetch from hapcut",
            )
        return plan

    def _choose(self, plan: Cutout, rows: Sequence[Row]) -> Row:
        found = [row for row in rows if _filter(row) in plan.bands]
        if not found:
            raise self._none_there(plan, filter(None, map(_filter, rows)))
        return max(found, key=_seconds)

    def _frames(self, body: bytes, plan: Cutout) -> list[SkyImage]:
        files = contents(body, max_bytes=self.max_unpacked, what=self.name)
        # Where there are several, the largest is the drizzled image.
        content = max(files.values(), key=len, default=b"")
        return [without_zeros(read_frame(content, self.name))]


class Herschel(EsaSky):
    """Herschel's maps, PACS and SPIRE, each observation by itself."""

    name = "esasky-herschel"
    mission = "HERSCHEL"
    survey = "Herschel"
    bands = ("70", "100", "160", "250", "350", "500")
    default_bands = ("250", "350", "500")
    wavelength = "infrared"
    reach = 1 * u.deg
    pixel_scale = 6.0 * u.arcsec
    scale_range = (1 * u.arcsec, 60 * u.arcsec)
    max_size = 2 * u.deg
    licence = "Public; the credit line is asked for"
    credit = "ESA/Herschel, from the Herschel Science Archive through ESASky"
    url = "https://www.cosmos.esa.int/web/herschel"

    #: Band -> how the names of its maps are told, as astroquery tells them.
    _names: ClassVar[Mapping[str, str]] = {
        "70": "mapb_blue", "100": "mapb_green", "160": "mapr_",
        "250": "psw", "350": "pmw", "500": "plw",
    }  # fmt: skip

    def _choose(self, plan: Cutout, rows: Sequence[Row]) -> Row:
        pacs = {"70", "100", "160"}
        wanted = {"PACS"} if set(plan.bands) & pacs else set()
        wanted |= {"SPIRE"} if set(plan.bands) - pacs else set()
        fitting = [
            row
            for row in rows
            if all(each in _said(row, "instrument").upper() for each in wanted)
            or "PARALLEL" in _said(row, "instrument").upper()
        ]
        if not fitting:
            raise self._none_there(plan, (_said(row, "instrument") for row in rows))
        return max(fitting, key=_seconds)

    def _frames(self, body: bytes, plan: Cutout) -> list[SkyImage]:
        files = contents(body, max_bytes=self.max_unpacked, what=self.name)
        maps = {name.lower(): data for name, data in files.items()}
        frames = []
        for band in plan.bands:
            fitting = [
                data
                for name, data in sorted(maps.items())
                if ("hspire" in name or "hpacs" in name) and self._names[band] in name
            ]
            if not fitting:
                raise self._none_there(plan, ())
            frames.append(read_frame(fitting[0], self.name))
        return frames


def _filter(row: Row) -> str:
    # Two wheels: "F606W;CLEAR2L", "CLEAR1L/F814W".
    said = re.split(r"[^A-Za-z0-9]+", _said(row, "filter"))
    for word in said:
        band = filter_of({"FILTER": word})
        if band:
            return band
    return ""


@hookimpl
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give a fetcher for each mission."""
    return [Hubble(), Herschel()]
