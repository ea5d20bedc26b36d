"""A service on this machine: answers as it is told to, and misbehaves on demand."""

from __future__ import annotations

import functools
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

__all__ = ["FAULTS", "Answer", "Fault", "Request", "Service", "serving"]

Fault = Literal[
    "not found", "server error", "unavailable", "unavailable once", "hang", "drip", "html",
    "empty", "truncated", "broken off", "redirect", "huge", "bomb",
]  # fmt: skip

#: What a service does wrong -> in words.
FAULTS: Final[Mapping[Fault, str]] = {
    "not found": "answers 404 with a page",
    "server error": "answers 500 with a line of text",
    "unavailable": "answers 503, always",
    "unavailable once": "answers 503, and the next time as it should",
    "hang": "takes the request and says nothing, for ten seconds",
    "drip": "sends a byte now and then, for ten seconds",
    "html": "answers 200 with a page that says what went wrong",
    "empty": "answers 200 with nothing",
    "truncated": "answers with half of what it should, as if that were all",
    "broken off": "closes the connection in the middle",
    "redirect": "sends elsewhere, to a host that is not its own",
    "huge": "announces 10 GB",
    "bomb": "sends a megabyte that unpacks to a gigabyte",
}

_PAGE: Final = (
    b"<html><head><title>Sky</title></head><body>\n<h1>No such field</h1></body></html>\n"
)
#: Seconds between the bytes of a drip.
_DRIP: Final = 0.2
#: Seconds after which it hangs up on who has not: a fetcher without a deadline must fail, not wait.
_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class Request:
    """What the service was asked.

    Attributes
    ----------
    method : str
        ``"GET"`` or ``"POST"``.
    path : str
        Without the query.
    query : mapping
        The query; of a name that comes twice, the last value.
    body : bytes
        What was posted.
    headers : mapping
        With names in lower case.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What the service says.

    Attributes
    ----------
    body : bytes
        The content.
    content_type : str
        Its type.
    status : int
        The HTTP status.
    headers : mapping
        More headers.
    """

    body: bytes = b""
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Service:
    """A service at `url`, in threads of its own.

    Parameters
    ----------
    answer : callable
        `Request` -> `Answer`; may be changed at any time.

    Attributes
    ----------
    url : str
        Where it is, such as ``"http://127.0.0.1:41234"``.
    requests : list of Request
        What it was asked.
    fault : str or None
        What it does wrong from now on: see `FAULTS`.
    latency : float
        Seconds before it answers.
    elsewhere : str
        Where a ``"redirect"`` leads.
    """

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.fault: Fault | None = None
        self.latency = 0.0
        # TEST-NET-1 (RFC 5737): nobody lives there, and no name has to be looked up.
        self.elsewhere = "http://192.0.2.1/elsewhere"
        self._closing = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service._serve(self, b"")

            def do_HEAD(self) -> None:
                service._serve(self, b"")

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                service._serve(self, self.rfile.read(length))

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the requests are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Whoever hangs is let go when the service closes; nothing else is to wait for.
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop; whoever waits for an answer is hung up on."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        parts = urlsplit(handler.path)
        request = Request(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            body,
            {name.lower(): value for name, value in handler.headers.items()},
        )
        self.requests.append(request)
        self._closing.wait(self.latency)
        fault = self.fault
        if fault == "unavailable once":
            self.fault, fault = None, "unavailable"
        # The other side may have left: that is what some faults are for.
        with suppress(OSError):
            if fault is None:
                _send(handler, self.answer(request))
            else:
                self._misbehave(handler, fault, request)

    def _misbehave(self, handler: BaseHTTPRequestHandler, fault: Fault, request: Request) -> None:
        if fault in _INSTEAD:
            _send(handler, _INSTEAD[fault])
            return
        if fault == "redirect":
            _send(handler, Answer(status=302, headers={"Location": self.elsewhere}))
            return
        if fault == "hang":
            self._closing.wait(_PATIENCE)
            handler.close_connection = True
            return
        if fault == "bomb":
            packed = {"Content-Encoding": "gzip"}
            right = self.answer(request).content_type
            _send(handler, Answer(_bomb(), right, headers=packed))
            return
        right_answer = self.answer(request)
        body = right_answer.body
        if fault == "truncated":
            _send(handler, Answer(body[: len(body) // 2], right_answer.content_type))
            return
        handler.close_connection = True
        length = 10 * 1024**3 if fault == "huge" else len(body)
        _begin(handler, Answer(b"", right_answer.content_type), length)
        if fault == "drip":
            for position in range(min(len(body), round(_PATIENCE / _DRIP))):
                handler.wfile.write(body[position : position + 1])
                if self._closing.wait(_DRIP):
                    return
        elif fault == "broken off":
            handler.wfile.write(body[: len(body) // 2])
        else:
            # As long as it is listened to, or for a second: enough to fill any buffer.
            ends = time.monotonic() + 1.0
            while time.monotonic() < ends and not self._closing.is_set():
                handler.wfile.write(b"\0" * 65536)


_INSTEAD: Final[dict[Fault, Answer]] = {
    "not found": Answer(_PAGE, "text/html; charset=utf-8", 404),
    "server error": Answer(b"out of order\n", "text/plain", 500),
    "unavailable": Answer(b"try again later\n", "text/plain", 503, {"Retry-After": "0"}),
    "html": Answer(_PAGE, "text/html; charset=utf-8"),
    "empty": Answer(),
}


def _begin(handler: BaseHTTPRequestHandler, answer: Answer, length: int) -> None:
    handler.send_response(answer.status)
    handler.send_header("Content-Type", answer.content_type)
    handler.send_header("Content-Length", str(length))
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    _begin(handler, answer, len(answer.body))
    if handler.command != "HEAD":
        handler.wfile.write(answer.body)


@functools.cache
def _bomb() -> bytes:
    # Sound to its end (RFC 1952), so that who unpacks all of it meets no other error on the way.
    nothing, times = bytes(1 << 20), 1024
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush a piece depends on none before it: the same one may come again and again.
    piece = packer.compress(nothing) + packer.flush(zlib.Z_FULL_FLUSH)
    check = functools.reduce(lambda crc, _: zlib.crc32(nothing, crc), range(times), 0)
    end = packer.flush() + check.to_bytes(4, "little") + (times << 20).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + piece * times + end


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Service]:
    """Run a service for as long as a ``with`` block lasts.

    Parameters
    ----------
    answer : callable
        `Request` -> `Answer`.
    """
    service = Service(answer)
    try:
        yield service
    finally:
        service.close()
