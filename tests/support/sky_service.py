"""Cutout services on the loopback device: real HTTP, real FITS, and every trouble on demand.

``with serving() as service:`` answers at ``service.url``:

- ``/cutout``: FITS, one plane a band (``ra``, ``dec``, ``size`` in degrees, ``pixels``, ``bands``);
- ``/picture``: JPEG; ``/table``: VOTable; ``/list``: JSON.

`SkyService.route` adds the routes of another service. `SkyService.next` queues a trouble for each
of the next requests, `SkyService.always` sets one for all of them.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from astropy import units as u
from astropy.coordinates import SkyCoord

from astrollava import images
from astrollava.hooks import Fetcher, SkyImage
from astrollava.hooks.fetching import AllSky, http
from sky_answers import celestial, fits_bytes, jpeg_bytes, json_bytes, planes, votable_bytes

__all__ = [
    "Asked",
    "Handler",
    "Reply",
    "SkyFetcher",
    "SkyService",
    "Trouble",
    "Wire",
    "break_off",
    "celestial",
    "cutout",
    "drip",
    "drip_head",
    "empty_list",
    "endless",
    "fits_bytes",
    "gzip_bomb",
    "hang",
    "html_error",
    "huge_length",
    "jpeg_bytes",
    "json_bytes",
    "planes",
    "redirect",
    "serving",
    "status",
    "truncated",
    "votable_bytes",
    "wrong_type",
]

Handler = Callable[["Asked"], "Reply"]
Trouble = Callable[["Wire", Handler, "Asked"], None]


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form that was posted."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace")))

    def number(self, name: str) -> float:
        return float(self.query[name])


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    body: bytes
    kind: str = "application/fits"
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Wire:
    """One connection, to answer on as one likes."""

    def __init__(self, handler: BaseHTTPRequestHandler, released: threading.Event) -> None:
        self._handler = handler
        self.released = released

    def head(self, code: int, headers: Mapping[str, str]) -> None:
        self._handler.send_response(code)
        self._handler.send_header("Connection", "close")
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def write(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def send(self, reply: Reply) -> None:
        headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))}
        self.head(reply.code, headers | dict(reply.headers))
        self.write(reply.body)


class SkyService:
    """Routes, and what goes wrong with them."""

    def __init__(self) -> None:
        self.url = ""
        #: Seconds that each answer takes.
        self.latency = 0.0
        self.asked: list[Asked] = []
        #: The most requests that were being answered at a time.
        self.busiest = 0
        self.released = threading.Event()
        self._routes: dict[str, Handler] = {}
        self._next: list[Trouble | None] = []
        self._always: Trouble | None = None
        self._lock = threading.Lock()
        self._busy = 0
        self.route("/cutout", cutout)
        self.route("/picture", _picture)
        self.route("/table", lambda asked: Reply(votable_bytes(), "application/x-votable+xml"))
        self.route("/list", lambda asked: Reply(json_bytes([{"id": 1}]), "application/json"))

    def route(self, path: str, handler: Handler) -> None:
        """Answer what is asked of a path, and below it where it ends with a slash."""
        self._routes[path] = handler

    def next(self, *troubles: Trouble | None) -> None:
        """Give the next requests these troubles in turn; None for none."""
        self._next.extend(troubles)

    def always(self, trouble: Trouble | None) -> None:
        """Give every request this trouble; None ends it."""
        self._always = trouble

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        length = int(request.headers.get("Content-Length") or 0)
        asked = Asked(
            request.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in request.headers.items()},
            request.rfile.read(length),
        )
        with self._lock:
            self.asked.append(asked)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            trouble = self._next.pop(0) if self._next else self._always
        wire = Wire(request, self.released)
        try:
            if self.latency:
                time.sleep(self.latency)
            handler = self._find(asked.path)
            reply = None if trouble else _handled(handler, asked)
        finally:
            # Before it is sent: a client that has its answer may send another request at once.
            with self._lock:
                self._busy -= 1
        if reply is not None:
            wire.send(reply)
        elif trouble is not None:
            trouble(wire, handler, asked)

    def _find(self, path: str) -> Handler:
        if path in self._routes:
            return self._routes[path]
        below = [each for each in self._routes if each.endswith("/") and path.startswith(each)]
        if below:
            return self._routes[max(below, key=len)]
        return lambda asked: Reply(b"no such route: " + path.encode(), "text/plain", 404)


@contextmanager
def serving() -> Iterator[SkyService]:
    """Serve on a free port of the loopback device."""
    service = SkyService()

    class Handling(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            self.close_connection = True
            # The client may have had enough.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                service._answer(self)

        do_GET = do_POST = do_HEAD = _do

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handling)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handled(handler: Handler, asked: Asked) -> Reply:
    try:
        return handler(asked)
    except (KeyError, ValueError) as error:
        return Reply(f"bad request: {error!r}".encode(), "text/plain", 400)


def status(code: int, body: bytes = b"", *, retry_after: float | str | None = None) -> Trouble:
    """Answer with a status: 404 outside the footprint, 503 in trouble."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        page = body or f"<html><title>{code} trouble</title></html>".encode()
        wire.send(Reply(page, "text/html", code, headers))

    return trouble


def drip(pause: float = 0.05) -> Trouble:
    """Send a byte at a time, with the right length announced."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        reply = handler(asked)
        wire.head(200, {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))})
        for byte in reply.body:
            wire.write(bytes([byte]))
            if wire.released.wait(pause):
                return

    return trouble


def drip_head(pause: float = 0.05) -> Trouble:
    """Send headers without end, a byte at a time."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not wire.released.wait(pause):
            wire.write(b"a")

    return trouble


def hang() -> Trouble:
    """Say nothing at all."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.released.wait(60)

    return trouble


def html_error(
    line: str = "Internal error: no connection to the database", kind: str = "text/html"
) -> Trouble:
    """Answer an error page with the status 200."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        page = f"<!DOCTYPE html><html><head><style>p {{}}</style></head><body>\n<p>{line}</p>"
        wire.send(Reply(page.encode(), kind))

    return trouble


def truncated(share: float = 0.5) -> Trouble:
    """Send a part of the answer, and say that it is all."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        reply = handler(asked)
        wire.send(Reply(reply.body[: int(share * len(reply.body))], reply.kind))

    return trouble


def break_off(share: float = 0.5) -> Trouble:
    """Announce the whole answer, send a part of it, and hang up."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        reply = handler(asked)
        wire.head(200, {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))})
        wire.write(reply.body[: int(share * len(reply.body))])

    return trouble


def empty_list(body: bytes = b"[]", kind: str = "application/json") -> Trouble:
    """Answer that there is nothing."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.send(Reply(body, kind))

    return trouble


def redirect(to: str, code: int = 302) -> Trouble:
    """Send the client elsewhere."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.send(Reply(b"", "text/plain", code, {"Location": to}))

    return trouble


def huge_length(size: int = 10_000_000_000) -> Trouble:
    """Announce 10 GB, and begin to send them."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.head(200, {"Content-Type": handler(asked).kind, "Content-Length": str(size)})
        while not wire.released.is_set():
            wire.write(bytes(1 << 16))

    return trouble


def endless() -> Trouble:
    """Send without end, in pieces, and announce no length."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.head(200, {"Content-Type": handler(asked).kind, "Transfer-Encoding": "chunked"})
        while not wire.released.is_set():
            wire.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    return trouble


def gzip_bomb(size: int = 1 << 29) -> Trouble:
    """Send a little that unpacks to much."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        headers = {"Content-Encoding": "gzip"}
        wire.send(Reply(_bomb(size), handler(asked).kind, headers=headers))

    return trouble


@functools.cache
def _bomb(size: int) -> bytes:
    packing = zlib.compressobj(1, zlib.DEFLATED, 31)
    piece = bytes(1 << 22)
    parts = [packing.compress(piece) for _ in range(size // len(piece))]
    return b"".join([*parts, packing.flush()])


def wrong_type(kind: str = "image/png") -> Trouble:
    """Send the right bytes under the name of something else."""

    def trouble(wire: Wire, handler: Handler, asked: Asked) -> None:
        wire.send(Reply(handler(asked).body, kind))

    return trouble


def cutout(asked: Asked) -> Reply:
    bands = asked.query.get("bands", "g,r,z").split(",")
    pixels = int(asked.query.get("pixels", "64"))
    ra, dec, size = (asked.number(name) for name in ("ra", "dec", "size"))
    return Reply(fits_bytes(ra, dec, size, pixels, bands))


def _picture(asked: Asked) -> Reply:
    pixels = int(asked.query.get("pixels", "64"))
    return Reply(jpeg_bytes(asked.number("ra"), asked.number("dec"), pixels), "image/jpeg")


class SkyFetcher(Fetcher):
    """The service above as a fetcher: what a plugin's author would write for it."""

    name = "sky"
    survey = "Simulated Sky"
    bands = ("g", "r", "z")
    default_bands = ("g", "r", "z")
    wavelength = "optical"
    footprint = AllSky()
    pixel_scale = 2.0 * u.arcsec
    scale_range = (0.5 * u.arcsec, 60.0 * u.arcsec)
    max_size = 1.0 * u.deg
    max_pixels = 1024
    depth = 23.0
    licence = "CC0"
    credit = "Simulated Sky"
    url = "https://sky.example/"
    hosts = ("sky.example",)
    base_url = "https://sky.example"
    rate = 1000.0
    at_once = 8

    def fetch(
        self,
        position: SkyCoord,
        size: u.Quantity,
        *,
        pixels: int | None = None,
        bands: Sequence[str] | None = None,
        timeout: float = 60.0,
    ) -> SkyImage:
        wanted = self.plan(position, size, pixels=pixels, bands=bands)
        asked = {
            "ra": wanted.ra,
            "dec": wanted.dec,
            "size": wanted.degrees,
            "pixels": wanted.pixels,
            "bands": ",".join(wanted.bands),
        }
        answer = self.get("cutout", asked, accept=http.FITS, timeout=timeout)
        return images.read(answer.body)
