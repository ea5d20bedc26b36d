"""What somebody points at: a name, a position in words, or a `SkyCoord`."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from astrollava._cache import Shelf, cache_folder
from astrollava.errors import FetchError, InvalidRequest, ServiceError
from astrollava.hooks.fetching import http
from astrollava.hooks.fetching._addresses import parts_of
from astrollava.hooks.fetching._positions import half_of, is_position, position_of

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["NoTarget", "Target", "locate", "refuse_images"]

#: What only a path or an address looks like.
_FILE: Final = re.compile(
    r"^(~?/|\.\.?/|[a-z]:\\|[a-z]+://)|\\|"
    r"\.(fits?|fts|fz|gz|bz2|xz|png|jpe?g|tiff?|gif|bmp|webp|npy|asdf|hdf5|h5)$",
    re.IGNORECASE,
)
_LONGEST: Final = 200
#: Hosts of astropy's own list; another was set by the user, and may be anywhere.
_PUBLIC: Final = frozenset({"cds.unistra.fr", "vizier.cfa.harvard.edu"})
_NAMES_BYTES: Final = 8 << 20
_COORDINATES: Final = re.compile(r"^%J\s*([0-9.]+)\s+([+\-]?[0-9.]+)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Target:
    """A place on the sky.

    Attributes
    ----------
    position : `~astropy.coordinates.SkyCoord`
        Where it is.
    name : str
        What it was called, where it had a name; else empty.
    """

    position: SkyCoord
    name: str = ""


@dataclass(frozen=True)
class NoTarget:
    """Stands among targets for one that is none, in whose place its error is given.

    Attributes
    ----------
    problem : str
        What is wrong with it.
    """

    problem: str


def locate(target: str | SkyCoord | Target | NoTarget, *, timeout: float = 20.0) -> Target:
    """Find where something is.

    Parameters
    ----------
    target : str or SkyCoord
        A position: ``"13h29m52.7s +47d11m43s"``, ``"13:29:52.7 47:11:43"`` (hours and degrees),
        ``"202.4696 47.1953"`` (ICRS degrees); or the name of an object, which is looked up by CDS's
        Sesame in SIMBAD, NED and VizieR, and kept.
    timeout : float, optional
        Seconds allowed for the look-up.

    Returns
    -------
    Target

    Raises
    ------
    InvalidRequest
        If it is neither.
    ServiceError, FetchTimeout
        If the name is not known, or Sesame cannot be asked.
    """
    from astropy.coordinates import SkyCoord

    if isinstance(target, Target):
        return target
    if isinstance(target, NoTarget):
        raise InvalidRequest(target.problem, expected="a right ascension and a declination")
    if isinstance(target, SkyCoord):
        return Target(target)
    refuse_images(target)
    words = " ".join(target.split())
    if not words or len(words) > _LONGEST:
        raise InvalidRequest(
            f"the target has {len(words)} characters", expected="a position or a name"
        )
    if is_position(words):
        return Target(position_of(words))
    if number := half_of(words):
        # With a sign it is rather the other one of the two.
        missing = "right ascension" if number[0] in "+-" else "declination"
        both = f"10.68 {number}" if number[0] in "+-" else f"{number} 41.27"
        raise InvalidRequest(
            f"the target is one number, {words}",
            expected="a right ascension and a declination, or the name of an object",
            hint=f"A {missing} is missing, such as {both!r}, both in degrees",
        )
    return Target(_looked_up(words, timeout), words)


def refuse_images(target: object) -> None:
    """Refuse an image where a place on the sky is expected: no name of a file is sent to anybody.

    Raises
    ------
    InvalidRequest
        If it is the path of a file, or neither words nor a position.
    """
    from astropy.coordinates import SkyCoord

    if isinstance(target, Target | NoTarget | SkyCoord):
        return
    if not isinstance(target, str | os.PathLike):
        raise InvalidRequest(
            f"the target is of type {type(target).__name__}",
            expected="a SkyCoord, a position or a name",
            hint="To describe an image that is there, leave fetch out",
        )
    if isinstance(target, os.PathLike) or _is_path(target):
        raise InvalidRequest(
            f"{os.fspath(target)!r} is a file, not a place on the sky",
            expected="a SkyCoord, a position in words or the name of an object",
            hint="To describe that file, leave fetch out; for an object of that name, give its"
            " position",
        )


def _is_path(words: str) -> bool:
    """Whether words mean a file or an address; names of objects may have a slash, too."""
    if _FILE.search(words.strip()):
        return True
    try:
        folder = os.path.dirname(words)
        return os.path.isfile(words) or bool(folder and os.path.isdir(folder))
    except ValueError:
        return False  # it holds what no path can


def _looked_up(name: str, timeout: float) -> SkyCoord:
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import sesame_database, sesame_url

    database = str(sesame_database.get())
    which = "SNV" if database == "all" else database[0].upper()
    addresses = sesame_url.get()
    addresses = [addresses] if isinstance(addresses, str) else list(addresses)
    shelf = _names_in(str(cache_folder("names")))
    said = json.dumps([name, which, addresses])
    key = hashlib.sha256(said.encode()).hexdigest()
    found = _remembered(shelf, key)
    if found is None:
        found = _asked(name, which, addresses, timeout)
        shelf.write(key, json.dumps(found).encode())
    return SkyCoord(found[0] * u.deg, found[1] * u.deg)


@functools.lru_cache(maxsize=4)
def _names_in(folder: str) -> Shelf:
    return Shelf(folder, ".position", _NAMES_BYTES, what="positions of names")


def _remembered(shelf: Shelf, key: str) -> tuple[float, float] | None:
    data = shelf.read(key, most=1000)
    if not data:
        return None
    try:
        ra, dec = json.loads(data)
        found = float(ra), float(dec)
    except (ValueError, TypeError):
        shelf.remove(key)
        return None
    shelf.used(key)
    return found


def _asked(name: str, which: str, addresses: list[str], timeout: float) -> tuple[float, float]:
    failures: list[FetchError] = []
    for address in addresses:
        url = f"{address.rstrip('/')}/{which}?{quote(name, safe='')}"
        parts = parts_of(address)
        # One that is no address is refused as such by what asks.
        host = (parts and parts.hostname) or ""
        try:
            answer = http.get(
                url,
                hosts=(host,),
                private=None if host in _PUBLIC else address,
                max_bytes=1 << 20,
                accept=("text/*",),
                timeout=timeout / len(addresses),
            )
        except FetchError as error:
            failures.append(error)
            continue
        found = _COORDINATES.search(answer.text)
        if found is None:
            raise ServiceError(
                f"no catalogue knows a position of {name!r}",
                expected="a name that SIMBAD, NED or VizieR has",
                hint="Check the spelling, or give the position",
            )
        return float(found[1]), float(found[2])
    problems = "; ".join(dict.fromkeys(error.problem for error in failures))
    kind = type(failures[-1]) if failures else ServiceError
    raise kind(
        f"the name {name!r} cannot be looked up: {problems}",
        hint="Without a network, give the position instead: '13:29:52.7 +47:11:43'",
    ) from (failures[-1] if failures else None)
