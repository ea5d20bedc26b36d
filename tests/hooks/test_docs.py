"""The guide says what there is: every hook with its exact signature, every error, every suite."""

from __future__ import annotations

import inspect
import re
import struct
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astrollava import hooks, vocabularies
from astrollava.errors import CorruptImage, EmptyImage, ImageTooLarge
from astrollava.hooks import Plugins, SkyImage, manager, specs, testing
from astrollava.hooks.checks import inspect_plugins
from astrollava.images import read, render
from plugin_files import Shelf

pytest_plugins = ["pytester"]

GUIDE = "docs/plugins.md"


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return (repository / GUIDE).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", specs.__all__)
def test_a_hook_is_documented_with_its_exact_signature(guide: str, name: str) -> None:
    """An argument that changed in the code alone breaks who copies it from the guide."""
    function = getattr(specs, name)
    annotated = inspect.signature(function)
    parameters = ", ".join(
        f"{parameter.name}: {parameter.annotation}" for parameter in annotated.parameters.values()
    )
    line = f"def {name}({parameters}) -> {annotated.return_annotation}"
    assert f"```python\n{line}: ...\n```" in guide


def test_the_guide_shows_no_hook_that_is_none(guide: str) -> None:
    """A hook that was renamed would stay in the guide for ever."""
    shown = set(re.findall(r"\bastrollava_(?!contract|example|plugins|service)\w+", guide))
    assert {f for f in shown if not f.isupper()} <= set(specs.__all__)


def test_every_hook_is_marked_and_described() -> None:
    """A function without the marker would be no hook, and fail nowhere."""
    for name in specs.__all__:
        function = getattr(specs, name)
        assert hasattr(function, f"{hooks.GROUP}_spec"), name
        assert inspect.getdoc(function), name
    marked = {name for name, value in vars(specs).items() if hasattr(value, f"{hooks.GROUP}_spec")}
    assert marked == set(specs.__all__)


def test_every_suite_and_fixture_is_in_the_guide(guide: str) -> None:
    from astrollava.hooks.testing import pytest_plugin

    suites = [name for name in testing.__all__ if name.endswith("Suite")]
    assert [name for name in (*suites, *pytest_plugin.__all__) if f"`{name}`" not in guide] == []


def test_every_error_of_a_fetcher_is_in_the_guide(guide: str) -> None:
    """What is not listed is not raised: an author would let a KeyError out."""
    from astrollava import errors

    kinds = [
        name
        for name in errors.__all__
        if issubclass(getattr(errors, name), errors.FetchError)
        and name not in ("FetchError", "UnknownFetcher")
    ]
    assert [name for name in kinds if f"`{name}`" not in guide] == []


# The examples --------------------------------------------------------------------------------


@pytest.fixture
def example(guide: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Plugins]:
    """Install the plugin under a heading of the guide as a reader would, and load it."""

    def load(heading: str) -> Plugins:
        section = guide.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
        blocks = re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
        (code,) = (block for block in blocks if "astrollava_contract" in block)
        shelf.put("example", code, head="")
        there = shelf.load()
        assert there.broken == ()
        assert inspect_plugins(there) == []
        monkeypatch.setitem(manager._state, "plugins", there)
        return there

    return load


def test_the_guides_catalogue_knows_what_is_near(example: Callable[[str], Plugins]) -> None:
    provider = example("Providers of facts").get_fact_provider("notebook")
    there = SkyCoord(202.4696, 47.1953, unit="deg")
    facts = provider.facts(there, 10 * u.arcsec)
    assert [(fact.kind, fact.value) for fact in facts] == [("name", "M 51"), ("redshift", 0.0015)]
    assert provider.facts(SkyCoord(0, 0, unit="deg"), 10 * u.arcsec) == ()


def test_the_guides_reader_reads(example: Callable[[str], Plugins], tmp_path: Path) -> None:
    example("Readers")
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    path = tmp_path / "field.rawsky"
    whole = b"RAWSKY1\n" + struct.pack("<II", 3, 4) + values.tobytes()
    path.write_bytes(whole)
    image = read(path)
    assert np.array_equal(image.pixels[0], values)
    assert image.bands == ("r",)
    for length, error in ((12, CorruptImage), (40, CorruptImage)):
        with pytest.raises(error):
            read(whole[:length])
    with pytest.raises(ImageTooLarge):
        read(whole, max_pixels=11)
    with pytest.raises(EmptyImage):
        read(whole[:8] + struct.pack("<II", 0, 4))


def test_the_guides_stretch_stretches(example: Callable[[str], Plugins]) -> None:
    faint = example("Stretches").offered("stretches")["faint"].value
    assert np.allclose(faint(np.array([0.0, 0.01, 1.0])), [0.0, 0.0, 1.0])
    light = np.linspace(0, 1, 400, dtype=np.float32).reshape(1, 20, 20)
    picture = render(SkyImage(light, ("r",)), size=(10, 10), interval="minmax", stretch="faint")
    assert picture.record.stretch == "faint"


def test_the_guides_vocabulary_is_found_by_its_name(example: Callable[[str], Plugins]) -> None:
    example("Vocabularies")
    assert vocabularies.get("rings").labels == ("ring", "no ring")


def test_the_guides_exporter_writes_what_bibtex_reads(
    example: Callable[[str], Plugins], tmp_path: Path
) -> None:
    """A brace or a percent sign of a description would end the entry."""
    example("Exporters")
    text = hooks.export(testing.sample_results(), tmp_path / "a.bib", "bibtex").read_text("utf-8")
    assert text.count("@misc{") == len(testing.sample_results())
    assert text.count("{") == text.count("}")
    assert not re.search(r"(?<!\\)[%&#_$]", text)


def needs_of(suite: type) -> dict[str, str]:
    """Return what a subclass must set or write, and what is said where it has not."""
    found = {}
    for name in dir(suite):
        if name.startswith(("_", "test_")):
            continue
        try:
            given = getattr(suite(), name)
            if name.startswith(("make", "answer", "file")):
                given(*[None] * len(inspect.signature(given).parameters))
        except NotImplementedError as error:
            found[name] = str(error)
        except AssertionError:
            continue  # the service is not to be asked: the suite's own answer
    return found


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.endswith("Suite")])
def test_what_a_suite_needs_is_in_the_guide_and_told_in_words(guide: str, name: str) -> None:
    """Without `shape` a reader's tests ended in an AttributeError, and the guide said nothing."""
    suite = getattr(testing, name)
    ((needed, more),) = re.findall(rf"^\| `{name}` \| (.*?) \| (.*?) \|$", guide, flags=re.M)
    must, may = set(re.findall(r"`(\w+)", needed)), set(re.findall(r"`(\w+)", more))
    # A blank image is for those services that send one.
    needs = needs_of(suite)
    assert set(needs) - {"answer_blank"} == must
    assert [each for each, words in needs.items() if not words] == []
    attributes = set(inspect.get_annotations(suite))
    answers = {each for each in vars(suite) if each.startswith(("make", "answer", "file"))}
    assert attributes | answers == must | may
    for each in must & attributes:
        with pytest.raises(NotImplementedError, match=f"{name} lacks it: .*{each} = "):
            getattr(suite(), each)


def test_the_guides_suite_passes(guide: str, pytester: pytest.Pytester) -> None:
    """What is copied from the guide is the first test that an author runs."""
    blocks = re.findall(r"^```python\n(.*?)^```", guide, flags=re.M | re.S)
    (reader,) = (block for block in blocks if "class RawSky(" in block)
    (suite,) = (block for block in blocks if "class TestRawSky(" in block)
    pytester.makepyfile(astrollava_example_reader=reader, test_reader=suite)
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=8, skipped=1)


def test_the_contract_in_the_guide_is_the_one_there_is(guide: str) -> None:
    assert f"`astrollava.hooks.CONTRACT` is {hooks.CONTRACT}." in guide
    assert f"astrollava_contract = {hooks.CONTRACT}\n" in guide
