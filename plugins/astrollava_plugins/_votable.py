"""VOTables from services, read without letting them read anything else.

A VOTable may say that its data lie at another address: ``<STREAM href="file:///...">``. astropy
opens whatever is named there, local files too, while it parses. No service asked here needs that.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from astrollava.errors import FetchRefused, UnreadableAnswer

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["check_votable", "is_votable", "number_of", "read_votable", "text_of"]


class _LeadsElsewhereError(Exception):
    """Raised out of the parser."""


def is_votable(body: bytes) -> bool:
    """Whether a parser might take this for a VOTable, in whatever encoding."""
    # A declaration may name an encoding in which nothing after it can be found.
    return body[:100].lstrip().startswith(b"<?xml") or b"VOTABLE" in body.replace(b"\0", b"")


def check_votable(body: bytes, service: str) -> None:
    """Refuse XML whose parsing would open an address, or that defines entities.

    Parameters
    ----------
    body : bytes
        The document.
    service : str
        What the service is called in errors.

    Raises
    ------
    FetchRefused
        If a stream has an address, also by a default that the document declares itself.
    UnreadableAnswer
        If it is no well-formed XML.
    """

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "STREAM" and "href" in attributes:
            raise _LeadsElsewhereError(f"a stream at {attributes['href']!r}")

    def declared(*_: object) -> None:
        raise _LeadsElsewhereError("a document type of its own")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(body, True)
    except _LeadsElsewhereError as error:
        raise FetchRefused(
            f"{service} sent a VOTable with {error}",
            expected="a table that holds its data itself",
            hint="Tell the service; nothing was opened",
        ) from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _unreadable(service, error) from error


def read_votable(body: bytes, service: str) -> Table:
    """Read the first table of a VOTable.

    Parameters
    ----------
    body : bytes
        The document.
    service : str
        What the service is called in errors.

    Returns
    -------
    `~astropy.table.Table`
        With the names of its columns, not their ids.

    Raises
    ------
    FetchRefused
        If reading it would open an address.
    UnreadableAnswer
        If it is no VOTable, or holds no table.
    """
    from astropy.io import votable

    check_votable(body, service)
    try:
        # Every oddity of a service's VOTable would else be a warning.
        document = votable.parse(io.BytesIO(body), verify="ignore")
        return document.get_first_table().to_table(use_names_over_ids=True)
    except (ValueError, IndexError, LookupError, TypeError, OSError, expat.ExpatError) as error:
        raise _unreadable(service, error) from error


def _unreadable(service: str, error: Exception) -> UnreadableAnswer:
    return UnreadableAnswer(
        f"{service} sent no VOTable that can be read ({type(error).__name__})",
        expected="a VOTable with one table",
        hint="Try again; if it stays, the service is at fault",
    )


def text_of(row: Any, names: Sequence[str]) -> str:
    """Return the first of these columns' values that says anything, as text without its margins."""
    import numpy as np

    for name in names:
        if name in row.colnames and row[name] is not np.ma.masked:
            value = row[name]
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            if text.strip():
                return text.strip()
    return ""


def number_of(row: Any, name: str) -> float | None:
    """Return a column's value as a finite number, or None where there is none."""
    import numpy as np

    if name not in row.colnames or row[name] is np.ma.masked:
        return None
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        return None  # words, where a number is promised
    return value if math.isfinite(value) else None
