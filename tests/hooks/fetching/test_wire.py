"""Encryption and proxies: real certificates, a real proxy, nothing but the loopback device."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from astrollava.errors import FetchRefused, ServiceError
from astrollava.hooks.fetching import _wire, http

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The proxies of this machine are none of the tests' business."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    _wire._trust.cache_clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sky",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made, key


class Handler(BaseHTTPRequestHandler):
    lines: list[str]

    def do_GET(self) -> None:
        self.lines.append(self.requestline)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_CONNECT(self) -> None:
        self.lines.append(self.requestline)
        self.send_error(403, "not through me")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def listening(context: ssl.SSLContext | None = None) -> tuple[ThreadingHTTPServer, list[str]]:
    lines: list[str] = []
    handler = type("Handler", (Handler,), {"lines": lines})

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that refuses the certificate is what a test wants."""

    server = Server(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, lines


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server, _ = listening(context)
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    server, lines = listening()
    yield f"http://127.0.0.1:{server.server_address[1]}", lines
    server.shutdown()
    server.server_close()


def test_an_encrypted_answer_comes(
    encrypted: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    _wire._trust.cache_clear()
    assert http.get(encrypted + "/x", hosts=(), private=encrypted, timeout=5).text == "hello"


def test_a_certificate_nobody_vouches_for_is_refused(encrypted: str) -> None:
    """Whoever sits between would otherwise choose the pixels."""
    with pytest.raises(ServiceError, match=r"(?i)certificate"):
        http.get(encrypted + "/x", hosts=(), private=encrypted, timeout=5)


def test_a_certificate_of_another_host_is_refused(
    encrypted: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    _wire._trust.cache_clear()
    other = encrypted.replace("127.0.0.1", "localhost")
    with pytest.raises(ServiceError, match=r"(?i)certificate|mismatch"):
        http.get(other + "/x", hosts=(), private=other, timeout=5)


def test_a_server_that_speaks_no_tls_is_an_error(proxy: tuple[str, list[str]]) -> None:
    address = proxy[0].replace("http:", "https:")
    with pytest.raises(ServiceError, match="connection"):
        http.get(address + "/x", hosts=(), private=address, timeout=5)


def test_the_environments_proxy_is_used(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observatories let nothing out past theirs."""
    address, lines = proxy
    monkeypatch.setenv("http_proxy", address)
    answer = http.get("http://sky.example/a?b=1", hosts=("sky.example",), timeout=5)
    assert answer.text == "hello"
    assert lines == ["GET http://sky.example/a?b=1 HTTP/1.1"]
    with pytest.raises(FetchRefused):
        http.get("http://10.0.0.1/", hosts=("sky.example",), timeout=5)


@pytest.mark.parametrize("named", ["http://[", "proxy.example:none"])
def test_a_proxy_that_is_no_address_is_told_without_its_password(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ValueError of Python's was called a fault of the plugin that asked."""
    monkeypatch.setenv("http_proxy", named.replace("://", "://me:hunter2@"))
    with pytest.raises(FetchRefused, match="the proxy that the environment names") as caught:
        http.get("http://sky.example/a", hosts=("sky.example",), timeout=5)
    assert "unset http_proxy" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_proxy_that_refuses_says_so(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, lines = proxy
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(ServiceError, match="not through me"):
        http.get("https://sky.example/a", hosts=("sky.example",), timeout=5)
    assert lines == ["CONNECT sky.example:443 HTTP/1.1"]


def test_what_is_named_as_private_goes_past_the_proxy(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, lines = proxy
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert http.get(address + "/x", hosts=(), private=address, timeout=5).text == "hello"
    assert lines == ["GET /x HTTP/1.1"]
