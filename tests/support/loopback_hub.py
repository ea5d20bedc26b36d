"""A hub on the loopback device: the routes of the real one, the troubles of real networks."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

__all__ = ["COMMIT", "Hub", "Request", "environment", "serving", "use", "wait_for_partial"]

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Request:
    """A request that came."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Hub:
    """Repositories, and what goes wrong with them."""

    #: "owner/name" -> file name -> content.
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    #: file name -> what is sent instead of its content.
    instead: dict[str, bytes] = field(default_factory=dict)
    #: Bytes after which a connection is cut, one for each of the next GETs of a file.
    cuts: list[int] = field(default_factory=list)
    #: Bytes after which nothing more comes, one for each of the next GETs of a file.
    stalls: list[int] = field(default_factory=list)
    #: Statuses that are answered to the next requests in place of what was asked for.
    statuses: list[int] = field(default_factory=list)
    #: Whether ranges are honoured.
    ranges: bool = True
    #: Headers that are changed: name -> value, None for none.
    headers: dict[str, str | None] = field(default_factory=dict)
    #: Seconds between two pieces of 64 kB.
    pause: float = 0.0
    #: Where files are sent from, as the real hub does from another host; itself where empty.
    elsewhere: str = ""
    licence: str | None = "apache-2.0"
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def gets(self, name: str = ".gguf") -> list[Request]:
        """Return the downloads that were asked for, in order."""
        return [r for r in self.requests if r.method == "GET" and r.path.endswith(name)]


def _answer(hub: Hub, request: BaseHTTPRequestHandler) -> None:
    path = unquote(urlsplit(request.path).path)
    sent = request.headers
    hub.requests.append(
        Request(request.command, path, sent.get("Range"), sent.get("Authorization"))
    )
    if hub.statuses:
        _send(hub, request, hub.statuses.pop(0), b"trouble", {})
        return
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
        _send_listing(hub, request, found[1], found[2])
    elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
        _send_tree(hub, request, found[1])
    elif found := re.fullmatch(r"/(?:cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        _send_file(hub, request, found[1], found[2], found[3])
    else:
        _send(hub, request, 404, b"no such route", {"X-Error-Code": "RepoNotFound"})


def _send_listing(
    hub: Hub, request: BaseHTTPRequestHandler, repo: str, revision: str | None
) -> None:
    files = hub.repositories.get(repo)
    if files is None:
        _send(hub, request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        return
    if revision not in {None, "main", COMMIT}:
        _send(hub, request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return
    body: dict[str, Any] = {
        "id": repo,
        "sha": COMMIT,
        "cardData": {"license": hub.licence} if hub.licence else None,
        "siblings": [
            {
                "rfilename": name,
                "size": len(content),
                "lfs": {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 134,
                },
            }
            for name, content in files.items()
        ],
    }
    _send(hub, request, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _send_tree(hub: Hub, request: BaseHTTPRequestHandler, repo: str) -> None:
    files = hub.repositories.get(repo)
    if files is None:
        _send(hub, request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        return
    found = [
        {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }
        for name, content in files.items()
    ]
    _send(hub, request, 200, json.dumps(found).encode(), {"Content-Type": "application/json"})


def _send_file(
    hub: Hub, request: BaseHTTPRequestHandler, repo: str, revision: str, name: str
) -> None:
    files = hub.repositories.get(repo)
    if files is None:
        _send(hub, request, 404, b"", {"X-Error-Code": "RepoNotFound"})
    elif revision not in {"main", COMMIT}:
        _send(hub, request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
    elif name not in files:
        headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
        _send(hub, request, 404, b"", headers)
    else:
        content = files[name]
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
        }
        if hub.elsewhere and not request.path.startswith("/cdn/"):
            headers["Location"] = f"{hub.elsewhere}/cdn{request.path}"
            _send(hub, request, 302, b"", headers)
            return
        _send(hub, request, 200, hub.instead.get(name, content), headers, whole=False)


def _send(
    hub: Hub,
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    *,
    whole: bool = True,
) -> None:
    start = 0
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
    if not whole and hub.ranges and asked:
        start = int(asked[1])
        headers = {**headers, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        status = 206
    request.send_response(status)
    kept = {**headers, "Content-Length": str(len(body) - start), **hub.headers}
    for name, value in kept.items():
        if value is not None:
            request.send_header(name, value)
    request.end_headers()
    if request.command == "HEAD":
        return
    cut = hub.cuts.pop(0) if not whole and hub.cuts else None
    stall = hub.stalls.pop(0) if not whole and hub.stalls else None
    stop = len(body) if cut is None and stall is None else start + (cut or stall or 0)
    for at in range(start, min(stop, len(body)), 1 << 16):
        request.wfile.write(body[at : min(at + (1 << 16), stop)])
        request.wfile.flush()
        if hub.pause:
            time.sleep(hub.pause)
    if stall is not None:
        hub.released.wait(120)
    if stop < len(body):
        request.close_connection = True


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback device."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(hub, self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests look at `Hub.requests`."""

        def handle(self) -> None:
            # A client that is killed is a part of some tests.
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()


def use(patch: pytest.MonkeyPatch, hub: Hub, cache: Any, *, timeout: float = 60.0) -> None:
    """Let huggingface_hub ask `hub` and keep its cache in `cache`, in this process.

    The time-out is long: a busy machine is no network in trouble.
    """
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    changes: dict[str, Any] = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DOWNLOAD_TIMEOUT": timeout,
        "HF_HUB_ETAG_TIMEOUT": timeout,
    }
    for name, value in changes.items():
        patch.setattr(constants, name, value)


def environment(hub: Hub, cache: Any) -> dict[str, str]:
    """Return the environment under which another process does the same."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        "HF_HUB_ETAG_TIMEOUT": "60",
        "HF_HUB_OFFLINE": "0",
    }


def wait_for_partial(cache: Path, size: int, seconds: float = 120) -> None:
    """Wait until more than `size` bytes of a file have come, of which the hub holds back the rest.

    With `Hub.stalls`: a hub that is only slow may have sent all before anybody looks.
    """

    def came() -> bool:
        # A small file beside it may be whole, and be gone from here, just now.
        with suppress(FileNotFoundError):
            return any(path.stat().st_size > size for path in cache.rglob("*.incomplete"))
        return False

    end = time.monotonic() + seconds
    while not came():
        assert time.monotonic() < end, "not so many bytes came"
        time.sleep(0.01)
