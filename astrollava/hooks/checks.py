"""Whether what plugins give keeps the contract, found out without a network.

What a thing says of itself is looked at when plugins load; here it is tried, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from astrollava._aside import printing_aside
from astrollava._plugged import Kind
from astrollava.hooks._declared import find_misstatements
from astrollava.hooks.packages import needs

if TYPE_CHECKING:
    from astrollava.hooks.manager import Plugins

__all__ = ["Finding", "examine_plugins", "find_faults", "inspect_plugins"]

#: Positions all over the sky, in degrees, where a footprint must have an answer.
_POSITIONS: Final = ((0.0, 0.0), (180.0, 89.9), (83.8, -5.4), (202.5, 47.2), (359.9, -89.9))
#: How files of formats begin that astrollava reads itself.
_CORE_HEADS: Final = (b"SIMPLE  =                    T", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0")


@dataclass(frozen=True)
class Finding:
    """What was found of a plugin, or of something that it gives.

    Attributes
    ----------
    plugin : str
        Its name.
    about : str
        What was looked at: ``"fetcher hips2fits"``; empty for the plugin as a whole.
    fault : str
        What is wrong; empty where nothing is.
    status : {"ok", "missing", "fault", "broken", "blocked"}
        Whether it keeps the contract, does but needs what is not installed, does not, is not used
        for that, or may not be loaded.
    needs : str
        Where something is missing, what, and what to type to have it. That is no fault.
    """

    plugin: str
    about: str
    fault: str
    status: Literal["ok", "missing", "fault", "broken", "blocked"] = "fault"
    needs: str = ""


def examine_plugins(plugins: Plugins, names: Iterable[str] = ()) -> list[Finding]:
    """Look at plugins and at all that they give; nothing is asked of the network.

    Parameters
    ----------
    plugins : Plugins
        Those there are.
    names : iterable of str, optional
        Those to look at; all by default.

    Returns
    -------
    list of Finding
        One or more for each plugin, sound ones included.
    """
    from astrollava.hooks._giving import kind_of

    wanted = set(names)

    def is_wanted(name: str) -> bool:
        return not wanted or name in wanted

    found = [
        Finding(broken.name, "", broken.reason, "broken")
        for broken in plugins.broken
        if is_wanted(broken.name)
    ]
    found += [Finding(name, "", "", "blocked") for name in plugins.blocked if is_wanted(name)]
    for plugin in plugins.loaded:
        if not is_wanted(plugin.name):
            continue
        if not plugin.gives:
            found.append(Finding(plugin.name, "", "", "ok"))
        for kind, given in plugin.gives.items():
            for name in given:
                about = f"{kind_of(kind)} {name}"
                thing = plugins.offered(kind)[name].value
                faults = find_faults(kind, thing)
                found += [Finding(plugin.name, about, fault) for fault in faults]
                if not faults:
                    lacked = needs(thing)
                    status: Literal["ok", "missing"] = "missing" if lacked else "ok"
                    found.append(Finding(plugin.name, about, "", status, lacked))
    return found


def inspect_plugins(plugins: Plugins, names: Iterable[str] = ()) -> list[Finding]:
    """Find the faults of plugins; otherwise as `examine_plugins`.

    Parameters
    ----------
    plugins, names
        As for `examine_plugins`.

    Returns
    -------
    list of Finding
        Empty where all is well.
    """
    return [found for found in examine_plugins(plugins, names) if found.fault]


def find_faults(kind: Kind, thing: Any) -> list[str]:
    """Find what of a fetcher, reader and so on does not keep the contract.

    Parameters
    ----------
    kind : str
        ``"fetchers"``, ``"readers"`` and so on.
    thing : object
        What a plugin gives.

    Returns
    -------
    list of str
        Empty where all is well.
    """
    faults = find_misstatements(kind, thing)
    attempt = _TRIALS.get(kind)
    # What is declared wrongly fails when it is tried, in words of Python's own.
    if attempt is None or faults:
        return faults
    try:
        with printing_aside():
            return list(attempt(thing))
    except (Exception, SystemExit) as error:
        return [f"looking at it fails with {type(error).__name__}: {error}"]


def _footprint(thing: Any) -> Iterator[str]:
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    contains = thing.footprint.contains
    said = [contains(SkyCoord(ra * u.deg, dec * u.deg)) for ra, dec in _POSITIONS]
    if any(answer is not None and type(answer) is not bool for answer in said):
        yield f"its footprint says {said!r}, expected True, False, or None where it is not known"


def _reader(thing: Any) -> Iterator[str]:
    for head in (b"", b"\0" * 512, *_CORE_HEADS):
        said = thing.accepts(head)
        if said is not False:
            yield f"it says {said!r} to a file that begins with {head[:8]!r}, expected False"


def _stretch(function: Any) -> Iterator[str]:
    import numpy as np

    line = np.linspace(0.0, 1.0, 257)
    for values in (line, line[:256].reshape(16, 16), line[:1]):
        before = values.copy()
        given = np.asarray(function(values))
        if given.shape != values.shape:
            yield f"it makes the shape {given.shape} of {values.shape}"
        elif not ((given >= 0.0) & (given <= 1.0)).all():
            yield "it gives values outside [0, 1], or none"
        if not np.array_equal(before, values):
            yield "it changes the values that it is given"


def _model(entry: Any) -> Iterator[str]:
    for role, file in entry.files.items():
        if file.sha256 is None and entry.revision is None:
            yield f"its {role} file has neither a sha256 nor a revision: it may change unseen"


_TRIALS: Final[dict[Kind, Callable[[Any], Iterator[str]]]] = {
    "fetchers": _footprint,
    "models": _model,
    "readers": _reader,
    "stretches": _stretch,
}
