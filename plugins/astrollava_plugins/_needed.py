"""What the plugins here need beyond astrollava's core, and what brings it."""

from __future__ import annotations

from typing import Final

__all__ = ["CARRIER", "EXTRA", "PYVO"]

#: What pip is given: the extra has all of it.
EXTRA: Final = "astrollava[fetch]"
#: Packages of `astrollava_plugins._astroquery`.
CARRIER: Final[tuple[str, ...]] = ("astroquery", "pyvo", "requests")
#: Package of the protocols of the Virtual Observatory.
PYVO: Final[tuple[str, ...]] = ("pyvo",)
