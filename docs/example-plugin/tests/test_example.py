"""The plugin keeps the contract, whatever its service does; and what no suite can know."""

from __future__ import annotations

import astrollava_example
import numpy as np
from astrollava_example.formats import Markdown, smoothstep
from astrollava_example.survey import ExampleSurvey

from astrollava.hooks.testing import (
    Answer,
    ExporterSuite,
    FetcherSuite,
    PluginSuite,
    StretchSuite,
    sample_results,
    sky_fits,
)


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


class TestStretch(StretchSuite):
    def make(self):
        return smoothstep


class TestMarkdown(ExporterSuite):
    def make(self):
        return Markdown()


def test_the_middle_of_the_stretch_stays():
    assert np.allclose(smoothstep(np.array([0.0, 0.5, 1.0])), [0.0, 0.5, 1.0])


def test_a_result_is_one_item(tmp_path):
    Markdown().write(sample_results()[:2], tmp_path / "list.md")
    lines = (tmp_path / "list.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(": No bar is visible.")
