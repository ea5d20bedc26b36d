"""The plugins there are: each loaded alone, those that are broken listed with the reason."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from astrollava._plugged import Kind, Offered
from astrollava.errors import AstrollavaError, InvalidRequest, UnknownFetcher
from astrollava.hooks import GROUP
from astrollava.hooks._giving import NAME, Unusable, kind_of
from astrollava.hooks._loading import Entry, Loaded, load
from astrollava.hooks._selection import VARIABLE, Selection
from astrollava.hooks._telling import Listeners

if TYPE_CHECKING:
    from astrollava.hooks.fetching import Fetcher
    from astrollava.hooks.kinds import Exporter, FactProvider

__all__ = [
    "BrokenPlugin",
    "Plugin",
    "Plugins",
    "listening",
    "offer_of",
    "offered",
    "plugins",
    "tell",
]

_log = logging.getLogger("astrollava.hooks")

#: Comes first where two give the same name, so that nobody takes a name of ours by being installed.
_OURS: Final = "astrollava"


@dataclass(frozen=True)
class Plugin:
    """A plugin that keeps the contract.

    Attributes
    ----------
    name : str
        The name of its entry point.
    distribution, version : str
        What it was installed with.
    module : str
        What its entry point names.
    hooks : tuple of str
        The hooks that it implements.
    gives : mapping
        Kind, such as ``"fetchers"`` -> the names of what it gives.
    seconds : float
        What loading it took.
    """

    name: str
    distribution: str
    version: str
    module: str
    hooks: tuple[str, ...] = ()
    gives: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is not used, and why.

    Attributes
    ----------
    name, distribution, version, module : str
        As for `Plugin`.
    reason : str
        What is wrong with it.
    trace : str
        The traceback of its own code, where that failed.
    """

    name: str
    distribution: str
    version: str
    module: str
    reason: str
    trace: str = ""


class Plugins:
    """What plugins give, by name.

    Parameters
    ----------
    entries : iterable of Entry
        The plugins that are installed.
    selection : Selection
        Those that may be loaded.

    Attributes
    ----------
    loaded : tuple of Plugin
        Those in use.
    broken : tuple of BrokenPlugin
        Those that are not, because something is wrong with them.
    blocked : tuple of str
        Those that ``ASTROLLAVA_PLUGINS`` keeps out; nothing of them was imported.
    unknown : tuple of str
        Names in ``ASTROLLAVA_PLUGINS`` that no plugin has.
    """

    def __init__(self, entries: Iterable[Entry] = (), selection: Selection | None = None) -> None:
        selection = Selection() if selection is None else selection
        ordered = sorted(entries, key=_order)
        self._given: dict[Kind, dict[str, Offered]] = {}
        self._listeners = Listeners()
        loaded: list[Plugin] = []
        broken: list[BrokenPlugin] = []
        for entry in ordered:
            if selection.allows(entry.name):
                known: list[Plugin | BrokenPlugin] = [*loaded, *broken]
                try:
                    loaded.append(self._take(entry, known))
                except Unusable as unusable:
                    broken.append(BrokenPlugin(*_about(entry), unusable.reason, unusable.trace))
                    _log.debug("the plugin %s is broken: %s", entry.name, unusable.reason)
        names = {entry.name for entry in ordered}
        self.loaded = tuple(loaded)
        self.broken = tuple(broken)
        self.blocked = tuple(dict.fromkeys(e.name for e in ordered if not selection.allows(e.name)))
        self.unknown = tuple(sorted(selection.named - names))

    def _take(self, entry: Entry, known: list[Plugin | BrokenPlugin]) -> Plugin:
        """Load a plugin, and use all of it or nothing."""
        name, distribution, version, module = _about(entry)
        if not NAME.fullmatch(name):
            raise Unusable(
                f"the name {name!r} is none: lower case letters, digits, '.', '_' and '-'"
            )
        for other in known:
            if other.name == name:
                raise Unusable(f"{other.distribution} {other.version} has a plugin of that name")
        found = load(entry)
        self._check_free(found)
        for kind, things in found.gives.items():
            offers = {
                called: Offered(thing, name, distribution, version)
                for called, thing in things.items()
            }
            self._given.setdefault(kind, {}).update(offers)
        if found.listener is not None:
            self._listeners.add(name, found.listener)
        gives = {kind: tuple(things) for kind, things in found.gives.items() if things}
        return Plugin(name, distribution, version, module, found.hooks, gives, found.seconds)

    def _check_free(self, found: Loaded) -> None:
        for kind, things in found.gives.items():
            for called in things:
                taken = self._given.get(kind, {}).get(called)
                if taken is not None:
                    raise Unusable(
                        f"its {kind_of(kind)} {called!r} has the name of one of the plugin"
                        f" {taken.plugin} ({taken.distribution} {taken.version})"
                    )

    def offered(self, kind: Kind) -> Mapping[str, Offered]:
        """Return what plugins give of a kind, by name, with whose it is.

        Parameters
        ----------
        kind : str
            ``"fetchers"``, ``"models"``, ``"readers"``, ``"stretches"``, ``"vocabularies"``,
            ``"fact_providers"`` or ``"exporters"``.
        """
        return MappingProxyType(self._given.get(kind, {}))

    @property
    def fetchers(self) -> dict[str, Fetcher]:
        """Name -> fetcher."""
        return self._values("fetchers")

    @property
    def fact_providers(self) -> dict[str, FactProvider]:
        """Name -> provider of facts."""
        return self._values("fact_providers")

    @property
    def exporters(self) -> dict[str, Exporter]:
        """Name -> exporter."""
        return self._values("exporters")

    def get_fetcher(self, name: str) -> Fetcher:
        """Return the fetcher of that name.

        Parameters
        ----------
        name : str
            Its name, in any case.

        Raises
        ------
        UnknownFetcher
            If there is none; names near to it are given, or why its plugin cannot be used.
        """
        fetcher: Fetcher = self._get("fetchers", name, UnknownFetcher)
        return fetcher

    def get_fact_provider(self, name: str) -> FactProvider:
        """Return the provider of facts of that name.

        Parameters
        ----------
        name : str
            Its name, in any case.

        Raises
        ------
        UnknownFetcher
            If there is none.
        """
        provider: FactProvider = self._get("fact_providers", name, UnknownFetcher)
        return provider

    def get_exporter(self, name: str) -> Exporter:
        """Return the exporter of that name.

        Parameters
        ----------
        name : str
            Its name, in any case.

        Raises
        ------
        InvalidRequest
            If there is none.
        """
        exporter: Exporter = self._get("exporters", name, InvalidRequest)
        return exporter

    @property
    def listening(self) -> bool:
        """Whether any plugin wants to be told of descriptions."""
        return bool(self._listeners)

    def after_describe(self, result: Any, source: Any) -> None:
        """Tell plugins of a description; what one raises is logged, the first a `PluginWarning`.

        Parameters
        ----------
        result : Description
            The description.
        source : object
            What was described, as the caller gave it.
        """
        self._listeners.tell(result, source)

    @property
    def why_none(self) -> str:
        """What to do about there being no plugin that gives what is wanted: a hint."""
        if self.blocked and not self.loaded and not self.broken:
            return f"The environment variable {VARIABLE} keeps out all plugins: unset or change it"
        return 'Install what the services need: pip install "astrollava[fetch]"'

    def _values(self, kind: Kind) -> dict[str, Any]:
        return {name: offer.value for name, offer in self.offered(kind).items()}

    def _get(self, kind: Kind, name: str, error: type[AstrollavaError]) -> Any:
        offers = self.offered(kind)
        wanted = name.strip().lower()
        if wanted in offers:
            return offers[wanted].value
        raise error(
            f"there is no {kind_of(kind)} {name!r}",
            expected=f"one of {', '.join(sorted(offers))}" if offers else "",
            hint=self._why_missing(wanted)
            or self._family(kind, wanted)
            or self._near(wanted, offers),
        )

    def _family(self, kind: Kind, name: str) -> str:
        """Say what a plugin of that name gives: it is not what its fetchers are called by."""
        for plugin in self.loaded:
            if plugin.name != name:
                continue
            if kind in plugin.gives:
                return f"The plugin {name} gives {', '.join(plugin.gives[kind])}: name one of them"
            given = [
                f"the {kind_of(other)} {each}"
                for other in plugin.gives
                for each in plugin.gives[other]
            ]
            if given:
                return f"The plugin {name} gives no {kind_of(kind)} but {', '.join(given)}"
        return ""

    def _why_missing(self, name: str) -> str:
        for broken in self.broken:
            if broken.name == name:
                return f"The plugin {name} is broken: {broken.reason}"
        if name in self.blocked:
            return f"The plugin {name} is kept out by {VARIABLE}"
        return ""

    def _near(self, name: str, offers: Mapping[str, Offered]) -> str:
        parts = [each for each in offers if name and name in each]
        near = parts[:3] or get_close_matches(name, offers, n=2)
        if near:
            return f"Did you mean {' or '.join(near)}?"
        if self.broken:
            names = ", ".join(broken.name for broken in self.broken)
            return f"Broken, so that nothing of them is used: {names}. See astrollava plugins list"
        if offers:
            return ""
        if self.blocked and not self.loaded:
            return self.why_none
        return "No plugin gives any: see astrollava plugins list"


def _about(entry: Entry) -> tuple[str, str, str, str]:
    found = entry.dist
    if found is None:
        return entry.name, "", "", entry.value
    return entry.name, found.name, found.version, entry.value


def _order(entry: Entry) -> tuple[bool, str, str]:
    name, distribution, _, _ = _about(entry)
    return not _is_ours(entry), distribution.lower(), name


def _is_ours(entry: Entry) -> bool:
    return _about(entry)[1].lower() == _OURS


_lock = threading.RLock()
#: What is known so far: the ``"plugins"``, or only that there are none but ours (``"ours alone"``).
_state: dict[str, Any] = {}


def plugins() -> Plugins:
    """Return the plugins of this process; the first call loads them.

    Returns
    -------
    Plugins

    Examples
    --------
    >>> from astrollava.hooks import plugins
    >>> [broken.reason for broken in plugins().broken]
    []
    """
    with _lock:
        known: Plugins | None = _state.get("plugins")
        if known is None:
            # A plugin that asks while it is loaded gets the core alone, and no endless loop.
            _state["plugins"] = Plugins()
            try:
                known = Plugins(entry_points(group=GROUP), Selection.of_environment())
            except BaseException:
                # Interrupted: the next call starts anew.
                del _state["plugins"]
                raise
            _state["plugins"] = known
        return known


def offered(kind: Kind) -> Mapping[str, Offered]:
    """Return what the plugins of this process give of a kind: see `Plugins.offered`.

    Parameters
    ----------
    kind : str
        ``"fetchers"``, ``"models"`` and so on.
    """
    return plugins().offered(kind)


def offer_of(kind: Kind, thing: Any) -> Offered | None:
    """Return whose a thing is; None where no plugin of this process gave it. Loads none.

    Parameters
    ----------
    kind : str
        ``"fetchers"``, ``"fact_providers"`` and so on.
    thing : object
        What has a name, such as a fetcher. One made by hand is nobody's, also where its class is a
        plugin's.
    """
    known: Plugins | None = _state.get("plugins")
    offer = None if known is None else known.offered(kind).get(thing.name)
    return offer if offer is not None and offer.value is thing else None


def listening() -> bool:
    """Tell whether any plugin of this process wants to be told of descriptions.

    None of those that come along does, which a test holds; so they are not loaded for it, and
    describing an image costs nobody a moment who has no others.
    """
    with _lock:
        if "plugins" not in _state:
            if "ours alone" not in _state:
                selection = Selection.of_environment()
                _state["ours alone"] = all(
                    _is_ours(entry) or not selection.allows(entry.name)
                    for entry in entry_points(group=GROUP)
                )
            if _state["ours alone"]:
                return False
        return plugins().listening


def tell(result: Any, source: Any) -> None:
    """Tell the plugins of this process of a description: see `Plugins.after_describe`.

    Parameters
    ----------
    result : Description
        The description.
    source : object
        What was described.
    """
    plugins().after_describe(result, source)
