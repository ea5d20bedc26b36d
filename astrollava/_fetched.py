"""Images and facts from services, for the front door: what joins it to `astrollava.hooks`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from astrollava.errors import InvalidRequest, PluginError
from astrollava.results import Catalogued

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

    from astrollava.images import SkyImage

__all__ = ["READING", "Ahead", "Facts", "catalogued", "image_of", "several", "with_ahead"]

#: What `astrollava.images.read` takes, and what says what to fetch.
_OF_IMAGES: Final = ("hdu", "cutout", "bands", "max_pixels")
_OF_SERVICES: Final = ("fetch", "size", "pixels", "timeout")
READING: Final = (*_OF_IMAGES, *_OF_SERVICES)

#: Cutouts that are asked for at the same time; each service has a lower limit of its own.
_THREADS: Final = 8
#: Questions that a catalogue is asked at the same time.
_FACTS_AT_ONCE: Final = 4

Source = TypeVar("Source")
Taken = TypeVar("Taken")
Item = TypeVar("Item")


def image_of(source: Any, options: Mapping[str, Any]) -> SkyImage:
    """Read an image, or fetch that of a position or name, as the options of `READING` say."""
    from astrollava import images

    reading = {name: options[name] for name in _OF_IMAGES if name in options}
    if "fetch" in options:
        # The service was asked for the bands.
        reading.pop("bands", None)
        return images.read(_fetched(source, options), **reading)
    coordinates = sys.modules.get("astropy.coordinates")
    pointed = coordinates is not None and isinstance(source, coordinates.SkyCoord)
    lone = [name for name in _OF_SERVICES if name in options]
    if options.get("facts"):
        lone = [name for name in lone if name != "timeout"]
    if pointed or lone:
        what = "a position" if pointed else lone[0]
        raise InvalidRequest(
            f"{what} without fetch",
            expected="the survey to fetch from",
            hint='Say fetch="auto" and size=3 * astropy.units.arcmin',
        )
    return images.read(source, **reading)


def _fetched(target: Any, options: Mapping[str, Any]) -> SkyImage:
    from astrollava.hooks.fetching import fetch, locate
    from astrollava.hooks.fetching.getting import check_timeout
    from astrollava.hooks.fetching.targets import refuse_images

    refuse_images(target)
    if options.get("size") is None:
        raise InvalidRequest(
            "fetch without a size", expected="an angle, such as size=3 * astropy.units.arcmin"
        )
    if options.get("hdu") is not None:
        raise InvalidRequest("hdu is of no use with fetch", hint="Leave it out")
    given = {name: options[name] for name in ("pixels", "bands") if options.get(name) is not None}
    timeout = options.get("timeout", 60.0)
    check_timeout(timeout)
    found = locate(target, timeout=timeout)
    image = fetch(options["fetch"], found.position, options["size"], timeout=timeout, **given)
    if not found.name:
        return image
    return dataclasses.replace(
        image,
        source={**image.source, "target": found.name},
        meta={**image.meta, "object": found.name},
    )


class Facts:
    """Which catalogues to ask.

    Parameters
    ----------
    asked : str, sequence of str, or bool
        Names of providers, or True for all that there are.
    timeout : float
        Seconds allowed for each.
    """

    def __init__(self, asked: str | Sequence[str] | bool, timeout: float = 60.0) -> None:
        from astrollava.hooks.fetching.getting import check_timeout
        from astrollava.hooks.manager import plugins
        from astrollava.hooks.packages import check_packages

        check_timeout(timeout)
        there = plugins()
        names: Sequence[str]
        if asked is True:
            names = sorted(there.fact_providers)
        elif asked is False:
            names = ()
        elif isinstance(asked, str):
            names = [name.strip() for name in asked.split(",")]
        else:
            names = list(asked)
        if not names and asked is not False:
            raise InvalidRequest(
                "there is no catalogue to ask for facts",
                expected="names, such as 'simbad'",
                hint=there.why_none,
            )
        self._providers = [there.get_fact_provider(name) for name in dict.fromkeys(names)]
        for provider in self._providers:
            check_packages(provider)
        self._timeout = timeout

    def __bool__(self) -> bool:
        return bool(self._providers)

    def look_up(
        self, position: SkyCoord, radius: Quantity
    ) -> tuple[tuple[Catalogued, ...], tuple[dict[str, Any], ...]]:
        """Ask the catalogues what is known around a position.

        Returns
        -------
        facts : tuple of Catalogued
            Those of the first catalogue first.
        asked : tuple of dict
            What provenance keeps of each: ``provider``, ``credit``, ``url``, ``radius`` and
            ``time``.
        """
        facts: list[Catalogued] = []
        asked: list[dict[str, Any]] = []
        for provider in self._providers:
            facts += self._of(provider, position, radius)
            asked.append(
                {
                    "provider": provider.name,
                    "credit": provider.credit,
                    "url": provider.url,
                    "radius": float(radius.to_value("arcsec")),
                    "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                }
            )
        return tuple(facts), tuple(asked)

    def _of(self, provider: Any, position: SkyCoord, radius: Quantity) -> list[Catalogued]:
        from astrollava.hooks import Fact
        from astrollava.hooks.fetching._limits import at_most
        from astrollava.hooks.fetching.trying import trying
        from astrollava.hooks.fetching.uniform import from_where, uniform

        def ask(seconds: float) -> list[Catalogued]:
            with uniform(provider):
                given = provider.facts(position, radius, timeout=seconds)
                facts = list(given)
                for fact in facts:
                    if not isinstance(fact, Fact):
                        raise PluginError(
                            f"the catalogue {provider.name}{from_where(provider)} gave a"
                            f" {type(fact).__name__}",
                            expected="instances of astrollava.hooks.Fact",
                        )
                return [Catalogued(**fact.to_dict()) for fact in facts]

        with at_most(_FACTS_AT_ONCE, provider.name):
            return trying(ask, name=provider.name, timeout=self._timeout)[0]


def catalogued(
    image: SkyImage, facts: Facts
) -> tuple[tuple[Catalogued, ...], tuple[dict[str, Any], ...]]:
    """Look up what is known of the object in the middle of an image.

    Within a tenth of its shorter side, at least 2 and at most 60 arcsec.
    """
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    if image.centre is None:
        raise InvalidRequest(
            "facts of an image that has no position",
            expected="a position with fetch=..., or an image with a WCS",
        )
    side = (image.pixel_scale or 1.0) * min(image.shape)
    radius = min(max(side / 10.0, 2.0), 60.0) * u.arcsec
    return facts.look_up(SkyCoord(*image.centre, unit=u.deg), radius)


class Ahead(Generic[Source, Taken]):
    """Threads that fetch ahead; nobody waits for one of them to end.

    Parameters
    ----------
    work : callable
        Takes a source and gives what was made of it.
    """

    def __init__(self, work: Callable[[Source], Taken]) -> None:
        self._work = work
        self._waiting: queue.SimpleQueue[tuple[Source, Future[Taken]] | None] = queue.SimpleQueue()
        self._started = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many sources are worked on at a time."""
        return _THREADS

    def submit(self, source: Source) -> Future[Taken]:
        """Set a source to work."""
        future: Future[Taken] = Future()
        self._waiting.put((source, future))
        if self._started < _THREADS:
            self._started += 1
            name = f"astrollava-fetch-{self._started}"
            threading.Thread(target=self._run, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
        for _ in range(self._started):
            self._waiting.put(None)

    def _run(self) -> None:
        while (given := self._waiting.get()) is not None:
            source, future = given
            del given
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                future.set_result(self._work(source))
            except BaseException as error:
                future.set_exception(error)
            del source, future


def with_ahead(
    ahead: Ahead[Any, Any] | None, items: Generator[Item, None, None]
) -> Generator[Item, None, None]:
    """Give the items, and end the fetching ahead when they end or nobody wants more."""
    try:
        yield from items
    finally:
        items.close()
        if ahead is not None:
            ahead.close()


def several(sources: Iterable[Any]) -> Iterable[Any]:
    """Return positions and names one by one, also those of a table."""
    from astrollava.hooks.fetching._rows import targets_of

    return targets_of(sources)
