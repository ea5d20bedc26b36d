"""Many targets at once: the rows of a table, a `SkyCoord` of many positions, a list."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from astrollava.errors import InvalidRequest
from astrollava.hooks.fetching._positions import joined
from astrollava.hooks.fetching.targets import NoTarget

if TYPE_CHECKING:
    from astropy.coordinates import Angle, SkyCoord

__all__ = ["targets_of"]

#: What catalogues call right ascension and declination, in lower case without signs.
_PAIRS: Final = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("raicrs", "deicrs"),
    ("radeg", "decdeg"),
    ("radeg", "dedeg"),
    ("ra", "de"),
    ("rightascension", "declination"),
    ("alphaj2000", "deltaj2000"),
    ("sra", "sdec"),
    ("tra", "tdec"),
)
#: Units as VizieR and SIMBAD write them for sexagesimal notation.
_IN_HOURS: Final = re.compile(r"\W*h\W*m\W*s\W*")
_IN_DEGREES: Final = re.compile(r"\W*d\W*m\W*s\W*")


def targets_of(given: Any) -> Iterable[Any]:
    """Return targets one by one: of a table, of a `SkyCoord` with many positions, or of a list.

    Parameters
    ----------
    given : `~astropy.table.Table`, `~astropy.coordinates.SkyCoord` or iterable
        A table, also as a mapping of columns or a structured array, has a column of positions, or
        columns of right ascensions and declinations (``ra`` and ``dec``, ``RAJ2000`` and
        ``DEJ2000`` and the like): numbers, in degrees where they have no unit, or words,
        ``"10:00:24.3"`` and ``"+02:12:18"``.

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
    given = _as_table(given)
    if hasattr(given, "colnames"):
        if isinstance(given, Row):
            raise InvalidRequest(
                "the positions are a single row of a table",
                expected="a table",
                hint="Pass table[:1], or call describe with its position",
            )
        return _Several(_positions_of(given))
    return given  # type: ignore[no-any-return]


def _as_table(given: Any) -> Any:
    """Make a table of what is one, lest the names of its columns be looked up in the sky."""
    import numpy as np
    from astropy.table import Table

    pandas = sys.modules.get("pandas")
    try:
        if pandas is not None and isinstance(given, pandas.DataFrame):
            return Table.from_pandas(given)
        if isinstance(given, Mapping) or (isinstance(given, np.ndarray) and given.dtype.names):
            return Table(given)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"no table can be made of the {type(given).__name__} ({error})",
            expected="columns of one length",
        ) from error
    return given


class _Several:
    """Positions one by one, and how many they are."""

    def __init__(self, positions: Any) -> None:
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._positions)):
            yield self._positions[number]


class _Rows:
    """Positions of a table, made row by row: one that is none is no matter of the others."""

    def __init__(self, ra: Sequence[str | Angle | None], dec: Sequence[str | Angle | None]) -> None:
        self._ra, self._dec = ra, dec

    def __len__(self) -> int:
        return len(self._ra)

    def __getitem__(self, number: int) -> SkyCoord | NoTarget:
        ra, dec = self._ra[number], self._dec[number]
        if ra is None or dec is None:
            return NoTarget(f"row {number} of the table has no position: it is masked")
        try:
            return joined(ra, dec)
        except (ValueError, TypeError, Warning) as error:
            return NoTarget(f"row {number} of the table is no position: {ra}, {dec} ({error})")


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
                return _Rows(_cells(ra, hours=True), _cells(dec, hours=False))
            except (ValueError, TypeError) as error:
                raise InvalidRequest(
                    f"columns {plain[first]} and {plain[second]} are no coordinates ({error})",
                    expected="degrees, another unit of angles, or words such as '10:00:24.3' and"
                    " '+02:12:18'",
                ) from error
    raise InvalidRequest(
        f"the table has the columns {', '.join(columns[:12])}",
        expected="a column of positions, or two called ra and dec",
        hint="Pass SkyCoord(table['...'], table['...'], unit='deg')",
    )


def _cells(column: Any, *, hours: bool) -> list[str | Angle | None]:
    """Return what stands in each row: an angle, words to be read, or None where it is masked."""
    import numpy as np
    from astropy import units as u
    from astropy.coordinates import Angle

    hidden = np.broadcast_to(getattr(column, "mask", False), column.shape)
    if column.ndim != 1:
        raise ValueError("they have several values a row")
    bare = getattr(column, "unmasked", column)
    bare = np.ma.getdata(getattr(bare, "value", bare))
    unit = _unit_of(column, hours=hours)
    if bare.dtype.kind not in "SUO":
        angles = Angle(u.Quantity(bare, unit or u.deg).to(u.deg))
        return [None if gone else angle for angle, gone in zip(angles, hidden, strict=True)]
    cells: list[str | Angle | None] = []
    for value, gone in zip(bare, hidden, strict=True):
        words = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value).strip()
        missing = gone or words in ("", "--", "None", "nan", "<NA>")
        cells.append(None if missing else _in_unit(words, unit))
    return cells


def _unit_of(column: Any, *, hours: bool) -> Any:
    """Return the unit of a column of angles; None where it has none."""
    from astropy import units as u

    unit = getattr(column, "unit", None)
    if unit is None or str(unit) == "":
        return None
    if _IN_HOURS.fullmatch(str(unit)) or (hours and unit == u.hour):
        unit = u.hourangle
    elif _IN_DEGREES.fullmatch(str(unit)):
        unit = u.deg
    if not unit.is_equivalent(u.deg):
        raise ValueError(f"the unit {unit} is none of angles")
    if unit == u.hourangle and not hours:
        raise ValueError("the declination is in hours")
    return unit


def _in_unit(words: str, unit: Any) -> str | Angle:
    from astropy.coordinates import Angle

    if unit is None:
        return words
    try:
        return Angle(words, unit=unit).to("deg")
    except (ValueError, TypeError, Warning):
        return words  # what is wrong with it is said where the row is asked for
