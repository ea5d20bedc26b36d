"""Every hook a plugin may implement. All are optional; each is asked once, when plugins load.

`astrollava_after_describe` alone is called again and again. What a hook gives is checked at once: a
wrong type, or a name that is taken, makes the whole plugin broken, and none of it is used.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from astrollava.hooks import hookspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from astrollava.hooks.fetching import Fetcher
    from astrollava.hooks.kinds import Exporter, FactProvider, Reader
    from astrollava.models.catalog import Entry
    from astrollava.results import Description
    from astrollava.vocabularies import Vocabulary

__all__ = [
    "astrollava_after_describe",
    "astrollava_exporters",
    "astrollava_fact_providers",
    "astrollava_fetchers",
    "astrollava_models",
    "astrollava_readers",
    "astrollava_stretches",
    "astrollava_vocabularies",
]


@hookspec
def astrollava_fetchers() -> Iterable[Fetcher]:
    """Give fetchers: services that cut images out of surveys.

    Returns
    -------
    iterable of Fetcher
        Each is found by its name: ``describe(position, fetch="name", size=...)``.
    """


@hookspec
def astrollava_models() -> Iterable[Entry]:
    """Give models for the catalogue.

    Returns
    -------
    iterable of astrollava.hooks.Entry
        Each is found by its name: ``Describer("name")``, ``astrollava models pull name``.
    """


@hookspec
def astrollava_readers() -> Iterable[Reader]:
    """Give readers of file formats that astrollava cannot read itself.

    Returns
    -------
    iterable of Reader
        Asked in turn about a file that is neither FITS nor a picture.
    """


@hookspec
def astrollava_stretches() -> Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """Give stretches: maps of [0, 1] onto [0, 1].

    Returns
    -------
    mapping
        Name -> function of an array of values in [0, 1], of any shape, that gives an array of the
        same shape with values in [0, 1]. Each is found by its name: ``stretch="name"``.
    """


@hookspec
def astrollava_vocabularies() -> Iterable[Vocabulary]:
    """Give label sets.

    Returns
    -------
    iterable of astrollava.hooks.Vocabulary
        Each is found by its name: ``classify(source, "name")``.
    """


@hookspec
def astrollava_fact_providers() -> Iterable[FactProvider]:
    """Give catalogues that know what is at a position.

    Returns
    -------
    iterable of FactProvider
        Each is found by its name, and asked only when named.
    """


@hookspec
def astrollava_exporters() -> Iterable[Exporter]:
    """Give formats to write results in.

    Returns
    -------
    iterable of Exporter
        Each is found by its name: ``astrollava describe a.fits --export name:file``.
    """


@hookspec
def astrollava_after_describe(result: Description, source: Any) -> None:
    """Be told of every description, after it was made and before the caller has it.

    What this raises is logged as a warning; the description is given to the caller all the same.

    Parameters
    ----------
    result : Description
        The description; it cannot be changed.
    source : object
        What was described, as the caller gave it.
    """
