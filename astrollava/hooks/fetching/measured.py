"""Whether an image has the size that was asked for: one rule for the core and for the suites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from astrollava.errors import ServiceError

if TYPE_CHECKING:
    from astrollava.hooks.fetching.fetcher import Cutout
    from astrollava.images import SkyImage

__all__ = ["TOLERANCE", "check_measure", "side_of"]

#: How far the side of what comes may be from what was asked for, as a share of it.
TOLERANCE: Final = 0.1
#: Pixels that it may be off in any case: services round to whole ones, and those may be coarse.
_PIXELS: Final = 2


def side_of(image: SkyImage) -> float | None:
    """Return the longer side of an image in arcseconds, where it says its scale."""
    scale = image.pixel_scale
    return None if scale is None else scale * max(image.shape)


def check_measure(name: str, wanted: Cutout, image: SkyImage) -> None:
    """Refuse an image of another size than was asked for; services clamp in silence.

    Parameters
    ----------
    name : str
        What the service is called.
    wanted : Cutout
        What was asked for; its `pixels` count only where they are `Cutout.exact`.
    image : SkyImage
        What came. One cut off at the edge of the survey is as long on one side at least.

    Raises
    ------
    ServiceError
        If it shows more or less of the sky, or has more or fewer pixels.
    """
    ny, nx = image.shape
    side, scale = side_of(image), image.pixel_scale
    if side is not None and scale is not None:
        asked = float(wanted.size.to_value("arcsec"))
        if abs(side - asked) > max(TOLERANCE * asked, _PIXELS * scale):
            raise ServiceError(
                f"{name} gave an image of {side:.6g} arcsec, {nx} x {ny} pixels of {scale:.4g}"
                " arcsec",
                expected=f"a side of {asked:.6g} arcsec, as asked for",
                hint="Try another survey, or tell the plugin's authors",
            )
    most = max(image.shape)
    if wanted.exact and abs(most - wanted.pixels) > max(TOLERANCE * wanted.pixels, _PIXELS):
        raise ServiceError(
            f"{name} gave an image of {nx} x {ny} pixels",
            expected=f"{wanted.pixels} pixels along a side, as asked for",
            hint="Ask for another number of pixels, or for none",
        )
