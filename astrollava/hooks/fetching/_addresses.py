"""Which addresses may be asked: known hosts, and never a private network's."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from astrollava.errors import FetchRefused, FetchTimeout, InvalidRequest, ServiceError

__all__ = ["Place", "host_of", "is_public", "parts_of", "place_of", "resolve"]

_PORTS: Final = {"http": 80, "https": 443}
#: Addresses that carry one of version 4 in their last 32 bits.
_CARRYING: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


@dataclass(frozen=True)
class Place:
    """An address that may be asked.

    Attributes
    ----------
    scheme, host, port : str, str, int
        Where it is.
    target : str
        Path and query, as they go over the wire.
    private : bool
        Whether its host may be of a private network: the user named it.
    """

    scheme: str
    host: str
    port: int
    target: str
    private: bool

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.origin}{self.target}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def place_of(
    url: str, *, hosts: Sequence[str], private: str | None = None, before: Place | None = None
) -> Place:
    """Check an address.

    Parameters
    ----------
    url : str
        The address.
    hosts : sequence of str
        The hosts that may be asked: ``"sky.example"`` on the ports of http and https,
        ``"sky.example:8080"`` on that one.
    private : str, optional
        An address that the user named: what has its scheme, host and port may be asked, also in a
        private network.
    before : Place, optional
        What redirected here.

    Raises
    ------
    FetchRefused
        If it may not be asked.
    """
    what = f"a redirect from {before.host} to" if before else "the address"
    parts = _parts(url, what)
    scheme, host = parts.scheme, (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS[scheme]
    named = _parts(private, "the address") if private else None
    own = named is not None and (scheme, host, port) == (
        named.scheme,
        (named.hostname or "").rstrip("."),
        named.port or _PORTS[named.scheme],
    )
    if not own:
        _check_host(f"{what} {_shown(url)}", host, port, hosts, before)
    if before is not None and before.scheme == "https" and scheme == "http":
        raise FetchRefused(f"{what} {_shown(url)} gives up the encryption")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return Place(scheme, host, port, f"{path}?{query}" if query else path, own)


def _check_host(
    what: str, host: str, port: int, hosts: Sequence[str], before: Place | None
) -> None:
    known = {each.lower() for each in hosts}
    if f"{host}:{port}" in known:
        return
    usual = port in _PORTS.values()
    named = host if usual else f"{host}:{port}"
    hint = f"If that is the service's too, its fetcher must name it: hosts=(..., {named!r})"
    if host not in known:
        raise FetchRefused(
            f"{what} leaves the service",
            expected=f"one of its hosts: {', '.join(hosts)}" if hosts else "",
            hint=hint,
        )
    if not usual and (before is None or port != before.port):
        raise FetchRefused(f"{what} has the unusual port {port}", hint=hint)


def parts_of(url: str) -> SplitResult | None:
    """Take an address apart that somebody else wrote; None where it is none of the web.

    Examples
    --------
    >>> parts_of("https://sky.example:8080/cut").port
    8080
    >>> parts_of("http://[") or parts_of("file:///etc/passwd") or parts_of("http://a:b/")
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises where it is no port
    except ValueError:
        return None
    return parts if parts.scheme in _PORTS and host and host.isascii() else None


def host_of(base_url: str) -> str:
    """Return the host of an address that a user gave for a service.

    Raises
    ------
    InvalidRequest
        If it is no address of the web.
    """
    parts = parts_of(base_url)
    if parts is None or not parts.hostname:
        raise InvalidRequest(f"base_url is {base_url!r}", expected="an http address")
    return parts.hostname


def _parts(url: str, what: str) -> SplitResult:
    parts = parts_of(url)
    if parts is None or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url):
        raise FetchRefused(f"{what} {_shown(url)} is none", expected="http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise FetchRefused(f"{what} {parts.hostname} carries a user's name or password")
    return parts


def _shown(url: str) -> str:
    return repr(url if len(url) <= 120 else url[:117] + "...")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet.

    Examples
    --------
    >>> is_public("93.184.215.14"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        carried = found.ipv4_mapped or found.sixtofour
        if carried is None and any(found in network for network in _CARRYING):
            carried = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
    return found.is_global and not found.is_multicast and not found.is_reserved


def resolve(place: Place, seconds: float) -> list[str]:
    """Look up the IP addresses of a host.

    Connecting to these and no others defeats a name that changes its mind.

    Raises
    ------
    FetchRefused
        If none of them is public, and the host may not be private.
    FetchTimeout, ServiceError
        If there is no answer.
    """
    answers: queue.Queue[list[str] | OSError] = queue.Queue()

    def look() -> None:
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(each[4][0]) for each in found)))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    # A lookup cannot be told how long it may take, so it is left behind.
    threading.Thread(target=look, name="astrollava-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise FetchTimeout(
            f"the name {place.host} was not looked up within {seconds:.3g} s",
            hint="Is this machine connected?",
        ) from None
    if isinstance(answer, OSError):
        raise ServiceError(
            f"the name {place.host} cannot be looked up: {answer.strerror or answer}",
            hint="Is this machine connected?",
        ) from answer
    usable = answer if place.private else [each for each in answer if is_public(each)]
    if not usable:
        raise FetchRefused(
            f"{place.host} is {', '.join(answer[:3])}, an address of a private network",
            hint="If that is meant, name the service's address yourself when the fetcher is made:"
            f" base_url={place.origin!r}",
        )
    return usable
