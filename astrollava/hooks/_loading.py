"""One entry point to one plugin, or to the reason why it is broken. Nothing it does escapes."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pluggy

from astrollava._aside import printing_aside
from astrollava._plugged import Kind
from astrollava.hooks import CONTRACT, GROUP, specs
from astrollava.hooks._giving import Unusable, checked

__all__ = ["Entry", "Loaded", "load"]

_PREFIX: Final = "astrollava_"
_STATEMENT: Final = "astrollava_contract"
_LISTENING: Final = "astrollava_after_describe"


class Entry(Protocol):
    """What is needed of an `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str:
        """The name of the plugin."""

    @property
    def value(self) -> str:
        """The module or object that is the plugin."""

    @property
    def dist(self) -> Any:
        """The distribution that names it, or None."""

    def load(self) -> Any:
        """Import it."""


@dataclass(frozen=True)
class Loaded:
    """What a plugin gives, by kind and name.

    Attributes
    ----------
    hooks : tuple of str
        The hooks that it implements.
    gives : mapping
        Kind -> name -> object.
    listener : callable or None
        Called with each description and its source.
    seconds : float
        What importing it, and asking its hooks, took.
    """

    hooks: tuple[str, ...]
    gives: Mapping[Kind, Mapping[str, Any]] = field(default_factory=dict)
    listener: Callable[[Any, Any], None] | None = None
    seconds: float = 0.0


@printing_aside()
def load(entry: Entry) -> Loaded:
    """Import a plugin, check that it keeps the contract, and ask what it gives.

    What it prints meanwhile goes to standard error.

    Parameters
    ----------
    entry : Entry
        Its entry point.

    Raises
    ------
    Unusable
        If it fails in any way; a Ctrl-C alone is let through.
    """
    began = time.perf_counter()
    plugin = _guarded(entry.load, f"importing {entry.value}")
    _check_contract(plugin, entry.value)
    # A manager of its own: no plugin can wrap, reorder or break the hooks of another.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(specs)
    _register(manager, plugin, entry.name)
    callers = manager.get_hookcallers(plugin) or []
    hooks = tuple(sorted(caller.name for caller in callers))
    if not hooks:
        raise Unusable(
            "it implements no hook: none of its functions is marked with astrollava.hooks.hookimpl"
        )
    gives: dict[Kind, Mapping[str, Any]] = {}
    for name in hooks:
        if name != _LISTENING:
            kind, given = _ask(manager, name)
            gives[kind] = given
    listener = None
    if _LISTENING in hooks:

        def listener(result: Any, source: Any) -> None:
            manager.hook.astrollava_after_describe(result=result, source=source)

    return Loaded(hooks, gives, listener, time.perf_counter() - began)


def _guarded(call: Callable[[], Any], doing: str) -> Any:
    try:
        return call()
    except (KeyboardInterrupt, Unusable):
        raise
    except SystemExit as leaving:
        code = "" if leaving.code is None else f" ({leaving.code})"
        raise Unusable(f"{doing} tries to end the program{code}", traceback.format_exc()) from None
    except BaseException as error:
        said = f": {error}" if str(error) else ""
        raise Unusable(
            f"{doing} fails with {type(error).__name__}{said}", traceback.format_exc()
        ) from None


def _check_contract(plugin: Any, value: str) -> None:
    if inspect.isclass(plugin):
        raise Unusable(f"{value} is a class; the entry point must name a module or an instance")
    stated = _guarded(lambda: getattr(plugin, _STATEMENT, None), f"reading its {_STATEMENT}")
    if stated is None:
        raise Unusable(f"it does not say which contract it keeps: {_STATEMENT} = {CONTRACT}")
    if type(stated) is not int:
        raise Unusable(f"its {_STATEMENT} is {stated!r}, which is no whole number")
    if stated != CONTRACT:
        older = "this astrollava is too new for it" if stated < CONTRACT else "it needs a newer one"
        raise Unusable(
            f"it was written for the contract {stated}, and this astrollava has {CONTRACT}: {older}"
        )


def _register(manager: pluggy.PluginManager, plugin: Any, name: str) -> None:
    unmarked = _guarded(lambda: _unmarked(plugin), "looking at its functions")
    if unmarked:
        raise Unusable(
            f"{', '.join(unmarked)} is not marked with astrollava.hooks.hookimpl and would never be"
            " called"
        )
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Unusable(_in_words(str(error))) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Unusable(
            f"looking at its functions fails with {type(error).__name__}: {error}",
            traceback.format_exc(),
        ) from None


def _unmarked(plugin: Any) -> list[str]:
    return [
        name
        for name in dir(plugin)
        if name.startswith(_PREFIX)
        and name != _STATEMENT
        and inspect.isroutine(function := getattr(plugin, name))
        and not hasattr(function, f"{GROUP}_impl")
    ]


def _in_words(message: str) -> str:
    """Say what pluggy found, with the hooks there are where a name is misspelt."""
    from difflib import get_close_matches

    first = " ".join(message.split())
    if "unknown hook" in first:
        name = first.split("unknown hook", 1)[1].split()[0].strip("'\"")
        near = get_close_matches(name, specs.__all__, n=1)
        meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(specs.__all__)}"
        return f"there is no hook {name}{meant}"
    return first


def _ask(manager: pluggy.PluginManager, name: str) -> tuple[Kind, Mapping[str, Any]]:
    def given() -> tuple[Kind, Mapping[str, Any]]:
        results: Iterable[Any] = getattr(manager.hook, name)()
        # pluggy leaves out what is None.
        result = next(iter(results), None)
        return checked(name, result)

    answer: tuple[Kind, Mapping[str, Any]] = _guarded(given, f"its {name}()")
    return answer
