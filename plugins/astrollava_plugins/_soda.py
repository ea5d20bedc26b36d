"""Where a Virtual Observatory service cuts images: DataLink and SODA, as pyvo reads them.

Traps of pyvo: without a cutout service it gives the whole data set, gigabytes of it; it asks for
links through a connection of its own, without a time limit; and to find links by their meaning it
downloads a vocabulary from ivoa.net. What it reads is used here, none of what it fetches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astrollava.errors import CutoutTooLarge, ServiceError
from astrollava.hooks.fetching import Cutout, http
from astrollava_plugins._frames import read_frame, share_of, without_zeros

if TYPE_CHECKING:
    from astropy.units import Quantity

    from astrollava.images import SkyImage
    from astrollava_plugins._astroquery import Carrier

__all__ = ["CutoutService", "best_cutout", "cutouts_of", "links_at"]

_SYNC = "ivo://ivoa.net/std/soda#sync"
# Images that are tried where those before end within the square, and the share that will do.
_TRIES, _ENOUGH = 3, 0.98
# Not public, or listed and gone: another image may be there.
_NOT_THIS_ONE = (401, 403, 404, 410)
# A service that did not cut sends more sky than this many times the side asked for.
_UNCUT = 4.0


@dataclass(frozen=True)
class CutoutService:
    """A place that cuts one data set.

    Attributes
    ----------
    address : str
        Where to ask.
    parameters : mapping
        What identifies the data set.
    takes : frozenset of str
        Names of all parameters that it declares.
    """

    address: str
    parameters: Mapping[str, Any]
    takes: frozenset[str]

    @property
    def file(self) -> str:
        """The identifier of the data set."""
        return str(self.parameters.get("ID", ""))

    def cut(self, plan: Cutout, radius: Quantity, carrier: Carrier) -> http.Answer:
        """Ask for a circle; services send the box around it."""
        circle = f"{plan.ra:.8f} {plan.dec:.8f} {radius.to_value('deg'):.8f}"
        # SODA 1.0 has both; a service that declares neither is asked in the older way.
        asked = {"CIRCLE": circle} if "CIRCLE" in self.takes else {"POS": f"CIRCLE {circle}"}
        return carrier.get(self.address, {**self.parameters, **asked}, accept=http.FITS)


def best_cutout(
    plan: Cutout, services: Iterable[CutoutService], radius: Quantity, carrier: Carrier, what: str
) -> tuple[SkyImage, str]:
    """Cut until an image covers the square.

    Parameters
    ----------
    plan : Cutout
        What was asked for.
    services : iterable of CutoutService
        Where images of one band are cut, the best first; no more are asked than are needed.
    radius : `~astropy.units.Quantity`
        Of the circle to ask for.
    carrier : Carrier
        Carries the requests.
    what : str
        What the service is called in errors.

    Returns
    -------
    image : SkyImage
        The cutout that covers most of the square; NaN where the file has zeros.
    file : str
        The identifier of the data set it is from.

    Raises
    ------
    CutoutTooLarge
        If nothing is cut, and only whole files are offered or sent.
    ServiceError
        If no image is public, or the service fails.
    """
    found: list[tuple[float, SkyImage, str]] = []
    refused: ServiceError | None = None
    for service in services:
        try:
            answer = service.cut(plan, radius, carrier)
        except ServiceError as error:
            if error.status not in _NOT_THIS_ONE:
                raise
            refused = error
            continue
        frame = without_zeros(read_frame(answer.body, what))
        if frame.pixel_scale is not None:
            wide = max(frame.shape) * frame.pixel_scale
            if wide > _UNCUT * float(plan.size.to_value("arcsec")) + 10 * frame.pixel_scale:
                raise CutoutTooLarge(
                    f"{what} did not cut: {wide / 60:.3g} arcmin came",
                    expected=f"{plan.size:.6g}",
                )
        found.append((share_of(plan, frame), frame, service.file))
        if found[-1][0] >= _ENOUGH or len(found) == _TRIES:
            break
    if not found and refused is not None:
        raise refused
    if not found:
        raise CutoutTooLarge(
            f"{what} offers no cutouts of the images there, only whole files",
            hint="They may be gigabytes, or not public yet; fetch one yourself, and name the file",
        )
    _, frame, file = max(found, key=lambda each: each[0])
    return frame, file


def links_at(address: str, carrier: Carrier) -> Any:
    """Return pyvo's table of the links at an address."""
    from pyvo.dal.adhoc import DatalinkResults

    return DatalinkResults.from_result_url(address, session=carrier.session)


def cutouts_of(results: Any, row: Any = None) -> Iterator[CutoutService]:
    """Find the services that cut data sets.

    Parameters
    ----------
    results : `pyvo.dal.DALResults`
        A table of links, or one of images that comes with the description of such a service.
    row : `pyvo.dal.Record`, optional
        The image that is meant; in a table of links, each link names its own.
    """
    if row is not None:
        for resource in results.iter_adhocservices():
            # One that names a data set itself does not mean this image.
            if _is_sync(resource) and any(entry.ref for entry in _inputs(resource)):
                yield _service(row, resource)
        return
    for link in results:
        # By its own word: what is narrower than that only ivoa.net knows.
        if str(link.semantics).rpartition("#")[2] == "cutout" and link.service_def:
            resource = results.get_adhocservice_by_id(link.service_def)
            if _is_sync(resource):
                yield _service(link, resource)


def _is_sync(resource: Any) -> bool:
    return any(
        param.name == "standardID" and str(param.value).lower().startswith(_SYNC)
        for param in resource.params
    )


def _inputs(resource: Any) -> list[Any]:
    groups = [group for group in resource.groups if group.name == "inputParams"]
    return [entry for group in groups for entry in group.entries]


def _service(row: Any, resource: Any) -> CutoutService:
    from pyvo.dal.adhoc import SodaQuery

    query = SodaQuery.from_resource(row, resource)
    declared = {str(entry.name) for entry in _inputs(resource)}
    return CutoutService(str(query.queryurl), dict(query.items()), frozenset(declared))
