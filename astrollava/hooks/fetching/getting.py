"""A cutout from whatever service, with all that services need around it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from astrollava.errors import EmptyCutout, InvalidRequest, PluginError, ServiceError
from astrollava.hooks.fetching import http
from astrollava.hooks.fetching._limits import at_most, courtesy
from astrollava.hooks.fetching.cache import cutout_key, shared_cache, tell_found
from astrollava.hooks.fetching.fetcher import Cutout, Fetcher
from astrollava.hooks.fetching.measured import check_measure
from astrollava.hooks.fetching.trying import trying
from astrollava.hooks.fetching.uniform import from_where, uniform
from astrollava.hooks.packages import check_packages
from astrollava.images import SkyImage

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

__all__ = ["check_timeout", "fetch", "fetch_from"]

#: What of an image's own source says where the bytes lay, not where they are from.
_LOCAL: Final = frozenset({"kind", "path", "bytes", "sha256", "sha256_of"})
#: Requests that provenance names at most.
_REQUESTS: Final = 20
_SECRET: Final = re.compile(r"(?i)([?&](?:[^=&#]*(?:token|key|password|secret)[^=&#]*)=)[^&#]*")


def fetch(
    fetcher: str | Fetcher,
    position: SkyCoord,
    size: Quantity,
    *,
    pixels: int | None = None,
    bands: str | Sequence[str] | None = None,
    timeout: float = 60.0,
    cache: bool | str | PathLike[str] = True,
) -> SkyImage:
    """Fetch an image of a part of the sky.

    Parameters
    ----------
    fetcher : str or Fetcher
        The service: its name (``astrollava plugins list`` shows all), or ``"auto"``, which chooses
        by footprint, depth and scale, and asks the next best where that has nothing.
    position : `~astropy.coordinates.SkyCoord`
        The middle.
    size : `~astropy.units.Quantity`
        The side of a square, an angle.
    pixels : int, optional
        Pixels along a side; by default as many as the survey has there.
    bands : str or sequence of str, optional
        Bands to fetch, ``"all"`` for all that the survey has; by default the fetcher's own choice.
    timeout : float, optional
        Seconds allowed in all, tries and pauses included; not the time spent in a queue.
    cache : bool or path, optional
        Whether to keep the image on disk and to look there first: in the user's cache folder, or
        in this one.

    Returns
    -------
    SkyImage
        Its ``source`` says where it is from: ``fetcher``, ``survey``, ``url``, ``requests``,
        ``parameters``, ``time``, ``credit``, ``licence``, ``sha256`` of the answer and so on.

    Raises
    ------
    OutsideFootprint, EmptyCutout
        If the survey has nothing there.
    CutoutTooLarge
        If that is more than the service gives.
    FetchTimeout, ServiceError, FetchRefused
        If the service does not answer as it should.
    UnknownFetcher
        If there is no fetcher of that name.
    InvalidRequest
        If an argument is out of range.
    PluginError
        If the plugin fails in a way of its own.
    """
    check_timeout(timeout)
    if fetcher == "auto":
        from astrollava.hooks.fetching.choosing import fetch_best

        return fetch_best(position, size, pixels=pixels, bands=bands, timeout=timeout, cache=cache)
    if isinstance(fetcher, str):
        from astrollava.hooks.manager import plugins

        fetcher = plugins().get_fetcher(fetcher)
    if not isinstance(fetcher, Fetcher):
        raise InvalidRequest(
            f"fetch is a {type(fetcher).__name__}", expected="a fetcher's name, or a Fetcher"
        )
    with uniform(fetcher):
        wanted = fetcher.plan(position, size, pixels=pixels, bands=bands)
    return fetch_from(fetcher, wanted, timeout=timeout, cache=cache)


def fetch_from(
    fetcher: Fetcher,
    wanted: Cutout,
    *,
    timeout: float = 60.0,
    cache: bool | str | PathLike[str] = True,
) -> SkyImage:
    """Fetch what was planned; otherwise as `fetch`.

    Parameters
    ----------
    fetcher : Fetcher
        The service.
    wanted : Cutout
        What its `Fetcher.plan` gave.
    timeout, cache
        As for `fetch`.
    """
    kept, key = None, ""
    if cache is not False:
        kept = shared_cache(None if cache is True else cache)
        key = cutout_key(fetcher, wanted)
        found = kept.get(key)
        if found is not None and _is_measured(fetcher, wanted, found):
            tell_found(key)
            return found
    # An image that is kept needs none of them.
    check_packages(fetcher)
    # Several fetchers may ask one host.
    host = fetcher.hosts[0] if fetcher.hosts else fetcher.name
    with at_most(fetcher.at_once, host), http.recorded() as records:
        image, tried = trying(
            lambda left: _once(fetcher, wanted, left), name=fetcher.name, timeout=timeout
        )
    source = _source(fetcher, wanted, image, records, tried)
    meta = {"survey": fetcher.survey, **image.meta}
    image = dataclasses.replace(image, source=source, meta=meta)
    if kept is not None:
        kept.put(key, image)
    return image


def check_timeout(timeout: float) -> None:
    """Refuse what is no number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise InvalidRequest(f"timeout is {timeout!r}", expected="seconds above zero")


def _once(fetcher: Fetcher, wanted: Cutout, seconds: float) -> SkyImage:
    with uniform(fetcher), courtesy(fetcher.rate):
        image = fetcher.fetch(
            wanted.position,
            wanted.size,
            pixels=wanted.pixels,
            bands=wanted.bands,
            timeout=seconds,
        )
        if not isinstance(image, SkyImage):
            raise PluginError(
                f"the fetcher {fetcher.name}{from_where(fetcher)} gave a {type(image).__name__}",
                expected="a SkyImage",
            )
        _check_content(fetcher, wanted, image)
    return image


def _check_content(fetcher: Fetcher, wanted: Cutout, image: SkyImage) -> None:
    there = wanted.position.to_string("hmsdms", precision=0)
    good = image.pixels if image.mask is None else image.pixels[:, ~image.mask]
    if good.size == 0 or bool(np.all(good == good.flat[0])):
        raise EmptyCutout(
            f"{fetcher.survey} has no value at {there}",
            hint="Nothing was observed there; try another survey",
        )
    if not image.display and len(image.bands) != len(wanted.bands):
        raise ServiceError(
            f"{fetcher.name} gave an image of {len(image.bands)} plane(s)",
            expected=f"one for each of the bands {', '.join(wanted.bands)}",
        )
    if image.centre is not None:
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        middle = SkyCoord(*image.centre, unit=u.deg)
        if middle.separation(wanted.position) > wanted.size:
            raise ServiceError(
                f"{fetcher.name} gave an image of another place, at {middle.to_string('hmsdms')}",
                expected=f"one at {there}",
            )
    check_measure(fetcher.name, wanted, image)


def _is_measured(fetcher: Fetcher, wanted: Cutout, found: SkyImage) -> bool:
    """Whether a kept image will do: one whose pixels were free may not be as many as now asked."""
    try:
        check_measure(fetcher.name, wanted, found)
    except ServiceError:
        return False
    return True


def _source(
    fetcher: Fetcher,
    wanted: Cutout,
    image: SkyImage,
    records: Sequence[Mapping[str, Any]],
    tried: int,
) -> dict[str, Any]:
    from astrollava.hooks.manager import offer_of

    own, offer = image.source, offer_of("fetchers", fetcher)
    asked = [{**record, "url": _without_secrets(record["url"])} for record in records[-_REQUESTS:]]
    # The last answer that was one is the image; what came before led to it.
    answer: Mapping[str, Any] = next(
        (record for record in reversed(asked) if record["status"] < 300), {}
    )
    said = {
        "url": answer.get("url", fetcher.base_url or fetcher.url),
        "parameters": dict(fetcher.parameters),
        "sha256": answer.get("sha256", own.get("sha256")),
        "bytes": answer.get("bytes", own.get("bytes")),
        **{name: value for name, value in own.items() if name not in _LOCAL},
    }
    return {
        "kind": "fetched",
        "fetcher": fetcher.name,
        "version": fetcher.version,
        "survey": fetcher.survey,
        "bands": list(wanted.bands),
        "position": [round(wanted.ra, 8), round(wanted.dec, 8)],
        "size": float(wanted.size.to_value("arcsec")),
        "pixels": wanted.pixels,
        **said,
        "url": _without_secrets(str(said["url"])),
        # What was got, beside what was asked for.
        "shape": list(image.pixels.shape),
        **({} if image.pixel_scale is None else {"pixel_scale": image.pixel_scale}),
        "requests": asked,
        "tries": tried,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "credit": fetcher.credit,
        "licence": fetcher.licence,
        **({} if offer is None else {"plugin": offer.to_dict()}),
    }


def _without_secrets(url: str) -> str:
    return _SECRET.sub(r"\1...", url)
