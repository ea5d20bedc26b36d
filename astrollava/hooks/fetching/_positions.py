"""Positions in words, of which none is taken for another place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astropy.coordinates import Angle, SkyCoord

__all__ = ["half_of", "is_position", "joined", "position_of"]

_POSITION: Final = re.compile(r"[+\-−]?\d[\s\d:.,+\-−hmsdHMSD°'′\"″]+")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_MIXED: Final = "degrees and sexagesimal notation are mixed without units"


def is_position(words: str) -> bool:
    """Whether words are meant as a position, right or wrong, and not as a name."""
    return bool(_POSITION.fullmatch(words)) and len(re.findall(r"\d+(?:\.\d*)?", words)) >= 2


def half_of(words: str) -> str:
    """Return the number where words are one, or one in degrees: half a position, and no name."""
    number = _plain(words).rstrip("d°").rstrip()
    return number if _NUMBER.fullmatch(number) else ""


def position_of(words: str) -> SkyCoord:
    """Read a position in hours and degrees, in degrees, or with units.

    Raises
    ------
    InvalidRequest
        If it is none, or may be understood in two ways.
    """
    plain = _plain(words)
    numbers = re.split(r"[\s,]+", plain)
    try:
        if len(numbers) == 2 and all(_NUMBER.fullmatch(each) for each in numbers):
            return joined(*numbers)
        first, second = _halves(plain)
        if _NUMBER.fullmatch(first) and _NUMBER.fullmatch(second):
            # "1937+21", without a space: a part of a name, rather.
            raise ValueError(_MIXED)
        return joined(first, second)
    except (ValueError, TypeError, Warning) as error:
        raise InvalidRequest(
            f"{words!r} is no position ({error})",
            expected="right ascension and declination, such as '13:29:52.7 +47:11:43'"
            " or '202.4696 47.1953' in degrees",
        ) from error


def joined(first: str | Angle, second: str | Angle) -> SkyCoord:
    """Make a position of a right ascension and a declination, in words or as angles.

    Words are degrees where both are plain numbers; sexagesimal notation without a unit is hours in
    the first and degrees in the second.

    Raises
    ------
    ValueError
        If that is none, or may be understood in two ways.
    """
    from astropy import units as u
    from astropy.coordinates import Angle, SkyCoord

    in_degrees = True
    if isinstance(first, str):
        first = _plain(first)
    if isinstance(second, str):
        second = _plain(second)
    if isinstance(first, str) and isinstance(second, str) and _is_mixed(first, second):
        raise ValueError(_MIXED)
    if isinstance(second, str) and "h" in second:
        raise ValueError("the declination is in hours")
    ra, dec = Angle(first, unit=u.deg), Angle(second, unit=u.deg)
    if isinstance(first, str) and not _NUMBER.fullmatch(first):
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


def _plain(words: str) -> str:
    return words.replace("−", "-").replace("′", "'").replace("″", '"').strip()


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
        return not _NUMBER.fullmatch(second)
    return bool(_NUMBER.fullmatch(second)) and not re.search("[dh°]", first)
