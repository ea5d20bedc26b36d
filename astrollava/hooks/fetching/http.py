"""A client for services that are not trusted: what comes is bounded in size, time, place and kind.

Nothing is written to disk, no name or path is taken from a header, and no password is sent.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Required, TypeAlias, TypedDict, Unpack
from urllib.parse import urlencode, urljoin

from astrollava import __version__
from astrollava.errors import (
    CutoutTooLarge,
    FetchRefused,
    FetchTimeout,
    ServiceError,
    UnreadableAnswer,
)
from astrollava.hooks.fetching import _limits
from astrollava.hooks.fetching._addresses import Place, host_of, parts_of, place_of
from astrollava.hooks.fetching._wire import Deadline, exchange

__all__ = [
    "FITS",
    "JPEG",
    "JSON",
    "MAX_BYTES",
    "TEXT",
    "VOTABLE",
    "Answer",
    "Bounds",
    "Params",
    "first_line",
    "get",
    "host_of",
    "parts_of",
    "post",
    "recorded",
    "request",
]

Params: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Any]] | None

#: The largest answer that is read where nothing else is said.
MAX_BYTES: Final = 256 << 20

_BINARY: Final = ("application/octet-stream", "binary/octet-stream")
#: What services call FITS; many name no type at all.
FITS: Final = ("application/fits", "image/fits", "image/x-fits", "application/x-fits", *_BINARY)
JPEG: Final = ("image/jpeg", "image/jpg")
JSON: Final = ("application/json", "text/json")
VOTABLE: Final = ("application/x-votable+xml", "application/xml", "text/xml")
TEXT: Final = ("text/plain", "text/csv", "text/tab-separated-values")

_REDIRECTS: Final = 5
_PIECE: Final = 1 << 16
#: As much of an error page as is read to find its first line.
_PAGE: Final = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What a service answered.

    Attributes
    ----------
    status : int
        The HTTP status, 200 to 299.
    headers : mapping
        Names in lower case.
    body : bytes
        What came, unpacked.
    url : str
        The address that answered, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def content_type(self) -> str:
        """The type, without its parameters, in lower case; empty where none was named."""
        return _kind(self.headers)

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as parsed JSON.

        Raises
        ------
        UnreadableAnswer
            If it is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise UnreadableAnswer(
                f"{self.url} answered with something that is no JSON",
                status=self.status,
                first_line=first_line(self.body),
            ) from error


class Bounds(TypedDict, total=False):
    """Whom a request may reach and what may come of it; all but `hosts` may be left out.

    Attributes
    ----------
    hosts : sequence of str
        Hosts that may be asked or redirected to; all others, and private networks, are refused.
    private : str, optional
        An address that the user named: its host may be asked, also in a private network.
    max_bytes : int
        The most that may come, packed and unpacked; `MAX_BYTES` by default.
    accept : sequence of str
        Content types that may come, ``"image/*"`` for all images; any where empty, the default.
    timeout : float
        Seconds allowed in all; 60 by default.
    """

    hosts: Required[Sequence[str]]
    private: str | None
    max_bytes: int
    accept: Sequence[str]
    timeout: float


def get(url: str, params: Params = None, **bounds: Unpack[Bounds]) -> Answer:
    """Ask for what is at an address.

    Parameters
    ----------
    url : str
        The address.
    params : mapping or sequence of pairs, optional
        What follows the ``?``; None is left out, lists are repeated.
    **bounds
        ``hosts``, ``private``, ``max_bytes``, ``accept`` and ``timeout``: see `Bounds`.

    Returns
    -------
    Answer

    Raises
    ------
    ServiceError
        If the status is not one of success, the content of another type, or the connection broke.
    FetchTimeout
        If the time is over.
    CutoutTooLarge
        If more comes than is allowed.
    FetchRefused
        If an address, or a redirect, is not to be followed.
    """
    return request("GET", url, params, **bounds)


def post(url: str, form: Params = None, **bounds: Unpack[Bounds]) -> Answer:
    """Send a form to an address; otherwise as `get`."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return request("POST", url, data=_encoded(form).encode(), headers=kind, **bounds)


def request(
    method: str,
    url: str,
    params: Params = None,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    hosts: Sequence[str],
    private: str | None = None,
    max_bytes: int = MAX_BYTES,
    accept: Sequence[str] = (),
    timeout: float = 60.0,
) -> Answer:
    """Send any request; for what carries another library's. Otherwise as `get`.

    Parameters
    ----------
    method : str
        ``"GET"``, ``"POST"`` or ``"HEAD"``.
    data : bytes, optional
        The body to send.
    headers : mapping, optional
        Headers to send.
    hosts, private, max_bytes, accept, timeout
        As in `Bounds`.
    """
    if params:
        url += ("&" if "?" in url else "?") + _encoded(params)
    place = place_of(url, hosts=hosts, private=private)
    _limits.take_turn(place.host)
    deadline = Deadline(timeout)
    sent = {
        "User-Agent": f"astrollava/{__version__}",
        "Accept": ", ".join(accept) or "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "close",
    }
    # Names differ in case only, and a length counted by somebody else may be wrong.
    given = {name.title(): value for name, value in (headers or {}).items()}
    ours = {"Host", "Content-Length", "Connection", "Accept-Encoding", "Transfer-Encoding"}
    sent |= {name: value for name, value in given.items() if name not in ours}
    try:
        for _ in range(_REDIRECTS + 1):
            with exchange(place, method, sent, data, deadline) as response:
                if response.status not in (301, 302, 303, 307, 308):
                    return _answer(place, response, accept, max_bytes, bare=method == "HEAD")
                onward = response.headers.get("Location", "")
                status = response.status
            place = place_of(_onward(place, onward), hosts=hosts, private=private, before=place)
            if status in (301, 302, 303) and method == "POST":
                method, data = "GET", None
                sent.pop("Content-Type", None)
    except TimeoutError as error:
        if isinstance(error, FetchTimeout):
            raise
        raise FetchTimeout(
            f"{place.host} did not answer to the end in the {timeout:.3g} s allowed",
            hint="Try again later, allow more time, or ask for a smaller size",
        ) from error
    except http.client.HTTPException as error:
        raise _broken(place, f"{type(error).__name__}") from ConnectionError(str(error))
    except OSError as error:
        raise _broken(place, str(error.strerror or error)) from error
    raise FetchRefused(f"{place.host} redirects more than {_REDIRECTS} times")


def _onward(place: Place, location: str) -> str:
    try:
        return urljoin(place.url, location)
    except ValueError:  # "http://[": nothing to join, and refused as what it is
        return location


def _broken(place: Place, why: str) -> ServiceError:
    return ServiceError(
        f"the connection to {place.host} failed: {why}",
        hint="Is this machine connected? Else try again later",
    )


def _encoded(params: Params) -> str:
    pairs = params.items() if isinstance(params, Mapping) else params or ()
    return urlencode([(name, value) for name, value in pairs if value is not None], doseq=True)


def _answer(
    place: Place,
    response: http.client.HTTPResponse,
    accept: Sequence[str],
    max_bytes: int,
    *,
    bare: bool,
) -> Answer:
    headers = MappingProxyType({name.lower(): value for name, value in response.headers.items()})
    status = response.status
    if not 200 <= status < 300:
        page = b"" if bare else _page(response)
        _record(place, status, page)
        line = first_line(page) or response.reason[:200]
        wait = _limits.retry_after(headers.get("retry-after"))
        raise ServiceError(
            f"{place.host} answered {status}{f': {line}' if line else ''}",
            hint="" if wait is None else f"It asks to wait for {wait:.0f} s",
            status=status,
            first_line=line,
            retry_after=wait,
        )
    kind = _kind(headers)
    if not _accepted(kind, accept):
        page = b"" if bare else _page(response)
        _record(place, status, page)
        raise _another(place, status, kind, page)
    body = b"" if bare else _body(response, headers, max_bytes, place)
    _record(place, status, body)
    if accept and not _accepted("text/html", accept) and _is_page(body):
        raise _another(place, status, "a page", body)
    return Answer(status, headers, body, place.url)


def _another(place: Place, status: int, kind: str, body: bytes) -> ServiceError:
    line = first_line(body)
    return ServiceError(
        f"{place.host} answered with {kind or 'something'}, not with what was asked for"
        f"{f': {line}' if line else ''}",
        status=status,
        first_line=line,
    )


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _accepted(kind: str, accept: Sequence[str]) -> bool:
    if not accept or not kind:
        return True
    return any(
        kind == each or (each.endswith("/*") and kind.startswith(each[:-1])) for each in accept
    )


def _is_page(body: bytes) -> bool:
    return body[:256].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _page(response: http.client.HTTPResponse) -> bytes:
    try:
        page = response.read(_PAGE)
    except (OSError, http.client.HTTPException):
        return b""  # the status says enough
    if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "deflate"):
        try:
            return zlib.decompressobj(47).decompress(page, _PAGE)
        except zlib.error:
            return b""
    return page


def _body(
    response: http.client.HTTPResponse, headers: Mapping[str, str], max_bytes: int, place: Place
) -> bytes:
    said = response.length
    if said is not None and said > max_bytes:
        raise _too_much(place, f"says that {said:,} bytes follow", max_bytes)
    unpack = _unpacker(headers.get("content-encoding", ""), place)
    whole = bytearray()
    came = 0
    # What is allowed is never set aside in advance: a header is only a promise.
    while piece := response.read1(_PIECE):
        came += len(piece)
        if came > max_bytes:
            raise _too_much(place, "sends more", max_bytes)
        if unpack is None:
            whole += piece
            continue
        try:
            whole += unpack.decompress(piece, max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise _broken(place, "what came is packed wrongly") from ConnectionError(str(error))
        if len(whole) > max_bytes:
            raise _too_much(place, "sends what unpacks to more", max_bytes)
    if (said is not None and came < said) or (unpack is not None and not unpack.eof):
        raise _broken(place, f"it broke off after {came:,} bytes") from ConnectionError("cut")
    return bytes(whole)


def _unpacker(encoding: str, place: Place) -> Any:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(47)  # gzip or zlib, as it says itself
    raise FetchRefused(f"{place.host} packs its answer as {encoding[:40]!r}", expected="gzip")


def _too_much(place: Place, does: str, max_bytes: int) -> CutoutTooLarge:
    return CutoutTooLarge(
        f"{place.host} {does}",
        expected=f"{max_bytes:,} bytes at most",
        hint="Ask for a smaller size, or for fewer pixels",
    )


def first_line(body: bytes) -> str:
    """Return the first line of a page or text that says anything, without markup.

    At most 200 characters; control characters are left out.

    Examples
    --------
    >>> first_line(b"<html><title>504 Gateway Time-out</title>...")
    '504 Gateway Time-out'
    """
    if body.startswith(b"SIMPLE  =") or b"\0" in body[:1024]:
        return ""  # an image
    text = body[:_PAGE].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->", " ", text)
    text = re.sub(r"(?i)</?(title|h\d|p|br|div|tr|li|body|head|info)\b[^>]*>", "\n", text)
    text = re.sub(r"<[^>]*>", " ", text)
    for line in text.splitlines():
        said = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        if any(sign.isalnum() for sign in said):
            return said[:200]
    return ""


_records: ContextVar[list[dict[str, Any]] | None] = ContextVar("astrollava_asked", default=None)


@contextmanager
def recorded() -> Iterator[list[dict[str, Any]]]:
    """Collect ``url``, ``status``, ``bytes`` and ``sha256`` of each answer that comes within."""
    records: list[dict[str, Any]] = []
    token = _records.set(records)
    try:
        yield records
    finally:
        _records.reset(token)


def _record(place: Place, status: int, body: bytes) -> None:
    records = _records.get()
    if records is not None:
        digest = hashlib.sha256(body).hexdigest()
        records.append({"url": place.url, "status": status, "bytes": len(body), "sha256": digest})
