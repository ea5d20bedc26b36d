"""Results written by a plugin's exporter, whatever that does."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from astrollava._aside import printing_aside
from astrollava.errors import AstrollavaError, InvalidRequest, PluginError
from astrollava.hooks._files import put_aside, whole

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
        The file to write; its folder must exist. It appears when it is whole: where the exporter
        fails, what was there before is there still, and nothing where there was nothing.
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
    from astrollava.hooks.packages import check_packages

    writer = plugins().get_exporter(exporter)
    check_packages(writer)
    given = list(results) if isinstance(results, Iterable) else [results]
    if not given:
        raise InvalidRequest("there is no result to export", expected="one or more")
    target = Path(path)
    offer = plugins().offered("exporters")[writer.name]
    whose = f"the exporter {writer.name}{offer.from_where}"
    try:
        with put_aside(target) if writer.announces else whole(target) as file:
            with printing_aside():
                writer.write(given, file)
            if not file.exists():
                raise PluginError(f"{whose} wrote no file {str(target)!r}")
    except AstrollavaError:
        raise
    except OSError as error:
        raise InvalidRequest(
            f"{str(target)!r} cannot be written: {error.strerror or error}",
            hint="Choose another file",
        ) from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{whose} failed with {type(error).__name__}: {error}",
            hint=f"See: astrollava plugins check {offer.plugin}",
        ) from error
    return target
