"""Versions of what takes part in an answer, for provenance and the doctor."""

from __future__ import annotations

import functools
import importlib.metadata
import platform

__all__ = ["PACKAGES", "versions"]

#: Distributions whose version can change an answer.
PACKAGES = ("llama-cpp-python", "numpy", "astropy", "pillow", "jinja2")


@functools.cache
def _installed() -> tuple[tuple[str, str], ...]:
    from astrollava import __version__

    found = {"astrollava": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return tuple(found.items())


def versions() -> dict[str, str]:
    """Name -> version of astrollava, Python and the packages of `PACKAGES`."""
    return dict(_installed())
