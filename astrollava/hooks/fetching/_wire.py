"""One request over one connection, on which nothing takes longer than it may."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

from astrollava.errors import FetchRefused
from astrollava.hooks.fetching._addresses import Place, parts_of, resolve

__all__ = ["Deadline", "exchange"]

#: Seconds to wait for a connection, and for the next piece of an answer.
_CONNECT: Final = 15.0
_STALL: Final = 30.0


class Deadline:
    """The moment when all of it must be done.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, most: float = float("inf")) -> float:
        """Return the seconds that are left, at most `most`; raise `TimeoutError` for none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self.seconds:.3g} s are over")
        return min(left, most)


class _Reading(io.RawIOBase):
    """What comes from a socket, piece by piece, each asked for with the time that is left.

    A time limit of the socket's own begins anew with every byte, which a slow drip exploits.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left(_STALL))
        return self._sock.recv_into(buffer)


class _Timed:
    """A socket as `http.client` uses it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._sock, self._deadline), 1 << 16)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left(_STALL))
        self._sock.sendall(data)

    def close(self) -> None:
        """Leave it open: where no request follows, `http.client` closes it before it reads."""


@contextlib.contextmanager
def exchange(
    place: Place, method: str, headers: Mapping[str, str], data: bytes | None, deadline: Deadline
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and give the answer, of which the head has come.

    Raises
    ------
    OSError, http.client.HTTPException
        Whatever goes wrong on the way.
    FetchRefused, FetchTimeout, ServiceError
        If the host may not be asked, or cannot be found.
    """
    proxy = _proxy(place)
    with contextlib.ExitStack() as undo:
        if proxy is None:
            sock = _connected(place, deadline)
        else:
            sock = socket.create_connection(proxy, timeout=deadline.left(_CONNECT))
        undo.callback(sock.close)
        target = place.target
        if proxy is not None and place.scheme == "http":
            target = place.url
        elif proxy is not None:
            _open_tunnel(sock, place, deadline)
        if place.scheme == "https":
            sock.settimeout(deadline.left(_CONNECT))
            sock = _trust().wrap_socket(sock, server_hostname=place.host)
            undo.callback(sock.close)
        talk = http.client.HTTPConnection(place.host, place.port)
        talk.sock = _Timed(sock, deadline)
        talk.request(method, target, body=data, headers={"Host": place.authority, **headers})
        response = talk.getresponse()
        undo.callback(response.close)
        yield response


def _connected(place: Place, deadline: Deadline) -> socket.socket:
    failure: OSError | None = None
    for address in resolve(place, deadline.left(_CONNECT)):
        try:
            return socket.create_connection((address, place.port), timeout=deadline.left(_CONNECT))
        except OSError as error:
            failure = error
    assert failure is not None  # resolve gives at least one
    raise failure


def _proxy(place: Place) -> tuple[str, int] | None:
    """Return the proxy that the environment names, through which this host is reached."""
    if place.private:
        return None
    named = getproxies().get(place.scheme)
    if not named or proxy_bypass(place.host):
        return None
    parts = parts_of(named if "://" in named else f"http://{named}")
    if parts is None:
        # Not shown: it may hold a password.
        raise FetchRefused(
            f"the proxy that the environment names for {place.scheme} is no address",
            expected="http://HOST:PORT",
            hint=f"Correct or unset {place.scheme}_proxy",
        )
    if parts.scheme != "http" or not parts.hostname:
        return None
    return parts.hostname, parts.port or 80


def _open_tunnel(sock: socket.socket, place: Place, deadline: Deadline) -> None:
    host = f"[{place.host}]" if ":" in place.host else place.host
    asked = f"CONNECT {host}:{place.port} HTTP/1.1\r\nHost: {host}:{place.port}\r\n\r\n"
    timed = _Timed(sock, deadline)
    timed.sendall(asked.encode())
    # Byte by byte: what follows the head belongs to the tunnel.
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        sock.settimeout(deadline.left(_STALL))
        piece = sock.recv(1)
        if not piece or len(head) > 1 << 14:
            raise ConnectionError("the proxy's answer is none")
        head += piece
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise ConnectionError(f"the proxy says {head.splitlines()[0].decode('latin-1')[:80]!r}")


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return whom to believe: the system, and certifi's list where that is installed."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context
