"""The survey keeps the contract, whatever its service does."""

import astrollava_example
from astrollava_example.survey import ExampleSurvey

from astrollava.hooks.testing import Answer, FetcherSuite, PluginSuite, sky_fits


class TestPlugin(PluginSuite):
    plugin = astrollava_example
    entry = "example"


class TestSurvey(FetcherSuite):
    inside = (202.47, 47.195)
    outside = (202.47, 12.0)

    def make(self, base_url):
        return ExampleSurvey(base_url=base_url)

    def answer(self, request, *, blank=False):
        asked = request.query
        return Answer(
            sky_fits(
                float(asked["ra"]),
                float(asked["dec"]),
                size=float(asked["size"]) * 60,
                pixels=int(asked["pixels"]),
                bands=tuple(asked["bands"]),
                blank=blank,
            ),
            "image/fits",
        )

    def answer_outside(self, request):
        return Answer(b"no field at this position\n", "text/plain", 404)

    def answer_blank(self, request):
        return self.answer(request, blank=True)

    def test_the_service_is_asked_for_what_was_wanted(self, fetcher, service):
        self.fetch(fetcher, bands=("r",))
        (request,) = service.requests
        assert request.path == "/cutout"
        assert request.query == {
            "ra": "202.4700000",
            "dec": "47.1950000",
            "size": "0.0166667",
            "pixels": "64",
            "bands": "r",
        }
