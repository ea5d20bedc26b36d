"""Whatever goes wrong in a plugin, said in the errors of `astrollava.errors`."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from astrollava._aside import printing_aside
from astrollava.errors import (
    AstrollavaError,
    FetchError,
    FetchTimeout,
    ImageError,
    InvalidRequest,
    PluginError,
    ServiceError,
)
from astrollava.hooks.fetching.http import first_line
from astrollava.hooks.fetching.reading import refusal

if TYPE_CHECKING:
    from astrollava.hooks.fetching.fetcher import Fetcher
    from astrollava.hooks.kinds import FactProvider

__all__ = ["from_where", "uniform"]


@contextmanager
def uniform(service: Fetcher | FactProvider) -> Iterator[None]:
    """Raise as a `FetchError` what goes wrong within: of the network, of requests, of images.

    What is none of these becomes a `PluginError`. What is printed goes to standard error.

    Parameters
    ----------
    service : Fetcher or FactProvider
        Whose code runs within.
    """
    name = service.name
    try:
        with printing_aside():
            yield
    except InvalidRequest as error:
        if not _is_of_images(error):
            raise
        raise refusal(name, error) from error
    except (FetchError, PluginError):
        raise
    except ImageError as error:
        raise refusal(name, error) from error
    except AstrollavaError:
        raise
    # A plugin that would end the program is one that fails.
    except (Exception, SystemExit) as error:
        raise _about(service, error) from error


def _is_of_images(error: BaseException) -> bool:
    """Whether the reader of images raised it, and not what the fetcher checks itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return where.startswith("astrollava.images.")


def _about(service: Fetcher | FactProvider, error: BaseException) -> AstrollavaError:
    name = service.name
    requests: Any = sys.modules.get("requests")
    if isinstance(error, TimeoutError) or (
        requests is not None and isinstance(error, requests.Timeout)
    ):
        return FetchTimeout(f"{name} did not answer in time", hint="Try again later")
    if requests is not None and isinstance(error, requests.HTTPError):
        answer = error.response
        if answer is not None:
            line = first_line(answer.content[: 1 << 16])
            return ServiceError(
                f"{name} answered {answer.status_code}{f': {line}' if line else ''}",
                status=answer.status_code,
                first_line=line,
            )
    if isinstance(error, http.client.HTTPException) or (
        isinstance(error, ConnectionError)
        or (requests is not None and isinstance(error, requests.RequestException))
    ):
        return ServiceError(
            f"the connection to {name} failed: {_words(error)}", hint="Try again later"
        )
    return PluginError(
        f"the plugin of {name} failed with {type(error).__name__}: {_words(error)}"
        f"{from_where(service)}",
        hint="Tell its authors: it should have said what the service did",
    )


def from_where(service: Fetcher | FactProvider) -> str:
    """Return the distribution that a service's plugin came in, to stand behind its name.

    Parameters
    ----------
    service : Fetcher or FactProvider
        One made by hand came in none, and the text is empty.
    """
    from astrollava.hooks.manager import offer_of

    offer = offer_of("fetchers", service) or offer_of("fact_providers", service)
    return "" if offer is None else offer.from_where


def _words(error: BaseException) -> str:
    return first_line(str(error).encode("utf-8", "replace")) or "no reason given"
