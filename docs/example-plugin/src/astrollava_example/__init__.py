"""A plugin for astrollava.

What is imported here is imported by every command that looks for a name: keep it light, and import
astropy, astroquery and the like inside the functions that need them.
"""

from __future__ import annotations

from astrollava.hooks import Exporter, Fetcher, hookimpl

astrollava_contract = 1


@hookimpl
def astrollava_fetchers() -> list[Fetcher]:
    """Give the survey."""
    from .survey import ExampleSurvey

    return [ExampleSurvey()]


@hookimpl
def astrollava_stretches():
    """Give a stretch, by its name."""
    from .formats import smoothstep

    return {"smoothstep": smoothstep}


@hookimpl
def astrollava_exporters() -> list[Exporter]:
    """Give a format to write results in."""
    from .formats import Markdown

    return [Markdown()]
