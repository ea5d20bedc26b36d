"""The stretch and the exporter keep the contract; and what no suite can know."""

from __future__ import annotations

import numpy as np
from astrollava_example.formats import Markdown, smoothstep

from astrollava.hooks.testing import ExporterSuite, StretchSuite, sample_results


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
