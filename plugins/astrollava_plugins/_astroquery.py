"""astroquery and pyvo, their requests carried by astrollava's own bounded client.

Left to themselves they wait without end, read answers of any size, follow redirects anywhere, keep
failures in a cache and unpickle what lies there. A `Carrier` takes the place of their transport:
they decide what to ask and read what comes, and every byte between goes through
`astrollava.hooks.fetching.http`, with one deadline for all of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from astrollava.errors import FetchError, PluginError, ServiceError, UnreadableAnswer
from astrollava.hooks.fetching import Fetcher, http
from astrollava.hooks.packages import install_hint
from astrollava_plugins._frames import Remaining
from astrollava_plugins._votable import check_votable, is_votable

__all__ = ["Carrier"]

Query = TypeVar("Query")

#: What of a request's headers is sent on; the rest, who asks among it, is the client's business.
_PASSED_ON = ("Accept", "Content-Type")


class Carrier(BaseAdapter):
    """Carries the requests of one call of a fetcher, or of a provider of facts.

    Parameters
    ----------
    service : Fetcher or FactProvider
        Whose hosts and bounds count.
    timeout : float
        Seconds for all requests together, from now on.
    accept : sequence of str
        Content types to take.
    max_bytes : int, optional
        The largest answer to read where nothing else is said; the service's bound by default.

    Attributes
    ----------
    session : `requests.Session`
        For pyvo, and for the classes of astroquery that stand on it.
    """

    def __init__(
        self,
        service: Fetcher | Any,
        *,
        timeout: float,
        accept: Sequence[str],
        max_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self._service = service
        self._accept = tuple(accept)
        self._max_bytes = service.max_bytes if max_bytes is None else max_bytes
        self._left = Remaining(timeout)
        self._last: http.Answer | None = None
        self._failure: FetchError | None = None
        self.session = requests.Session()
        # The client below knows about proxies; a password of .netrc is nobody's business.
        self.session.trust_env = False
        self.session.mount("http://", self)
        self.session.mount("https://", self)

    def adopt(self, query: Query) -> Query:
        """Make an object of astroquery send its requests this way, past astroquery's cache.

        That cache is a folder of pickles which keeps failures too, and is switched off for the
        whole process while somebody else asks.
        """
        query._session = self.session  # type: ignore[attr-defined]
        query._request = self._request  # type: ignore[attr-defined]
        return query

    def get(
        self,
        url: str,
        params: http.Params = None,
        *,
        accept: Sequence[str] = (),
        max_bytes: int | None = None,
    ) -> http.Answer:
        """Ask for what is at an address, in the time that is left."""
        return self._ask("GET", url, params, accept=accept or self._accept, max_bytes=max_bytes)

    @property
    def last(self) -> bytes:
        """The last answer."""
        return b"" if self._last is None else self._last.body

    @property
    def first_line(self) -> str:
        """What the last answer said first."""
        return http.first_line(self.last)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what astroquery or pyvo raises into an `UnreadableAnswer`, in the service's words.

        They raise a dozen kinds of errors at an answer of another shape than they expect, and
        swallow some that they should not. What the service itself calls an error is a
        `ServiceError`: it would say the same again. What is not installed is a `PluginError`.
        """
        try:
            yield
        except FetchError:
            raise
        except ImportError as error:
            package = str(error.name).partition(".")[0]
            raise PluginError(
                f"{package} is not installed", hint=install_hint(self._service)
            ) from error
        except Exception as error:
            if self._failure is not None:
                raise self._failure from error
            from astroquery.exceptions import RemoteServiceError
            from pyvo.dal import DALQueryError

            told = isinstance(error, DALQueryError | RemoteServiceError)
            last = self._last
            said = str(error).splitlines()
            raise (ServiceError if told else UnreadableAnswer)(
                f"{self._service.name} answered what astroquery cannot read "
                f"({type(error).__name__}{f': {said[0][:200]}' if said else ''})",
                status=None if last is None else last.status,
                first_line=self.first_line,
                hint="Try again; if it stays, the service has changed",
            ) from error

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Carry a request; called by `requests`."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        assert request.url is not None
        try:
            answer = self._ask(request.method or "GET", request.url, data=body, headers=headers)
        except ServiceError as error:
            # pyvo looks for some documents at two addresses; other errors end the search.
            if error.status != 404:
                raise
            answer = http.Answer(404, {"content-type": "text/plain"}, b"", request.url)
        response = requests.Response()
        response.status_code = answer.status
        response.url = answer.url
        response.request = request
        kind = {"Content-Type": answer.headers.get("content-type", "")}
        response.headers = CaseInsensitiveDict(kind)
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body), headers=kind, status=answer.status, preload_content=False
        )
        return response

    def close(self) -> None:
        """Do nothing: every request has a connection of its own."""

    def _ask(
        self,
        method: str,
        url: str,
        params: http.Params = None,
        *,
        accept: Sequence[str] | None = None,
        max_bytes: int | None = None,
        **sent: Any,
    ) -> http.Answer:
        service = self._service
        try:
            answer = http.request(
                method,
                url,
                params,
                hosts=service.hosts,
                private=service.private,
                max_bytes=min(max_bytes or self._max_bytes, service.max_bytes),
                accept=self._accept if accept is None else accept,
                timeout=self._left(),
                **sent,
            )
            if is_votable(answer.body):
                check_votable(answer.body, service.name)
        except FetchError as error:
            self._failure = error
            raise
        self._last, self._failure = answer, None
        return answer

    def _request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Any = None,
        files: Any = None,
        use_json: bool = False,
        **ignored: Any,
    ) -> requests.Response:
        """Stand in for `astroquery.query.BaseQuery._request`: no cache, no file, no time limit."""
        if use_json:  # as `astroquery.mast` says it
            data, json = None, data
        return self.session.request(
            method, url, params=params, data=data, json=json, headers=headers, files=files
        )
