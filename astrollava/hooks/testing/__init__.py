"""For authors of plugins: suites that a plugin passes, and a service to pass them by.

Subclass a suite under a name that pytest collects, say what is yours, and run pytest::

    from astrollava.hooks.testing import FetcherSuite

    class TestMySurvey(FetcherSuite):
        inside = (202.47, 47.195)

        def make(self, base_url):
            return MySurvey(base_url=base_url)

        def answer(self, request):
            return Answer(recorded_fits, "image/fits")

Nothing here asks a network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrollava.hooks.testing.cutouts import FetcherSuite
    from astrollava.hooks.testing.facts import FactProviderSuite
    from astrollava.hooks.testing.formats import ExporterSuite, ReaderSuite, StretchSuite
    from astrollava.hooks.testing.samples import sample_results, sky_fits
    from astrollava.hooks.testing.service import FAULTS, Answer, Fault, Request, Service, serving
    from astrollava.hooks.testing.whole import PluginSuite, in_place

__all__ = [
    "FAULTS",
    "Answer",
    "ExporterSuite",
    "FactProviderSuite",
    "Fault",
    "FetcherSuite",
    "PluginSuite",
    "ReaderSuite",
    "Request",
    "Service",
    "StretchSuite",
    "in_place",
    "sample_results",
    "serving",
    "sky_fits",
]

# Late: pytest imports this package in every run of everybody who has astrollava installed.
_HOMES = {
    "FAULTS": "service",
    "Answer": "service",
    "ExporterSuite": "formats",
    "FactProviderSuite": "facts",
    "Fault": "service",
    "FetcherSuite": "cutouts",
    "PluginSuite": "whole",
    "ReaderSuite": "formats",
    "Request": "service",
    "Service": "service",
    "StretchSuite": "formats",
    "in_place": "whole",
    "sample_results": "samples",
    "serving": "service",
    "sky_fits": "samples",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"astrollava.hooks.testing.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'astrollava.hooks.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
