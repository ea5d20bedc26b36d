"""Anything an astronomer has, to a `SkyImage`, to RGB at exactly the size a model wants.

Importing this package loads numpy only; astropy and pillow are loaded by the first call.
"""

from __future__ import annotations

from astrollava.images.read import example, read
from astrollava.images.render import Rendered, Rendering, check_options, render, versions_behind
from astrollava.images.sky_image import SkyImage

__all__ = [
    "Rendered",
    "Rendering",
    "SkyImage",
    "check_options",
    "example",
    "read",
    "render",
    "versions_behind",
]
