"""What somebody points at: a name, a position in words, or a `SkyCoord`."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from astrollava._cache import Shelf, cache_folder
from astrollava.errors import FetchError, InvalidRequest, ServiceError
from astrollava.hooks.fetching import http

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["Target", "locate", "targets_of"]

_POSITION: Final = re.compile(r"[+\-−]?\d[\s\d:.,+\-−hmsdHMSD°'′\"″]+")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
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


def locate(target: str | SkyCoord | Target, *, timeout: float = 20.0) -> Target:
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
    if isinstance(target, _Unusable):
        raise InvalidRequest(target.problem, expected="a right ascension and a declination")
    if isinstance(target, SkyCoord):
        return Target(target)
    if not isinstance(target, str):
        raise InvalidRequest(
            f"the target is of type {type(target).__name__}",
            expected="a SkyCoord, a position or a name",
        )
    words = " ".join(target.split())
    if not words or len(words) > _LONGEST:
        raise InvalidRequest(
            f"the target has {len(words)} characters", expected="a position or a name"
        )
    if _POSITION.fullmatch(words) and len(re.findall(r"\d+(?:\.\d*)?", words)) >= 2:
        return Target(_position(words))
    return Target(_looked_up(words, timeout), words)


def _position(words: str) -> SkyCoord:
    from astropy import units as u
    from astropy.coordinates import Angle, SkyCoord

    plain = words.replace("−", "-").replace("′", "'").replace("″", '"')
    numbers = re.split(r"[\s,]+", plain.strip())
    try:
        if len(numbers) == 2 and all(_NUMBER.fullmatch(each) for each in numbers):
            ra, dec = (float(each) * u.deg for each in numbers)
            in_degrees = True
        else:
            first, second = _halves(plain)
            if _is_mixed(first, second):
                raise ValueError("degrees and sexagesimal notation are mixed without units")
            if "h" in second:
                raise ValueError("the declination is in hours")
            ra, dec = Angle(first, unit=u.deg), Angle(second, unit=u.deg)
            if not re.search("[hmsd°'\"]", first):
                ra = 15 * ra
            in_degrees = "d" in first or "°" in first
        around = float(ra.to_value(u.deg))
        # SkyCoord wraps, so that degrees taken for hours would be another place.
        if in_degrees and not 0 <= around <= 360:
            raise ValueError("the right ascension is not within 0 to 360 degrees")
        if not in_degrees and not 0 <= around < 360:
            raise ValueError("the right ascension is not within 0 to 24 hours")
        return SkyCoord(ra, dec)
    except (ValueError, TypeError, Warning) as error:
        raise InvalidRequest(
            f"{words!r} is no position ({error})",
            expected="right ascension and declination, such as '13:29:52.7 +47:11:43'"
            " or '202.4696 47.1953' in degrees",
        ) from error


def _halves(plain: str) -> tuple[str, str]:
    """Split at the comma, else at the declination's sign, else in the middle."""
    parts = [part.strip() for part in plain.split(",") if part.strip()]
    if len(parts) == 1:
        parts = re.split(r"(?<=\S)\s*(?=[+-])", parts[0])
    if len(parts) == 1:
        each = parts[0].split()
        if len(each) % 2 == 0:
            middle = len(each) // 2
            parts = [" ".join(each[:middle]), " ".join(each[middle:])]
    if len(parts) != 2:
        raise ValueError("where the declination begins is not clear")
    return parts[0], parts[1]


def _is_mixed(first: str, second: str) -> bool:
    """Whether the one is a plain number, and the other does not say that it is degrees, too."""
    if _NUMBER.fullmatch(first):
        return True
    return bool(_NUMBER.fullmatch(second)) and not re.search("[dh°]", first)


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
        host = urlsplit(address).hostname or ""
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


def targets_of(given: Any) -> Iterable[Any]:
    """Return targets one by one: of a table, of a `SkyCoord` with many positions, or of a list.

    Parameters
    ----------
    given : `~astropy.table.Table`, `~astropy.coordinates.SkyCoord` or iterable
        A table has a column of positions, or columns of right ascensions and declinations (``ra``
        and ``dec``, ``RAJ2000`` and ``DEJ2000`` and the like), in degrees where they have no unit.

    Raises
    ------
    InvalidRequest
        If a table has no such columns, or it is a single target.
    """
    from astropy.coordinates import SkyCoord
    from astropy.table import Row

    if isinstance(given, SkyCoord):
        if given.isscalar:
            raise InvalidRequest(
                "the positions are a single one", expected="several", hint="Call describe"
            )
        return _Several(given.ravel())
    if hasattr(given, "colnames"):
        if isinstance(given, Row):
            raise InvalidRequest(
                "the positions are a single row of a table",
                expected="a table",
                hint="Pass table[:1], or call describe with its position",
            )
        return _Several(_positions_of(given))
    return given  # type: ignore[no-any-return]


class _Several:
    """Positions one by one, and how many they are."""

    def __init__(self, positions: Any) -> None:
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._positions)):
            yield self._positions[number]


@dataclass(frozen=True)
class _Unusable:
    """A row that is no position, in whose place its error is given."""

    problem: str


class _Rows:
    """Positions of a table, made row by row: one that is none is no matter of the others."""

    def __init__(self, ra: Any, dec: Any) -> None:
        self._ra, self._dec = ra, dec

    def __len__(self) -> int:
        return len(self._ra)

    def __getitem__(self, number: int) -> Any:
        from astropy.coordinates import SkyCoord

        ra, dec = self._ra[number], self._dec[number]
        if ra is None or dec is None:
            return _Unusable(f"row {number} of the table has no position: it is masked")
        try:
            return SkyCoord(ra, dec, unit="deg")
        except (ValueError, TypeError) as error:
            return _Unusable(f"row {number} of the table is no position ({error})")


def _degrees(column: Any) -> list[float | None]:
    """Return a column in degrees, None where it is masked."""
    import numpy as np
    from astropy import units as u

    hidden = np.broadcast_to(getattr(column, "mask", False), column.shape)
    if column.ndim != 1:
        raise ValueError("they have several values a row")
    bare = getattr(column, "unmasked", column)
    bare = getattr(bare, "value", bare)
    values = u.Quantity(np.ma.getdata(bare), getattr(column, "unit", None) or u.deg).to_value(u.deg)
    return [None if gone else float(value) for value, gone in zip(values, hidden, strict=True)]


def _positions_of(table: Any) -> Any:
    from astropy.coordinates import SkyCoord

    columns = list(table.colnames)
    for name in columns:
        if isinstance(table[name], SkyCoord):
            return table[name]
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(columns)}
    for first, second in _PAIRS:
        if first in plain and second in plain:
            ra, dec = table[plain[first]], table[plain[second]]
            try:
                return _Rows(_degrees(ra), _degrees(dec))
            except (ValueError, TypeError) as error:
                raise InvalidRequest(
                    f"columns {plain[first]} and {plain[second]} are no coordinates ({error})"
                ) from error
    raise InvalidRequest(
        f"the table has the columns {', '.join(columns[:12])}",
        expected="a column of positions, or two called ra and dec",
        hint="Pass SkyCoord(table['...'], table['...'], unit='deg')",
    )


_PAIRS: Final = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("raicrs", "deicrs"),
    ("radeg", "decdeg"),
    ("radeg", "dedeg"),
    ("rightascension", "declination"),
    ("alphaj2000", "deltaj2000"),
    ("sra", "sdec"),
    ("tra", "tdec"),
)
