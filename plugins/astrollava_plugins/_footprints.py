"""Footprints of surveys that several services have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astrollava.hooks.fetching import Footprint

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["LegacyFootprint", "SdssFootprint"]


@dataclass(frozen=True)
class LegacyFootprint(Footprint):
    """What the Legacy Surveys cover for certain, for certain do not, and may.

    Certain are both galactic caps down to 20 deg of latitude and -18 deg of declination (Dey et
    al. 2019, AJ 157, 168, section 2); DR9 and DR10 add much of the southern sky, with holes. North
    of 85 deg there is nothing.
    """

    def contains(self, position: SkyCoord) -> bool | None:
        dec, latitude = float(position.icrs.dec.deg), float(position.galactic.b.deg)
        if dec > 85.0:
            return False
        north = latitude >= 20.0 and -18.0 <= dec <= 83.0
        south = latitude <= -20.0 and -18.0 <= dec <= 32.0
        return True if north or south else None

    def __str__(self) -> str:
        return "the sky away from the Milky Way, south of declination 85 deg"


@dataclass(frozen=True)
class SdssFootprint(Footprint):
    """What SDSS imaging covers for certain, for certain does not, and may.

    Certain is the middle of the northern galactic cap; the edges of the 14,555 square degrees are
    ragged (Aihara et al. 2011, ApJS 193, 29, figure 1). South of -30 deg there is nothing.
    """

    def contains(self, position: SkyCoord) -> bool | None:
        ra, dec = float(position.icrs.ra.deg), float(position.icrs.dec.deg)
        if dec < -30.0:
            return False
        return True if 140.0 <= ra <= 225.0 and 3.0 <= dec <= 57.0 else None

    def __str__(self) -> str:
        return "a third of the sky, most of it in the northern galactic cap"
