"""A label for a picture of nothing sorts empty cut-outs in among the galaxies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from astrollava import Describer
from astrollava.errors import InvalidRequest
from astrollava.images import example
from astrollava.vocabularies import GALAXY10


@pytest.fixture(scope="module")
def describer() -> Iterator[Describer]:
    with Describer(threads=1) as opened:
        yield opened


@pytest.mark.parametrize(
    "nothing",
    [
        np.full((50, 50), np.nan),
        np.ones((50, 50)),
        np.zeros((1, 1)),
        np.random.default_rng(0).normal(size=(200, 200)),
        np.random.default_rng(1).poisson(100, (300, 300)).astype(float),
    ],
    ids=["NaN", "constant", "pixel", "noise", "counts"],
)
def test_a_picture_of_nothing_has_no_label(describer: Describer, nothing: np.ndarray) -> None:
    found = describer.classify(nothing)
    assert found.present is not None
    assert found.present < 0.01
    assert found.abstained
    assert "nothing to label" in str(found)
    assert "sees nothing to label" in found._repr_html_()


def test_a_galaxy_is_there(describer: Describer) -> None:
    found = describer.classify(example())
    assert found.present is not None
    assert found.present > 0.99
    assert "nothing" not in str(found) + found._repr_html_()


def test_only_what_the_model_was_taught_is_asked(describer: Describer) -> None:
    """A model that never learned the two answers would abstain at random."""
    assert describer.classify(example(), ["spiral", "elliptical"]).present is None
    assert describer.classify(example(), question="What is it?").present is None


def test_presence_decides_abstention_and_has_bounds(describer: Describer) -> None:
    found = describer.classify(example(), threshold=0.0)
    assert not found.abstained
    assert replace(found, present=0.4).abstained
    assert not replace(found, present=0.5).abstained
    with pytest.raises(InvalidRequest, match=r"present is 1\.5"):
        replace(found, present=1.5)


def test_the_model_was_taught_the_answers() -> None:
    pytest.importorskip("tokenizers")
    from astrollava_training.data.answers import answers
    from astrollava_training.data.facts import Facts
    from astrollava_training.data.phrases import ASKED

    asked = GALAXY10.presence
    assert asked is not None
    assert asked.question in ASKED["galaxy"]
    assert answers(Facts(kind="empty"), "")["galaxy"] == asked.no
