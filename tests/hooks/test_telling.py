"""Plugins are told of descriptions, and what they added is in the record."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava import Describer
from astrollava.errors import ImageError
from astrollava.hooks import Plugins, PluginWarning, hookimpl
from astrollava.images import example
from tiny_pair import TinyPair, byte_token, write_pair

Use = Callable[..., Plugins]


@pytest.fixture(scope="module")
def describer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Describer]:
    says = [byte_token(byte) for byte in dict.fromkeys(b"A disk")]
    text, mmproj = write_pair(tmp_path_factory.mktemp("speaker"), TinyPair(says=says))
    with Describer(text, mmproj=mmproj, threads=1) as describer:
        yield describer


class Listener:
    """Keeps what it is told."""

    astrollava_contract = 1

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    @hookimpl
    def astrollava_after_describe(self, result: Any, source: Any) -> None:
        self.heard.append((result.text, source))


class Failing:
    astrollava_contract = 1

    @hookimpl
    def astrollava_after_describe(self, source: Any) -> None:
        raise RuntimeError(f"cannot take {source}")


class Curve:
    astrollava_contract = 1

    @hookimpl
    def astrollava_stretches(self) -> dict[str, Any]:
        return {"fourth": lambda x: x**4}


def test_a_plugin_is_told_of_every_description(
    describer: Describer, astrollava_plugins: Use
) -> None:
    """Alone, many at a time, piece by piece; with the source as it was given."""
    listener = Listener()
    astrollava_plugins(listener)
    array = np.random.default_rng(1).random((20, 20))
    said = describer.describe(array).text
    spoken = describer.describe(example(), stream=True)
    assert len(listener.heard) == 1, "what is not finished is not described"
    assert spoken.result.text == said
    texts = [d.text for d in describer.describe_many([array, str(example())], progress=False)]
    assert texts == [said, said]
    assert [text for text, _ in listener.heard] == [said] * 4
    sources = [source for _, source in listener.heard]
    assert sources[0] is array
    assert sources[1] == example()
    assert sources[2] is array
    assert sources[3] == str(example())


def test_it_is_told_of_nothing_else(describer: Describer, astrollava_plugins: Use) -> None:
    listener = Listener()
    astrollava_plugins(listener)
    describer.ask(example(), "What is it?")
    describer.classify(example(), ["a star", "a galaxy"])
    with pytest.raises(ImageError):
        describer.describe(b"no image")
    assert listener.heard == []


def test_a_failing_listener_costs_no_description(
    describer: Describer, astrollava_plugins: Use, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener()
    astrollava_plugins(a_failing=Failing(), b_listener=listener)
    with (
        caplog.at_level(logging.WARNING, "astrollava.hooks"),
        pytest.warns(PluginWarning, match="a_failing failed in astrollava_after_desc") as warned,
    ):
        results = list(describer.describe_many([example()] * 3, progress=False))
    assert len(results) == len(listener.heard) == 3
    # A log that nobody had set up was all that spoke of it, and nobody saw it.
    assert len(warned) == 1
    assert caplog.text.count("a_failing failed in astrollava_after_describe") == 1


def test_a_failing_listener_costs_no_description_where_warnings_are_errors(
    describer: Describer, astrollava_plugins: Use
) -> None:
    astrollava_plugins(Failing())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert describer.describe(example()).text


def test_sources_are_not_kept_where_nobody_listens(
    describer: Describer, astrollava_plugins: Use
) -> None:
    """Dozens of mosaics in flight would fill the memory."""
    import weakref

    class Image(np.ndarray):
        pass

    astrollava_plugins(Curve())
    array = np.random.default_rng(1).random((20, 20)).view(Image)
    gone = weakref.ref(array)
    stream = describer.describe(array, stream=True)
    del array
    assert gone() is None
    assert stream.result.text


def test_the_record_names_the_plugin_whose_stretch_was_used(
    describer: Describer, astrollava_plugins: Use
) -> None:
    """Another version of it would give another picture."""
    astrollava_plugins(curve=Curve())
    plain = describer.describe(example()).provenance
    assert set(plain.versions) == set(describer.ask(example(), "?").provenance.versions)
    painted = describer.describe(example(), stretch="fourth").provenance
    assert painted.rendering["stretch"] == "fourth"
    assert set(painted.versions) - set(plain.versions) == {"plugin curve"}


def test_a_stretch_of_a_plugin_is_checked_before_the_model_is_asked(
    describer: Describer, astrollava_plugins: Use, tmp_path: Path
) -> None:
    astrollava_plugins(curve=Curve())
    with pytest.raises(ImageError, match="fourth"):
        describer.describe(example(), stretch="fifth")
