"""The client: whatever a service does, what comes is bounded in size, time, place and kind."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sky_service as sky
from astrollava.errors import CutoutTooLarge, FetchError, FetchRefused, FetchTimeout, ServiceError
from astrollava.hooks.fetching import http
from astrollava.hooks.fetching.http import first_line
from sky_service import Asked, Reply, SkyService


def get(service: SkyService, path: str = "/list", **options: object) -> http.Answer:
    asked: dict[str, object] = {"accept": http.JSON, "timeout": 5.0, "max_bytes": 1 << 20}
    asked = {"hosts": (), **asked, **options}
    return http.get(service.url + path, private=service.url, **asked)  # type: ignore[arg-type]


def test_an_answer_comes_whole(service: SkyService) -> None:
    answer = get(service, params={"a": 1, "b": ["x y", "ü"], "c": None})
    assert (answer.status, answer.content_type, answer.json()) == (
        200,
        "application/json",
        [{"id": 1}],
    )
    assert answer.url.endswith("/list?a=1&b=x+y&b=%C3%BC")
    assert service.asked[0].headers["user-agent"].startswith("astrollava/")


def test_a_form_is_posted(service: SkyService) -> None:
    service.route("/form", lambda asked: Reply(asked.body, "text/plain"))
    answer = http.post(service.url + "/form", {"q": "a&b"}, hosts=(), private=service.url)
    assert answer.text == "q=a%26b"
    assert service.asked[0].form == {"q": "a&b"}


@pytest.mark.parametrize(("code", "line"), [(404, "404 trouble"), (503, "503 trouble")])
def test_a_status_of_failure_names_itself(service: SkyService, code: int, line: str) -> None:
    """A plugin tells 'nothing there' from 'try again' by the status alone."""
    service.next(sky.status(code, retry_after=7))
    with pytest.raises(ServiceError) as caught:
        get(service)
    assert (caught.value.status, caught.value.first_line) == (code, line)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    "trouble", [sky.hang(), sky.drip(0.05), sky.drip_head(0.05)], ids=["hang", "drip", "drip head"]
)
def test_slowness_ends_in_time(service: SkyService, trouble: sky.Trouble) -> None:
    """A byte now and then resets the timeout of a socket: a dripping server holds one for ever."""
    service.route("/long", lambda asked: Reply(bytes(5000), "application/json"))
    service.next(trouble)
    began = time.monotonic()
    with pytest.raises(FetchTimeout):
        get(service, "/long", timeout=0.6)
    assert time.monotonic() - began < 5.0


def test_promised_gigabytes_are_not_waited_for(service: SkyService) -> None:
    service.next(sky.huge_length())
    with pytest.raises(CutoutTooLarge, match="10,000,000,000"):
        get(service)


@pytest.mark.parametrize(
    "trouble", [sky.endless(), sky.gzip_bomb(1 << 26)], ids=["endless", "gzip bomb"]
)
def test_what_comes_is_bounded_in_memory(service: SkyService, trouble: sky.Trouble) -> None:
    """A bound that is looked at when all has come protects nobody."""
    service.next(trouble, trouble)
    with pytest.raises(CutoutTooLarge):
        get(service)
    tracemalloc.start()
    try:
        with pytest.raises(CutoutTooLarge):
            get(service)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8 << 20


def test_a_page_with_status_200_is_an_error(service: SkyService) -> None:
    """Services answer so when their database is down; read as an image it confuses everyone."""
    for kind in ("text/html; charset=utf-8", "application/json"):
        service.next(sky.html_error("The database is down", kind=kind))
        with pytest.raises(ServiceError, match="The database is down") as caught:
            get(service)
        assert caught.value.first_line == "The database is down"


def test_another_type_is_refused(service: SkyService) -> None:
    service.next(sky.wrong_type("image/png"))
    with pytest.raises(ServiceError, match="image/png"):
        get(service)
    service.next(sky.wrong_type("image/png"))
    assert get(service, accept=("image/*",)).status == 200


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_connection_that_breaks_off_gives_nothing(service: SkyService, share: float) -> None:
    """Half an image must not pass for a small one."""
    service.next(sky.break_off(share))
    with pytest.raises(ServiceError, match="broke off"):
        get(service)


def test_a_packed_answer_that_breaks_off_gives_nothing(service: SkyService) -> None:
    import gzip

    packed = gzip.compress(b"[1, 2, 3]" * 100)[:-12]
    service.route(
        "/packed",
        lambda asked: Reply(packed, "application/json", headers={"Content-Encoding": "gzip"}),
    )
    with pytest.raises(ServiceError, match="broke off"):
        get(service, "/packed")


def test_packed_answers_are_unpacked(service: SkyService) -> None:
    import gzip
    import zlib

    for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        service.route(
            f"/{name}",
            lambda asked, name=name, pack=pack: Reply(
                pack(b"[1]"), "application/json", headers={"Content-Encoding": name}
            ),
        )
        assert get(service, f"/{name}").json() == [1]
    service.route("/br", lambda asked: Reply(b"x", headers={"Content-Encoding": "br"}))
    with pytest.raises(FetchRefused, match="br"):
        get(service, "/br", accept=())


@pytest.mark.parametrize(
    "to",
    [
        "http://example.org/",
        "//example.org/x",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://localhost/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://exam\nple.org/",
        "gopher://x",
    ],
)
def test_redirects_elsewhere_are_refused(service: SkyService, to: str) -> None:
    """A service that was taken over must not make us ask a network only we can reach."""
    service.next(sky.redirect(to))
    with pytest.raises(FetchRefused):
        get(service)
    assert len(service.asked) == 1


def test_another_port_of_the_same_private_host_is_refused(service: SkyService) -> None:
    """What was named is one service on that machine, not all that listens there."""
    with sky.serving() as other:
        service.next(sky.redirect(other.url + "/list"))
        with pytest.raises(FetchRefused):
            get(service)
        assert other.asked == []
        service.next(sky.redirect("http://127.0.0.1/list"))
        with pytest.raises(FetchRefused, match="private network"):
            get(service, hosts=("127.0.0.1",))


def test_redirects_at_home_are_followed(service: SkyService) -> None:
    service.next(sky.redirect("/list?again=1"), sky.redirect(service.url + "/list", 307))
    assert get(service).url == service.url + "/list"
    assert [asked.path for asked in service.asked] == ["/list"] * 3


def test_redirects_end(service: SkyService) -> None:
    service.always(sky.redirect("/list"))
    with pytest.raises(FetchRefused, match="redirects more than"):
        get(service)
    assert len(service.asked) == 6


def test_a_form_is_not_sent_on_where_the_redirect_says_get(service: SkyService) -> None:
    service.next(sky.redirect("/list", 303))
    http.post(service.url + "/form", {"secret": 1}, hosts=(), private=service.url, timeout=5)
    assert [(asked.method, asked.body) for asked in service.asked] == [
        ("POST", b"secret=1"),
        ("GET", b""),
    ]


def test_a_private_address_is_refused_though_its_name_is_known(service: SkyService) -> None:
    """A name of the service's own may be made to point into the user's network."""
    port = service.url.rpartition(":")[2]
    for url in (f"http://localhost:{port}/list", f"http://127.0.0.1:{port}/list"):
        with pytest.raises(FetchRefused):
            http.get(url, hosts=("localhost", "127.0.0.1"), timeout=5)
    with pytest.raises(FetchRefused, match="private network"):
        http.get("http://localhost/list", hosts=("localhost",), timeout=5)
    assert service.asked == []


def test_no_connection_says_so(service: SkyService) -> None:
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ServiceError, match="failed: Connection refused") as caught:
            http.get(url, hosts=(), private=url, timeout=5)
    assert caught.value.status is None


def test_what_was_asked_is_recorded(service: SkyService) -> None:
    service.next(sky.redirect("/list?b=2"))
    with http.recorded() as records:
        get(service, params={"a": 1})
        with pytest.raises(ServiceError):
            get(service, "/nowhere")
    assert [(r["url"].removeprefix(service.url), r["status"]) for r in records] == [
        ("/list?b=2", 200),
        ("/nowhere", 404),
    ]
    assert len(records[0]["sha256"]) == 64


def test_headers_of_another_library_are_sent_without_those_that_are_ours(
    service: SkyService,
) -> None:
    http.request(
        "GET",
        service.url + "/list",
        headers={"X-Own": "1", "host": "evil.example", "Content-Length": "900", "accept": "a/b"},
        hosts=(),
        private=service.url,
        timeout=5,
    )
    sent = service.asked[0].headers
    assert (sent["x-own"], sent["accept"]) == ("1", "a/b")
    assert sent["host"] == service.url.removeprefix("http://")


@given(st.binary(max_size=400))
def test_any_body_has_a_first_line_that_can_be_shown(body: bytes) -> None:
    """It goes into messages and terminals: a page must not move the cursor there."""
    line = first_line(body)
    assert len(line) <= 200
    assert line.isprintable() or line == ""


LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 302 Found",
        b"HTTP/1.1 abc",
        b"HTTP/1.1 100 Continue",
        b"Location: http://[",
        b"Content-Length: -5",
        b"Content-Length: 1e9",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip",
        b"Content-Type: application/json",
        b"zz",
        b"",
    ]
)


@settings(max_examples=40)
@given(st.lists(LINES | st.binary(max_size=30), max_size=7), st.sampled_from([b"\r\n", b"\n"]))
@example([b"HTTP/1.1 302 Found", b"Location: http://["], b"\r\n")
def test_any_answer_at_all_gives_our_errors_only(lines: list[bytes], end: bytes) -> None:
    """A server that speaks no HTTP must not surprise a plugin with an exception of another kind."""

    def speak(wire: sky.Wire, handler: object, asked: Asked) -> None:
        wire.write(end.join(lines))

    with sky.serving() as service, contextlib.suppress(FetchError):
        service.next(speak)  # type: ignore[arg-type]
        get(service, timeout=2.0)
