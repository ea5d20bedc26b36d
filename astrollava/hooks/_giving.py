"""What a hook gives: the right things, under names that are free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from astrollava._plugged import Kind
from astrollava.hooks._declared import find_misstatements

__all__ = ["NAME", "Unusable", "checked", "kind_of"]

#: What plugins and what they give are called by.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Unusable(Exception):
    """A plugin is broken.

    Parameters
    ----------
    reason : str
        Why, in words.
    trace : str
        Where its own code failed; empty where it did not.
    """

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.trace = trace


@dataclass(frozen=True)
class _Hook:
    kind: Kind
    one: str
    wanted: Callable[[], type]
    taken: Callable[[], Iterable[str]]


def _nothing() -> Iterable[str]:
    return ()


def _fetcher() -> type:
    from astrollava.hooks.fetching import Fetcher

    return Fetcher


def _entry() -> type:
    from astrollava.models.catalog import Entry

    return Entry


def _reader() -> type:
    from astrollava.hooks.kinds import Reader

    return Reader


def _vocabulary() -> type:
    from astrollava.vocabularies import Vocabulary

    return Vocabulary


def _fact_provider() -> type:
    from astrollava.hooks.kinds import FactProvider

    return FactProvider


def _exporter() -> type:
    from astrollava.hooks.kinds import Exporter

    return Exporter


def _models() -> Iterable[str]:
    from astrollava.models.catalog import core_names

    return core_names()


def _stretches() -> Iterable[str]:
    from astrollava.images.render import STRETCHES

    return STRETCHES


def _vocabularies() -> Iterable[str]:
    from astrollava.vocabularies import VOCABULARIES

    # What `from_labels` calls a set of one's own.
    return (*(vocabulary.name for vocabulary in VOCABULARIES), "custom")


# Types and names are looked up late: a plugin of fetchers needs no vocabularies.
_HOOKS: Final[dict[str, _Hook]] = {
    "astrollava_fetchers": _Hook("fetchers", "fetcher", _fetcher, lambda: ("auto",)),
    "astrollava_models": _Hook("models", "model", _entry, _models),
    "astrollava_readers": _Hook("readers", "reader", _reader, _nothing),
    "astrollava_stretches": _Hook("stretches", "stretch", lambda: object, _stretches),
    "astrollava_vocabularies": _Hook("vocabularies", "vocabulary", _vocabulary, _vocabularies),
    "astrollava_fact_providers": _Hook("fact_providers", "fact provider", _fact_provider, _nothing),
    "astrollava_exporters": _Hook("exporters", "exporter", _exporter, _nothing),
}


def kind_of(kind: Kind) -> str:
    """Return what one thing of a kind is called in words."""
    return next(hook.one for hook in _HOOKS.values() if hook.kind == kind)


def checked(name: str, given: Any) -> tuple[Kind, dict[str, Any]]:
    """Return what a hook gave by name.

    Parameters
    ----------
    name : str
        The hook.
    given : object
        What it gave.

    Raises
    ------
    Unusable
        If that is not of the contract.
    """
    hook = _HOOKS[name]
    if hook.kind == "stretches":
        pairs = _functions(name, given)
    else:
        pairs = [(getattr(thing, "name", None), thing) for thing in _things(name, hook, given)]
    taken = set(hook.taken()) if pairs else set()
    found: dict[str, Any] = {}
    for called, thing in pairs:
        if not isinstance(called, str) or not NAME.fullmatch(called):
            raise Unusable(
                f"its {hook.one} {called!r} needs a name of lower case letters, digits, '.', '_'"
                " and '-'"
            )
        if called in taken:
            raise Unusable(f"its {hook.one} {called!r} has a name of astrollava's own")
        if called in found:
            raise Unusable(f"it gives two of {hook.kind.replace('_', ' ')} the name {called!r}")
        found[called] = thing
    _refuse_misstatements(hook, found)
    return hook.kind, found


def _things(name: str, hook: _Hook, given: Any) -> list[Any]:
    wanted = hook.wanted()
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise Unusable(
            f"its {name}() gives {_shown(given)}, expected an iterable of {wanted.__name__}"
        )
    things = list(given)
    for thing in things:
        if not isinstance(thing, wanted):
            subclass = isinstance(thing, type) and issubclass(thing, wanted)
            also = ": make an instance of it" if subclass else ""
            raise Unusable(f"its {name}() gives {_shown(thing)}, no {wanted.__name__}{also}")
    return things


def _refuse_misstatements(hook: _Hook, found: Mapping[str, Any]) -> None:
    """Raise for what would fail only when somebody uses it, and far from the cause."""
    said = [
        f"its {hook.one} {called!r}: {' '.join(fault.split())}"
        for called, thing in found.items()
        for fault in find_misstatements(hook.kind, thing)
    ]
    if said:
        raise Unusable("; ".join(said))


def _functions(name: str, given: Any) -> list[tuple[Any, Any]]:
    if not isinstance(given, Mapping):
        raise Unusable(f"its {name}() gives {_shown(given)}, expected a mapping name -> function")
    for called, function in given.items():
        if not callable(function):
            raise Unusable(f"its stretch {called!r} is {_shown(function)}, no function")
    return list(given.items())


def _shown(thing: Any) -> str:
    if thing is None:
        return "None"
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return f"{type(thing).__name__} {thing!r:.60}"
