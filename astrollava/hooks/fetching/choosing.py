"""Which survey to ask where none is named: by footprint, scale and depth, and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from astrollava.errors import (
    AstrollavaError,
    EmptyCutout,
    FetchError,
    FetchRefused,
    InvalidRequest,
    OutsideFootprint,
    PluginError,
    ServiceError,
    UnknownFetcher,
)
from astrollava.hooks.fetching.fetcher import Cutout, Fetcher, angle, one_position
from astrollava.hooks.fetching.uniform import uniform
from astrollava.hooks.packages import install_hint, lacking
from astrollava.images import SkyImage

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

__all__ = ["Choice", "choose", "fetch_best"]

_log = logging.getLogger("astrollava.hooks")

#: Surveys asked at most.
_ASKED: Final = 3
#: Pixels along a side under which structure is lost: half of what small models look at.
_ENOUGH: Final = 112
#: Fetchers named at most in an error about many.
_NAMED: Final = 6


@dataclass(frozen=True, eq=False)
class Choice:
    """A survey that has what is wanted.

    Attributes
    ----------
    fetcher : Fetcher
        Whom to ask.
    wanted : Cutout
        What to ask for.
    reason : str
        Why it has this place among the choices, in words.
    """

    fetcher: Fetcher
    wanted: Cutout
    reason: str


def choose(
    position: SkyCoord,
    size: Quantity,
    *,
    pixels: int | None = None,
    bands: str | Sequence[str] | None = None,
    fetchers: Sequence[Fetcher] | None = None,
) -> list[Choice]:
    """Choose among the fetchers there are, the best first.

    What needs packages that are not installed is passed over. Those whose footprint has the
    position come before those where it is not known; then those that show the field with enough
    pixels; then optical ones; then the deepest; then the finest.

    Parameters
    ----------
    position, size, pixels, bands
        As for `fetch`.
    fetchers : sequence of Fetcher, optional
        Those to choose among; all of the plugins' by default.

    Returns
    -------
    list of Choice
        Those that can give it, one or more.

    Raises
    ------
    OutsideFootprint, InvalidRequest
        If none can; the latter where no fetcher has such bands or scales.
    UnknownFetcher
        If there is no fetcher at all.
    PluginError
        If none can, and some might for which packages have to be installed.
    """
    return _chosen(position, size, pixels=pixels, bands=bands, fetchers=fetchers)[0]


def _chosen(
    position: SkyCoord,
    size: Quantity,
    *,
    pixels: int | None,
    bands: str | Sequence[str] | None,
    fetchers: Sequence[Fetcher] | None,
) -> tuple[list[Choice], list[Fetcher]]:
    """Choose, and tell who was passed over because packages of theirs are not installed."""
    # What no survey can make sense of is no matter of footprints.
    position, size = one_position(position), angle(size)
    if fetchers is None:
        from astrollava.hooks.manager import plugins

        there = plugins()
        fetchers = list(there.fetchers.values())
        if not fetchers:
            raise UnknownFetcher("no plugin gives a fetcher", hint=there.why_none)
    if not fetchers:
        raise UnknownFetcher("there is no fetcher to choose among", expected="one or more")
    ranked: list[tuple[tuple[Any, ...], Choice]] = []
    refused: list[str] = []
    useless: list[Fetcher] = []
    last: AstrollavaError | None = None
    wrong = 0
    for fetcher in fetchers:
        try:
            with uniform(fetcher):
                wanted = fetcher.plan(position, size, pixels=pixels, bands=bands)
                if lacking(fetcher):
                    useless.append(fetcher)
                    continue
                ranked.append(_ranked(fetcher, wanted))
        except AstrollavaError as error:
            refused.append(f"{fetcher.name}: {error.problem}")
            last = error
            wrong += isinstance(error, InvalidRequest)
    if not ranked and useless:
        # They would have been asked: it is what is to be installed that stands in the way.
        raise PluginError(
            f"no survey can give this cutout: {_told(useless)}", hint=_install(useless)
        )
    if not ranked:
        kind = InvalidRequest if wrong == len(refused) else OutsideFootprint
        raise kind("no survey can give this cutout", hint="; ".join(refused[:6])) from last
    ranked.sort(key=lambda each: each[0])
    return [choice for _, choice in ranked], useless


def _told(useless: Sequence[Fetcher]) -> str:
    """Say in words which were not asked, the first few by name, and what they lack."""
    few = ", ".join(fetcher.name for fetcher in useless[:_NAMED])
    more = len(useless) - _NAMED
    names = ", ".join(dict.fromkeys(name for each in useless for name in lacking(each)))
    return f"{few}{f' and {more} more' if more > 0 else ''} not asked for want of {names}"


def _install(useless: Sequence[Fetcher]) -> str:
    return "; ".join(dict.fromkeys(install_hint(fetcher) for fetcher in useless))


def _ranked(fetcher: Fetcher, wanted: Cutout) -> tuple[tuple[Any, ...], Choice]:
    inside = fetcher.footprint.contains(wanted.position)
    native = float(fetcher.pixel_scale.to_value("arcsec"))
    resolved = float(wanted.size.to_value("arcsec")) / native
    enough = resolved >= _ENOUGH
    optical = "optical" in fetcher.wavelength
    depth = fetcher.depth
    words = [
        "its footprint has the position" if inside else "its footprint is not known",
        f"{resolved:.0f} pixels of {native:.3g} arcsec across"
        + ("" if enough else ", which is few"),
        f"5-sigma depth {depth:.1f} AB mag" if depth is not None else "depth not stated",
    ]
    if not optical:
        words.append(fetcher.wavelength)
    place = (
        not inside,
        not enough,
        not optical,
        -(depth if depth is not None else float("-inf")),
        native,
        fetcher.name,
    )
    reason = f"{fetcher.name} ({fetcher.survey}): {'; '.join(words)}"
    return place, Choice(fetcher, wanted, reason)


def fetch_best(
    position: SkyCoord,
    size: Quantity,
    *,
    pixels: int | None = None,
    bands: str | Sequence[str] | None = None,
    timeout: float = 60.0,
    cache: bool | str | PathLike[str] = True,
    fetchers: Sequence[Fetcher] | None = None,
) -> SkyImage:
    """Fetch from the best survey, or from the next best where that has nothing or fails.

    Parameters
    ----------
    position, size, pixels, bands, timeout, cache
        As for `fetch`; the time is for each survey.
    fetchers
        As for `choose`.

    Returns
    -------
    SkyImage
        Its ``source["chosen"]`` says why.

    Raises
    ------
    FetchError, PluginError, InvalidRequest
        Where no survey gives an image: of the kind that the best raised, and with what each said
        that was asked. What a plugin's fault kept from being asked is not one of the three, nor is
        what needs packages that are not installed; the latter is not tried at all.
    """
    import dataclasses

    from astrollava.hooks.fetching.getting import fetch_from

    choices, useless = _chosen(position, size, pixels=pixels, bands=bands, fetchers=fetchers)
    passed: list[str] = []
    failures: list[AstrollavaError] = []
    bare: set[float] = set()
    tried = 0
    for choice in choices:
        # The same survey at another service has nothing there either.
        scale = round(float(choice.fetcher.pixel_scale.to_value("arcsec")), 3)
        if tried == _ASKED or scale in bare:
            continue
        try:
            image = fetch_from(choice.fetcher, choice.wanted, timeout=timeout, cache=cache)
        except FetchRefused:
            raise
        except FetchError as error:
            tried += 1
            nothing = isinstance(error, OutsideFootprint | EmptyCutout)
            if nothing:
                bare.add(scale)
            why = "has nothing there" if nothing else f"failed: {_line(error)}"
            passed.append(f"{choice.fetcher.name} {why}")
            failures.append(error)
            _log.info("%s", passed[-1])
        except (PluginError, InvalidRequest) as error:
            # What was asked for is right: `choose` had it checked. So this is the fetcher's fault.
            passed.append(f"{choice.fetcher.name} failed: {_line(error)}")
            failures.append(error)
            _log.warning("%s; the next survey is asked", passed[-1])
        else:
            chosen = "; ".join([choice.reason, *passed])
            source = {**image.source, "chosen": chosen}
            return dataclasses.replace(image, source=source)
    raise _together(failures, passed, useless)


def _line(error: AstrollavaError) -> str:
    return next(iter(error.problem.strip().splitlines()), type(error).__name__)


def _together(
    failures: Sequence[AstrollavaError], passed: Sequence[str], useless: Sequence[Fetcher]
) -> AstrollavaError:
    """Make one error of all; `choose` gives one survey or more, so there is one."""
    # Rather of a service than of a broken plugin.
    first = next((each for each in failures if isinstance(each, FetchError)), failures[0])
    if len(failures) == 1 and not useless:
        return first
    problem, hint = f"no survey gave this cutout: {'; '.join(passed)}", first.hint
    if useless:
        problem = f"{problem}; {_told(useless)}"
        # The others' trouble first: there may be no network for any.
        hint = f"{hint}{' ' if hint.endswith(('?', '.')) else '; '}" if hint else ""
        hint += _install(useless)
    if isinstance(first, ServiceError):
        whole: AstrollavaError = ServiceError(
            problem,
            expected=first.expected,
            hint=hint,
            status=first.status,
            first_line=first.first_line,
            retry_after=first.retry_after,
        )
    else:
        # A plugin's own kind of error may take other arguments.
        kind = next(k for k in type(first).__mro__ if k.__module__ == AstrollavaError.__module__)
        whole = kind(problem, expected=first.expected, hint=hint)
    whole.__cause__ = first
    return whole
