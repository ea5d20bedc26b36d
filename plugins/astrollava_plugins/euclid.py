"""Euclid's mosaics at the ESA archive: which tile covers a position, then cutouts, by astroquery.

Traps of astroquery's class: what fails is logged, and the answer is None; it waits without a time
limit, unpacks what is packed to any size, and unpacks archives where their names lead. Its module
asks the server for messages as soon as it is imported, and prints them, or that there are none, on
standard output. So the table service under it is used, over our own connections, and the cutout is
asked for here with what the class would send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from astropy import units as u

from astrollava.errors import FetchRefused, ServiceError
from astrollava.hooks import Fetcher, hookimpl
from astrollava.hooks.fetching import Cutout, Unknown, http
from astrollava_plugins._archives import ARCHIVES, contents
from astrollava_plugins._frames import read_frame, together, without_zeros
from astrollava_plugins._planned import Carried
from astrollava_plugins._votable import number_of, text_of

if TYPE_CHECKING:
    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["Euclid", "astrollava_contract", "astrollava_fetchers"]

astrollava_contract = 1

_COLUMNS = "file_name, file_path, tile_index, instrument_name, filter_name, ra, dec"


class Euclid(Carried):
    """Background-subtracted mosaics of VIS and NISP, all on one grid."""

    name = "euclid"
    survey = "Euclid MER mosaics"
    bands = ("VIS", "NIR_Y", "NIR_J", "NIR_H")
    default_bands = ("VIS", "NIR_Y", "NIR_H")
    wavelength = "optical, infrared"
    # It grows from release to release: the archive must be asked.
    footprint = Unknown()
    pixel_scale = 0.1 * u.arcsec
    scale_range = (0.1 * u.arcsec, 3.0 * u.arcsec)
    max_size = 6.0 * u.arcmin
    max_pixels = 3600
    # VIS, 5 sigma, points, wide survey (Euclid Collaboration: Mellier et al. 2025, A&A 697, A1).
    depth = 26.2
    licence = "public; credit is asked for, see https://www.cosmos.esa.int/web/euclid"
    credit = (
        "ESA Euclid, Euclid Consortium (Mellier et al. 2025, A&A 697, A1); "
        "see https://www.euclid-ec.org/public/data/ack"
    )
    url = "https://eas.esac.esa.int/sas"
    hosts = ("eas.esac.esa.int",)
    base_url = "https://eas.esac.esa.int"
    rate = 2.0
    at_once = 2
    accept = (*http.VOTABLE, *ARCHIVES)

    def carried(self, plan: Cutout, carrier: Carrier) -> SkyImage:
        """Get a cutout of the mosaics of one tile."""
        with carrier.reading():
            tile = self._tile(plan, carrier)
            frames = [self._cutout(plan, tile[band], carrier) for band in plan.bands]
        files = [text_of(tile[band], ["file_name"]) for band in plan.bands]
        return together(
            plan, frames, self.name, meta={"telescope": "Euclid"}, source={"files": files}
        )

    def _tile(self, plan: Cutout, carrier: Carrier) -> Mapping[str, Any]:
        """Return the files of the tile in whose middle the position is most nearly; band -> row."""
        from astropy.coordinates import SkyCoord

        rows = [row for row in _ask(_query(plan), self.base_url, carrier) if _place(row)]
        if not rows:
            raise self.outside(plan)
        tiles: dict[str, dict[str, Any]] = {}
        for row in rows:
            tile = tiles.setdefault(text_of(row, ["tile_index"]), {})
            tile.setdefault(text_of(row, ["filter_name"]), row)

        def order(tile: Mapping[str, Any]) -> tuple[int, float]:
            missing = sum(band not in tile for band in plan.bands)
            ra, dec = _place(next(iter(tile.values()))) or (0.0, 0.0)
            return missing, float(SkyCoord(ra, dec, unit="deg").separation(plan.position).deg)

        best = min(tiles.values(), key=order)
        self.check_bands(plan, best)
        return best

    def _cutout(self, plan: Cutout, row: Any, carrier: Carrier) -> SkyImage:
        # The circle around the square, and some pixels: what lies outside of it may be left out.
        radius = float((0.7072 * plan.size + 2 * self.pixel_scale).to_value("deg"))
        path = f"{text_of(row, ['file_path']).rstrip('/')}/{text_of(row, ['file_name'])}"
        asked = {
            "TAPCLIENT": "ASTROQUERY",
            "FILEPATH": path,
            "COLLECTION": text_of(row, ["instrument_name"]),
            "OBSID": text_of(row, ["tile_index"]),
            "POS": f"CIRCLE,{plan.ra!r},{plan.dec!r},{radius!r}",
        }
        answer = carrier.session.post(f"{self.base_url}/sas-cutout/cutout", data=asked)
        answer.raise_for_status()
        # astroquery's class looks for an archive, too.
        files = contents(answer.content, max_bytes=self.max_bytes, what=self.name)
        if len(files) != 1:
            raise ServiceError(f"{self.name} sent {len(files)} images of {path}", expected="one")
        (body,) = files.values()
        return without_zeros(read_frame(body, self.name))


def _query(plan: Cutout) -> str:
    names = " OR ".join(f"filter_name = '{band}'" for band in plan.bands)
    circle = f"CIRCLE('ICRS', {plan.ra!r}, {plan.dec!r}, 0.0003)"
    return (  # nothing but numbers and names of bands is put in
        f"SELECT TOP 100 {_COLUMNS} FROM sedm.mosaic_product "  # noqa: S608
        f"WHERE product_type = 'DpdMerBksMosaic' AND ({names}) "
        f"AND mosaic_product.fov IS NOT NULL AND INTERSECTS({circle}, mosaic_product.fov) = 1 "
        "ORDER BY tile_index ASC"
    )


def _place(row: Any) -> tuple[float, float] | None:
    ra, dec = number_of(row, "ra"), number_of(row, "dec")
    return None if ra is None or dec is None else (ra, dec)


def _ask(query: str, base_url: str, carrier: Carrier) -> Any:
    """Have astroquery's table service ask the archive, over connections of ours."""
    from astroquery.utils.tap import TapPlus
    from astroquery.utils.tap.conn.tapconn import TapConn

    parts = urlsplit(base_url)
    connections = TapConn(
        ishttps=parts.scheme == "https",
        host=parts.hostname,
        server_context="tap-server",
        tap_context="tap",
        connhandler=_Connections(base_url, carrier),
    )
    # As astroquery's class for Euclid makes it, whose module must not be imported.
    archive = TapPlus(
        url=base_url,
        server_context="tap-server",
        tap_context="tap",
        connhandler=connections,
        client_id="ASTROQUERY",
        use_names_over_ids=True,
    )
    return archive.launch_job(query, output_format="votable_plain").get_results()


class _Connections:
    """Stands in for astroquery's `ConnectionHandler`, and for the connection that it gives."""

    def __init__(self, base_url: str, carrier: Carrier) -> None:
        self._base_url = base_url
        self._carrier = carrier
        self._response: Any = None

    def get_connection(self, **_: object) -> _Connections:
        return self

    def request(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> None:
        """Send a request at once."""
        address = f"{self._base_url}{target}"
        kind = {k: v for k, v in headers.items() if k.lower() == "content-type"}
        self._response = self._carrier.session.request(method, address, data=body, headers=kind)

    def getresponse(self) -> _Connections:
        return self

    @property
    def status(self) -> int:
        return int(self._response.status_code)

    @property
    def reason(self) -> str:
        return str(self._response.reason or "")

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self._response.headers.items())

    def read(self) -> bytes:
        """Return the body; astroquery would unpack it, to any size."""
        body = bytes(self._response.content)
        if body.startswith(b"\x1f\x8b"):
            raise FetchRefused("euclid sent a packed table", expected="a VOTable, as asked for")
        return body


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the mosaics."""
    return [Euclid()]
