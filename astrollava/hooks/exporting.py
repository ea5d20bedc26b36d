"""Results written by a plugin's exporter, whatever that does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from astrollava.errors import AstrollavaError, InvalidRequest, PluginError

if TYPE_CHECKING:
    from astrollava.results import Answer, Classification, Description, Extraction

    Result = Answer | Classification | Description | Extraction

__all__ = ["export"]


def export(results: Result | Iterable[Result], path: str | PathLike[str], exporter: str) -> Path:
    """Write results with the exporter of a plugin.

    Parameters
    ----------
    results : result, or iterable of results
        One or more descriptions, answers, classifications or extractions.
    path : path-like
        The file to write; its folder must exist. What is there is replaced, and
        put back if the exporter fails.
    exporter : str
        The name of the exporter: see ``astrollava plugins list``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidRequest
        If there is no such exporter, no result, or the file cannot be written.
    PluginError
        If the exporter fails.
    """
    from astrollava.hooks.manager import plugins

    writer = plugins().get_exporter(exporter)
    given = list(results) if isinstance(results, Iterable) else [results]
    if not given:
        raise InvalidRequest("there is no result to export", expected="one or more")
    target = Path(path)
    try:
        with _put_back(target):
            writer.write(given, target)
    except AstrollavaError:
        raise
    except OSError as error:
        raise InvalidRequest(
            f"{str(target)!r} cannot be written: {error.strerror or error}",
            hint="Choose another file",
        ) from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the exporter {exporter} failed with {type(error).__name__}: {error}",
            hint=f"See: astrollava plugins check {plugins().offered('exporters')[exporter].plugin}",
        ) from error
    if not target.is_file():
        raise PluginError(f"the exporter {exporter} wrote no file {str(target)!r}")
    return target


@contextmanager
def _put_back(target: Path) -> Iterator[None]:
    """Keep what a file holds, and write it back if the block fails.

    The exporter is given the file itself: one may tell another program where it is, as SAMP's does.
    """
    if not target.is_file():
        yield
        return
    with tempfile.TemporaryFile() as kept:
        with target.open("rb") as stream:
            shutil.copyfileobj(stream, kept)
        try:
            yield
        except BaseException:
            kept.seek(0)
            with target.open("wb") as stream:
                shutil.copyfileobj(kept, stream)
            raise
