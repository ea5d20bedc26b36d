"""The kinds of claims a picture cannot support, and why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["KINDS", "SHOWN_BY_WCS"]

#: Kind -> the reason given with each flag, one sentence.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "redshift": "A redshift is measured from a spectrum or from calibrated colours.",
        "distance": "A distance needs a redshift, a parallax or a standard candle.",
        "size": "A physical size needs the distance, which a picture does not show.",
        "mass": "A mass is derived from motions or from calibrated light and a distance.",
        "age": "An age or a time span is derived from spectra or models of stars.",
        "brightness": "A magnitude, luminosity or flux needs a photometric calibration.",
        "temperature": "A temperature is measured from a spectrum or from calibrated colours.",
        "velocity": "A velocity is measured from a spectrum or from pictures at several times.",
        "composition": "Chemical abundances are measured from a spectrum.",
        "star-formation": "A star-formation rate is derived from calibrated light and a distance.",
        "spectrum": "Spectral features and light of other wavelengths are not in this picture.",
        "unseen": "Black holes and dark matter give no light that a picture could show.",
        "identity": "This name did not come with the picture, and a picture shows no name.",
        "observation": "A picture does not show when, by whom or with what it was taken.",
        "position": "A place on the sky needs a WCS, and none came with the picture.",
        "angular-size": "An angle on the sky needs a WCS, and none came with the picture.",
    }
)

#: Kinds that a picture with a world coordinate system does support.
SHOWN_BY_WCS = frozenset({"position", "angular-size"})
