"""The guide says what there is: every hook with its exact signature, every error, every suite."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from astrollava import hooks
from astrollava.hooks import specs, testing

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


def test_the_contract_in_the_guide_is_the_one_there_is(guide: str) -> None:
    assert f"`astrollava.hooks.CONTRACT` is {hooks.CONTRACT}." in guide
    assert f"astrollava_contract = {hooks.CONTRACT}\n" in guide
