"""The contract with plugins: what one may add to astrollava, and how it says so.

A plugin is a module, or an object, that an installed distribution names in the entry-point group
``astrollava``. It states ``astrollava_contract = 1`` and implements hooks of
`astrollava.hooks.specs`, each marked with `hookimpl`.

Importing this package loads pluggy and nothing of astropy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from astrollava.hooks._telling import PluginWarning
    from astrollava.hooks.exporting import export
    from astrollava.hooks.fetching import Fetcher, Footprint
    from astrollava.hooks.kinds import Exporter, Fact, FactProvider, Reader
    from astrollava.hooks.manager import BrokenPlugin, Plugin, Plugins, plugins
    from astrollava.hooks.packages import check_packages
    from astrollava.images import SkyImage
    from astrollava.models.catalog import Entry, RemoteFile
    from astrollava.vocabularies import Vocabulary

__all__ = [
    "CONTRACT",
    "GROUP",
    "BrokenPlugin",
    "Entry",
    "Exporter",
    "Fact",
    "FactProvider",
    "Fetcher",
    "Footprint",
    "Plugin",
    "PluginWarning",
    "Plugins",
    "Reader",
    "RemoteFile",
    "SkyImage",
    "Vocabulary",
    "check_packages",
    "export",
    "hookimpl",
    "hookspec",
    "plugins",
]

#: The version of the contract. It is raised when a plugin written for the old one would break.
CONTRACT = 1

#: The entry-point group, and pluggy's project name.
GROUP = "astrollava"

#: Marks what specifies a hook; for astrollava itself.
hookspec = pluggy.HookspecMarker(GROUP)

#: Marks what implements a hook.
hookimpl = pluggy.HookimplMarker(GROUP)

# What needs numpy or astropy is loaded on first use: the command line asks for lists of names.
_HOMES = {
    "BrokenPlugin": "hooks.manager",
    "Entry": "models.catalog",
    "Exporter": "hooks.kinds",
    "Fact": "hooks.kinds",
    "FactProvider": "hooks.kinds",
    "Fetcher": "hooks.fetching",
    "Footprint": "hooks.fetching",
    "Plugin": "hooks.manager",
    "PluginWarning": "hooks._telling",
    "Plugins": "hooks.manager",
    "Reader": "hooks.kinds",
    "RemoteFile": "models.catalog",
    "SkyImage": "images",
    "Vocabulary": "vocabularies",
    "check_packages": "hooks.packages",
    "export": "hooks.exporting",
    "plugins": "hooks.manager",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"astrollava.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'astrollava.hooks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
