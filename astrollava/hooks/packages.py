"""Packages that a fetcher, a provider of facts or an exporter needs: declared once, and looked for.

A plugin must be importable without them. What it gives names them in ``requires``; whether they are
there is found out without importing any.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from astrollava.errors import PluginError

__all__ = ["check_packages", "install_hint", "lacking", "needs"]


def lacking(thing: Any) -> tuple[str, ...]:
    """Return the packages of ``thing.requires`` that are not installed.

    Parameters
    ----------
    thing : Fetcher, FactProvider or Exporter
        What a plugin gives; what declares nothing lacks nothing.
    """
    return tuple(name for name in getattr(thing, "requires", ()) if not _is_there(name))


def install_hint(thing: Any) -> str:
    """Return what to type to have the packages of ``thing.requires``."""
    wanted = getattr(thing, "install", "") or " ".join(getattr(thing, "requires", ()))
    return f'Install what is missing: pip install "{wanted}"'


def needs(thing: Any) -> str:
    """Return in a line what a thing lacks and how to have it; empty where nothing is missing."""
    missing = lacking(thing)
    if not missing:
        return ""
    command = install_hint(thing).rpartition(": ")[2]
    return f"{', '.join(missing)}: {command}"


def check_packages(thing: Any) -> None:
    """Refuse to use what lacks a package, before it fails deep inside.

    The core calls it before it asks a fetcher, a catalogue or an exporter; who calls one of these
    directly is told only if it calls it, too.

    Parameters
    ----------
    thing : Fetcher, FactProvider or Exporter
        What a plugin gives.

    Raises
    ------
    PluginError
        If a package of ``thing.requires`` is not installed: with what to type.
    """
    missing = lacking(thing)
    if missing:
        names = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        verb = "are" if len(missing) > 1 else "is"
        raise PluginError(
            f"{thing.name} cannot be used: {names} {verb} not installed", hint=install_hint(thing)
        )


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        # Kept out by a finder, or put into `sys.modules` without a spec.
        return sys.modules.get(name) is not None
