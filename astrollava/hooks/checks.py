"""Whether what plugins give keeps the contract, found out without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import urlsplit

from astrollava._plugged import Kind

if TYPE_CHECKING:
    from astrollava.hooks.manager import Plugins

__all__ = ["Finding", "find_faults", "inspect_plugins"]

#: Positions all over the sky, in degrees, where a footprint must have an answer.
_POSITIONS: Final = ((0.0, 0.0), (180.0, 89.9), (83.8, -5.4), (202.5, 47.2), (359.9, -89.9))
#: How files of formats begin that astrollava reads itself.
_CORE_HEADS: Final = (b"SIMPLE  =                    T", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class Finding:
    """A fault of a plugin.

    Attributes
    ----------
    plugin : str
        Its name.
    about : str
        What is at fault: ``"fetcher hips2fits"``; empty for the plugin as a whole.
    fault : str
        What is wrong.
    """

    plugin: str
    about: str
    fault: str


def inspect_plugins(plugins: Plugins, names: Iterable[str] = ()) -> list[Finding]:
    """Find the faults of plugins; nothing is asked of the network.

    Parameters
    ----------
    plugins : Plugins
        Those there are.
    names : iterable of str, optional
        Those to look at; all by default.

    Returns
    -------
    list of Finding
        Empty where all is well.
    """
    from astrollava.hooks._giving import kind_of

    wanted = set(names)
    findings = [
        Finding(broken.name, "", broken.reason)
        for broken in plugins.broken
        if not wanted or broken.name in wanted
    ]
    for plugin in plugins.loaded:
        if wanted and plugin.name not in wanted:
            continue
        for kind, given in plugin.gives.items():
            for name in given:
                thing = plugins.offered(kind)[name].value
                findings += [
                    Finding(plugin.name, f"{kind_of(kind)} {name}", fault)
                    for fault in find_faults(kind, thing)
                ]
    return findings


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
    look = _LOOKS.get(kind)
    if look is None:
        return []
    try:
        return list(look(thing))
    except (Exception, SystemExit) as error:
        return [f"looking at it fails with {type(error).__name__}: {error}"]


def _texts(thing: Any, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(thing, name, None)
        if not isinstance(value, str) or not value.strip():
            yield f"its {name} is {value!r}, expected words"


def _address(thing: Any) -> Iterator[str]:
    url = getattr(thing, "url", None)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield f"its url is {url!r}, expected an address: https://..."


def _fetcher(thing: Any) -> Iterator[str]:
    import astropy.units as u

    yield from _texts(thing, "survey", "licence", "credit", "wavelength")
    yield from _address(thing)
    bands, default = getattr(thing, "bands", None), getattr(thing, "default_bands", None)
    if not _are_names(bands):
        yield f"its bands are {bands!r}, expected a tuple of different names"
    elif not _are_names(default) or not set(default) <= set(bands):
        yield f"its default_bands are {default!r}, expected some of {', '.join(bands)}"
    hosts = getattr(thing, "hosts", None)
    if not _are_names(hosts) or not all(_HOST.fullmatch(host) for host in hosts):
        yield f"its hosts are {hosts!r}, expected names without https:// or a path"
    yield from _angles(thing, "pixel_scale", "max_size")
    scales = getattr(thing, "scale_range", None)
    if (
        not isinstance(scales, tuple)
        or len(scales) != 2
        or not all(_is_angle(scale) for scale in scales)
    ):
        yield f"its scale_range is {scales!r}, expected two angles a pixel, the finest first"
    elif not scales[0] <= scales[1]:
        yield f"its scale_range begins with {scales[0]}, which is coarser than {scales[1]}"
    elif _is_angle(native := getattr(thing, "pixel_scale", None)) and not (
        scales[0] * (1 - 1e-9) <= native <= scales[1] * (1 + 1e-9)
    ):
        yield f"its pixel_scale {native} is not in its scale_range"
    pixels = getattr(thing, "max_pixels", None)
    if type(pixels) is not int or pixels < 1:
        yield f"its max_pixels is {pixels!r}, expected a whole number above zero"
    depth = getattr(thing, "depth", None)
    if depth is not None and (
        isinstance(depth, bool | u.Quantity) or not isinstance(depth, int | float)
    ):
        yield f"its depth is {depth!r}, expected an AB magnitude or None"
    yield from _footprint(thing)


def _footprint(thing: Any) -> Iterator[str]:
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    contains = getattr(getattr(thing, "footprint", None), "contains", None)
    if not callable(contains):
        yield "its footprint has no method contains(position)"
        return
    said = [contains(SkyCoord(ra * u.deg, dec * u.deg)) for ra, dec in _POSITIONS]
    if any(answer is not None and type(answer) is not bool for answer in said):
        yield f"its footprint says {said!r}, expected True, False, or None where it is not known"


def _angles(thing: Any, *names: str) -> Iterator[str]:
    for name in names:
        if not _is_angle(getattr(thing, name, None)):
            yield f"its {name} is {getattr(thing, name, None)!r}, expected an angle above zero"


def _is_angle(value: Any) -> bool:
    import astropy.units as u

    return bool(
        isinstance(value, u.Quantity)
        and value.isscalar
        and value.unit.is_equivalent(u.deg)
        and value > 0 * u.deg
    )


def _are_names(value: Any) -> TypeGuard[tuple[str, ...]]:
    return bool(
        isinstance(value, tuple)
        and value
        and all(isinstance(name, str) and name.strip() for name in value)
        and len(set(value)) == len(value)
    )


def _fact_provider(thing: Any) -> Iterator[str]:
    yield from _texts(thing, "credit")
    yield from _address(thing)


def _reader(thing: Any) -> Iterator[str]:
    suffixes = getattr(thing, "suffixes", None)
    if not _are_names(suffixes) or not all(suffix.startswith(".") for suffix in suffixes):
        yield f"its suffixes are {suffixes!r}, expected a tuple such as ('.xisf',)"
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


def _exporter(thing: Any) -> Iterator[str]:
    suffix = getattr(thing, "suffix", None)
    if not isinstance(suffix, str) or not re.fullmatch(r"\.\w[\w.-]*", suffix):
        yield f"its suffix is {suffix!r}, expected one such as '.bib'"


def _model(entry: Any) -> Iterator[str]:
    yield from _texts(entry, "title", "licence")
    for role, file in entry.files.items():
        if file.sha256 is None and entry.revision is None:
            yield f"its {role} file has neither a sha256 nor a revision: it may change unseen"


_LOOKS: Final[dict[Kind, Callable[[Any], Iterator[str]]]] = {
    "fetchers": _fetcher,
    "models": _model,
    "readers": _reader,
    "stretches": _stretch,
    "fact_providers": _fact_provider,
    "exporters": _exporter,
}
