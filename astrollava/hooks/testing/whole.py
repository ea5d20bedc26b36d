"""A plugin as a whole: put in place of the installed ones, and held to the contract."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, ClassVar

import pytest

from astrollava.hooks import GROUP, Plugins, manager
from astrollava.hooks.checks import inspect_plugins
from astrollava.hooks.testing._needed import needed

__all__ = ["PluginSuite", "in_place"]

#: What no plugin may load when it is imported: every command that looks for a name would wait.
_HEAVY = ("astroquery", "pyvo", "torch", "llama_cpp", "matplotlib", "pandas", "scipy")


@dataclass(frozen=True)
class _Given:
    """Stands where the entry point of an installed plugin would."""

    name: str
    value: str
    thing: Any
    dist: None = None

    def load(self) -> Any:
        return self.thing


@contextmanager
def in_place(*given: Any, **named: Any) -> Iterator[Plugins]:
    """Put plugins in place of the installed ones, for as long as a ``with`` block lasts.

    All of the process sees them: `Describer`, `astrollava.images.read`, the command line.

    Parameters
    ----------
    *given : object
        Modules, or other objects with hooks; named after the module, or the type.
    **named : object
        The same under names of one's own.
    """
    things = {**{_name(thing): thing for thing in given}, **named}
    there = Plugins(_Given(name, name, thing) for name, thing in things.items())
    before = dict(manager._state)
    manager._state["plugins"] = there
    try:
        yield there
    finally:
        manager._state.clear()
        manager._state.update(before)


def _name(thing: Any) -> str:
    whole = thing.__name__ if isinstance(thing, ModuleType) else type(thing).__name__
    return str(whole.rpartition(".")[2]).lower().lstrip("_")


class PluginSuite:
    """Holds a plugin to the contract.

    Attributes
    ----------
    plugin : object
        The module, or the object, that the entry point names.
    entry : str
        The name of the entry point; empty where the plugin is not installed.
    """

    plugin: ClassVar[Any] = needed(
        "give the module, or object, that the entry point names: plugin = my_plugin"
    )
    entry: ClassVar[str] = ""

    @pytest.fixture
    def there(self) -> Iterator[Plugins]:
        """Put the plugin in place of all that are installed."""
        with in_place(plugin=self.plugin) as there:
            yield there

    def test_it_is_not_broken(self, there: Plugins) -> None:
        """It states the contract, its hooks have the right names and give the right things."""
        assert [broken.reason for broken in there.broken] == []

    def test_what_it_gives_keeps_the_contract(self, there: Plugins) -> None:
        """What it declares is there, has the right type, and does not contradict itself."""
        assert [f"{found.about}: {found.fault}" for found in inspect_plugins(there)] == []

    def test_its_entry_point_leads_to_it(self) -> None:
        """A plugin that works in its tests, and is not found where it is installed."""
        if not self.entry:
            pytest.skip("the suite's `entry` is empty")
        found = tuple(entry_points(group=GROUP, name=self.entry))
        assert found, f"no distribution names it: install the project anew (group {GROUP!r})"
        assert [entry.load() for entry in found] == [self.plugin]

    def test_importing_it_is_light(self) -> None:
        """Every command that looks for a name imports every plugin."""
        module = self.plugin if isinstance(self.plugin, ModuleType) else type(self.plugin)
        name = getattr(module, "__module__", module.__name__)
        code = f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))"
        done = subprocess.run(  # noqa: S603 -- the interpreter that runs the tests
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        loaded = {word.split(".")[0] for word in json.loads(done.stdout.splitlines()[-1])}
        assert loaded.isdisjoint(_HEAVY), f"import {loaded & set(_HEAVY)} inside a function"
        assert done.stdout.count("\n") == 1, "it prints when it is imported"
