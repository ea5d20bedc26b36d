"""Whether what a thing of a plugin says of itself has the right types and agrees with itself.

Nothing of it is called and nothing is asked: this is looked at whenever plugins are loaded.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from astrollava._plugged import Kind

__all__ = ["find_misstatements"]

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


def find_misstatements(kind: Kind, thing: Any) -> list[str]:
    """Find what a fetcher, reader and so on says wrongly of itself.

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


def _is_angle(value: Any) -> bool:
    """Whether it is one angle above zero."""
    import astropy.units as u

    return bool(
        isinstance(value, u.Quantity)
        and value.isscalar
        and value.unit.is_equivalent(u.deg)
        and value > 0 * u.deg
    )


def _texts(thing: Any, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(thing, name, None)
        if not isinstance(value, str) or not value.strip():
            yield f"its {name} is {value!r}, expected words"


def _address(thing: Any) -> Iterator[str]:
    url = getattr(thing, "url", None)
    if _host_and_port(url) is None:
        yield f"its url is {url!r}, expected an address: https://..."


def _host_and_port(url: Any) -> tuple[str, int] | None:
    """Return where an address leads; None where it is none."""
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}[parts.scheme]
        port = parts.port
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    host = (parts.hostname or "").rstrip(".")
    return (host, port or usual) if host else None


def _are_names(value: Any) -> TypeGuard[tuple[str, ...]]:
    return bool(
        isinstance(value, tuple)
        and value
        and all(isinstance(name, str) and name.strip() for name in value)
        and len(set(value)) == len(value)
    )


def _fetcher(thing: Any) -> Iterator[str]:
    yield from _texts(thing, "survey", "licence", "credit", "wavelength", "version")
    yield from _address(thing)
    bands, default = getattr(thing, "bands", None), getattr(thing, "default_bands", None)
    if not _are_names(bands):
        yield f"its bands are {bands!r}, expected a tuple of different names"
    elif not _are_names(default) or not set(default) <= set(bands):
        yield f"its default_bands are {default!r}, expected some of {', '.join(bands)}"
    if not callable(getattr(getattr(thing, "footprint", None), "contains", None)):
        yield "its footprint has no method contains(position)"
    yield from _hosts(thing)
    yield from _packages(thing)
    yield from _scales(thing)
    yield from _numbers(thing)
    for method in ("plan", "fetch"):
        names = ("pixels", "bands", "timeout")[: 3 if method == "fetch" else 2]
        yield from _takes(thing, method, ("position", "size"), names)


def _packages(thing: Any) -> Iterator[str]:
    names = getattr(thing, "requires", ())
    # A dotted name cannot be looked for without importing what is before the dot.
    if names != () and not (_are_names(names) and all(name.isidentifier() for name in names)):
        alone = f", in a tuple: ({names!r},)" if isinstance(names, str) else ""
        yield f"its requires are {names!r}, expected packages as they are imported{alone}"
    install = getattr(thing, "install", "")
    if not isinstance(install, str):
        yield f"its install is {install!r}, expected what pip is to be given"


def _takes(
    thing: Any, method: str, places: Sequence[str], names: Sequence[str] = ()
) -> Iterator[str]:
    """Tell where a method cannot be called as the contract calls it."""
    try:
        signature = inspect.signature(getattr(thing, method))
    except ValueError:  # written in C, which says nothing of it
        return
    except (AttributeError, TypeError):
        yield f"it has no method {method}()"
        return
    try:
        signature.bind(*places, **dict.fromkeys(names))
    except TypeError as error:
        called = ", ".join([*places, *(f"{name}=..." for name in names)])
        yield f"its {method}{signature} cannot be called as {method}({called}): {error}"


def _hosts(thing: Any) -> Iterator[str]:
    hosts = getattr(thing, "hosts", None)
    if not _are_names(hosts) or not all(_HOST.fullmatch(host) for host in hosts):
        alone = f", in a tuple: ({hosts!r},)" if isinstance(hosts, str) else ""
        yield f"its hosts are {hosts!r}, expected names without https:// or a path{alone}"
        return
    base = getattr(thing, "base_url", None)
    if not isinstance(base, str):
        yield f"its base_url is {base!r}, expected an address, or '' for none"
    # What was named when it was made may be asked in any case.
    elif base and getattr(thing, "private", None) is None:
        place = _host_and_port(base)
        if place is None:
            yield f"its base_url is {base!r}, expected an address: https://..."
            return
        host, port = place
        named = host if port in (80, 443) else f"{host}:{port}"
        if named not in hosts and f"{host}:{port}" not in hosts:
            yield (
                f"its base_url {base!r} is at none of its hosts {', '.join(hosts)}: say"
                f" hosts = ({named!r},)"
            )


def _scales(thing: Any) -> Iterator[str]:
    for name in ("pixel_scale", "max_size"):
        value = getattr(thing, name, None)
        if not _is_angle(value):
            yield f"its {name} is {value!r}, expected an angle above zero"
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


def _numbers(thing: Any) -> Iterator[str]:
    for name in ("max_pixels", "at_once", "max_bytes"):
        value = getattr(thing, name, None)
        if type(value) is not int or value < 1:
            yield f"its {name} is {value!r}, expected a whole number above zero"
    rate = getattr(thing, "rate", None)
    if not _is_number(rate) or not rate > 0:
        yield f"its rate is {rate!r}, expected requests a second, above zero"
    depth = getattr(thing, "depth", None)
    if depth is not None and not _is_number(depth):
        yield f"its depth is {depth!r}, expected an AB magnitude or None"


def _is_number(value: Any) -> TypeGuard[float]:
    # A Quantity is none: it has a unit.
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _fact_provider(thing: Any) -> Iterator[str]:
    yield from _texts(thing, "credit")
    yield from _address(thing)
    yield from _packages(thing)
    yield from _takes(thing, "facts", ("position", "radius"), ("timeout",))


def _reader(thing: Any) -> Iterator[str]:
    suffixes = getattr(thing, "suffixes", None)
    if not _are_names(suffixes) or not all(suffix.startswith(".") for suffix in suffixes):
        yield f"its suffixes are {suffixes!r}, expected a tuple such as ('.xisf',)"
    yield from _takes(thing, "accepts", ("head",))
    yield from _takes(thing, "read", ("file",), ("max_pixels",))


def _exporter(thing: Any) -> Iterator[str]:
    suffix = getattr(thing, "suffix", None)
    if not isinstance(suffix, str) or not re.fullmatch(r"\.\w[\w.-]*", suffix):
        yield f"its suffix is {suffix!r}, expected one such as '.bib'"
    yield from _packages(thing)
    yield from _takes(thing, "write", ("results", "path"))


def _model(entry: Any) -> Iterator[str]:
    yield from _texts(entry, "title", "licence")
    if entry.repo is None and entry.checkpoint is None:
        yield "it has neither a repo nor a checkpoint"


_LOOKS: Final[dict[Kind, Callable[[Any], Iterator[str]]]] = {
    "fetchers": _fetcher,
    "models": _model,
    "readers": _reader,
    "fact_providers": _fact_provider,
    "exporters": _exporter,
}
