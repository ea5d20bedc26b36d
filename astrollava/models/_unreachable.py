"""What to say where the hub cannot be reached: that there is no network, and the ways without."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from astrollava.errors import DownloadFailed

__all__ = ["WITHOUT_NETWORK", "unreachable"]

#: How a model is used on a machine without a network.
WITHOUT_NETWORK: Final = (
    "Without a network: bring the model on a bundle (astrollava bundle create FILE --model NAME on"
    " a machine that has one, astrollava bundle use FILE here), or give the path of its .gguf"
    " files; with HF_HUB_OFFLINE=1 what is in the cache is used and nothing is asked"
)

#: Names of the transport errors of httpx and its forks before anything came.
_NO_CONNECTION: Final = frozenset({"ConnectError", "ConnectTimeout", "ProxyError"})


def unreachable(error: Exception, what: str, endpoint: str) -> DownloadFailed | None:
    """Make the error for a hub that no connection could be made to.

    Parameters
    ----------
    error : Exception
        What the hub's client raised.
    what : str
        What was to come.
    endpoint : str
        The hub's address.

    Returns
    -------
    DownloadFailed or None
        None where the connection was made, and something else went wrong.
    """
    chain = list(_causes(error))
    transport = next((e for e in chain if type(e).__name__ in _NO_CONNECTION), None)
    if transport is None or not type(transport).__module__.startswith(("httpx", "httpcore")):
        return None
    host = urlsplit(endpoint).netloc or endpoint
    said = f"{type(transport).__name__}: {str(transport).strip()[:300]}".rstrip(": ")
    if any(isinstance(cause, ssl.SSLError) for cause in chain):
        return DownloadFailed(
            f"{what} cannot be downloaded: what answers for {host} is not trusted ({said})",
            hint="A proxy may answer in its place: name the file with its certificate in"
            f" SSL_CERT_FILE. {WITHOUT_NETWORK}",
        )
    return DownloadFailed(
        f"{what} cannot be downloaded: {host} cannot be reached, so there is no network here, or a"
        f" firewall or proxy is in the way ({said})",
        hint=f"{WITHOUT_NETWORK}. What came before is kept: the same command goes on from there",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # Bounded: a chain may lead back to itself.
    for _ in range(16):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
