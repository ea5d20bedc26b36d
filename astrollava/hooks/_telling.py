"""Plugins are told of descriptions; what goes wrong there is said once, and costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from astrollava._aside import printing_aside

__all__ = ["Listeners", "PluginWarning"]

_log = logging.getLogger("astrollava.hooks")


class PluginWarning(UserWarning):
    """A plugin failed at what costs the caller nothing else."""


class Listeners:
    """Those who want to be told of descriptions, by the name of their plugin."""

    def __init__(self) -> None:
        self._listeners: dict[str, Callable[[Any, Any], None]] = {}
        self._failing: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, name: str, listener: Callable[[Any, Any], None]) -> None:
        """Add the listener of a plugin."""
        self._listeners[name] = listener

    def tell(self, result: Any, source: Any) -> None:
        """Tell all; the first failure of each is a `PluginWarning`, and all are logged.

        The warning is not raised where warnings are errors: who asked for a description has it all
        the same.
        """
        for name, listener in self._listeners.items():
            try:
                with printing_aside():
                    listener(result, source)
            except (Exception, SystemExit) as error:
                self._say(
                    name,
                    f"the plugin {name} failed in astrollava_after_describe with"
                    f" {type(error).__name__}: {error}",
                )

    def _say(self, name: str, what: str) -> None:
        if name in self._failing:
            _log.debug("%s", what)
            return
        # Not above: it brings numpy, and lists of names are asked for without.
        from astrollava.images._quiet import warn

        self._failing.add(name)
        _log.warning("%s", what)
        with suppress(PluginWarning):
            warn(PluginWarning(what))
