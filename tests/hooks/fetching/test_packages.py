"""What needs a package that is not installed says so, before it is asked and with what to type."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

import sky_service as sky
from astrollava._fetched import Facts
from astrollava.errors import OutsideFootprint, PluginError, ServiceError
from astrollava.hooks import Exporter, FactProvider, export, hookimpl, plugins
from astrollava.hooks.checks import examine_plugins, inspect_plugins
from astrollava.hooks.fetching import Declinations, choose, fetch
from astrollava.hooks.fetching.choosing import fetch_best
from astrollava.hooks.testing import in_place, sample_results
from sky_service import SkyFetcher, SkyService

NORTH = SkyCoord(202.47, 47.195, unit="deg")
SIZE = 6 * u.arcmin
ABSENT = "no_such_package_anywhere"
INSTALL = 'pip install "sky[net]"'
#: Stands for an environment without the extra `fetch`.
BARE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("astroquery", "pyvo", "requests"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from astrollava.cli import main
main(sys.argv[1:])
"""


def bare(*words: str) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-c", BARE, *words]
    return subprocess.run(code, capture_output=True, text=True, timeout=120)


class Lacking(SkyFetcher):
    """Fails as one does whose import is not there."""

    name = "lacking"
    depth = 30.0
    requires = (ABSENT,)
    install = "sky[net]"

    def fetch(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("it was asked")


class Listing(Exporter):
    name = "listing"
    suffix = ".txt"
    requires = (ABSENT,)
    install = "sky[net]"

    def write(self, results: Any, path: Path) -> None:
        raise ModuleNotFoundError(f"No module named {ABSENT!r}", name=ABSENT)


class Knowing(FactProvider):
    name = "knowing"
    credit = "me"
    url = "https://knowing.example"
    requires = ("json", ABSENT)

    def facts(self, position: Any, radius: Any, *, timeout: float = 60.0) -> Any:
        raise ModuleNotFoundError(f"No module named {ABSENT!r}", name=ABSENT)


class Plugin:
    astrollava_contract = 1

    @hookimpl
    def astrollava_fetchers(self) -> list[Any]:
        return [Lacking()]

    @hookimpl
    def astrollava_exporters(self) -> list[Any]:
        return [Listing()]

    @hookimpl
    def astrollava_fact_providers(self) -> list[Any]:
        return [Knowing()]


def test_auto_passes_over_what_is_not_installed(
    service: SkyService, caplog: pytest.LogCaptureFixture
) -> None:
    """Fourteen warnings came first, and each said that the next survey is asked."""
    image = fetch_best(NORTH, SIZE, fetchers=[Lacking(), SkyFetcher(base_url=service.url)])
    assert image.source["fetcher"] == "sky"
    assert "lacking" not in image.source["chosen"]
    assert caplog.records == []


def test_where_the_others_fail_what_was_not_asked_is_told(service: SkyService) -> None:
    """All that was said was "Is this machine connected?", and never what to install."""
    service.next(sky.status(404))
    with pytest.raises(ServiceError) as caught:
        fetch_best(NORTH, SIZE, fetchers=[Lacking(), SkyFetcher(base_url=service.url)])
    assert caught.value.status == 404
    assert f"lacking not asked for want of {ABSENT}" in caught.value.problem
    assert caught.value.hint.endswith(INSTALL)


def test_where_none_is_left_it_says_what_to_install() -> None:
    """Surveys that do not have the place hid the one that has it, for want of a package."""
    south = type("South", (SkyFetcher,), {"footprint": Declinations(-90, 0)})()
    with pytest.raises(PluginError, match="lacking not asked for want of") as caught:
        choose(NORTH, SIZE, fetchers=[south, Lacking()])
    assert INSTALL in caught.value.hint
    # What would not help is not to be installed.
    beyond = type("Beyond", (Lacking,), {"footprint": Declinations(-90, 0)})()
    with pytest.raises(OutsideFootprint) as outside:
        choose(NORTH, SIZE, fetchers=[south, beyond])
    assert "pip" not in outside.value.hint


def test_each_kind_is_refused_before_it_is_used(tmp_path: Path) -> None:
    """A ModuleNotFoundError and "plugins check", which said "ok", were all there was."""
    path = tmp_path / "said.txt"
    with in_place(mine=Plugin()):
        with pytest.raises(PluginError, match=f"lacking cannot be used: {ABSENT} is") as fetching:
            fetch("lacking", NORTH, SIZE, cache=False)
        with pytest.raises(PluginError, match=f"listing cannot be used: {ABSENT} is") as exporting:
            export(sample_results(), path, "listing")
        # Before an image is read or described.
        with pytest.raises(PluginError, match=f"knowing cannot be used: {ABSENT} is") as asking:
            Facts("knowing")
    assert INSTALL in fetching.value.hint
    assert INSTALL in exporting.value.hint
    assert f'pip install "json {ABSENT}"' in asking.value.hint
    assert not path.exists()


def test_the_check_tells_what_is_missing_and_finds_no_fault() -> None:
    """A plugin whose packages its user has not installed is as its author meant it."""
    with in_place(mine=Plugin()) as there:
        found = {finding.about: finding for finding in examine_plugins(there)}
        assert inspect_plugins(there) == []
    assert {about: each.status for about, each in found.items()} == {
        "fetcher lacking": "missing",
        "exporter listing": "missing",
        "fact provider knowing": "missing",
    }
    assert found["fetcher lacking"].needs == f"{ABSENT}: {INSTALL}"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"requires": "astroquery"}, "in a tuple: ('astroquery',)"),
        ({"requires": ("astroquery.mast",)}, "expected packages as they are imported"),
        ({"install": ("sky[net]",)}, "expected what pip is to be given"),
    ],
)
def test_what_is_declared_wrongly_is_told(declared: dict[str, Any], said: str) -> None:
    """A word is a tuple of letters, none of which is installed."""
    plugin = Plugin()
    plugin.astrollava_exporters = hookimpl(lambda: [type("Bad", (Listing,), declared)()])  # type: ignore[method-assign]
    with in_place(mine=plugin) as there:
        (broken,) = there.broken
    assert said in broken.reason


def test_the_extra_has_what_the_plugins_here_need(repository: Path) -> None:
    """What is typed as told must bring what was missing."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {word.partition(">")[0] for word in project["optional-dependencies"]["fetch"]}
    there = plugins()
    for things in (there.fetchers, there.fact_providers, there.exporters):
        for thing in things.values():
            if type(thing).__module__.startswith("astrollava_plugins."):
                assert set(thing.requires) <= extra
                assert not thing.requires or thing.install == "astrollava[fetch]"


def test_without_the_extra_the_lists_say_what_is_missing() -> None:
    """Every service was called "ok", though most could not be used."""
    listed, checked = bare("plugins", "list", "--json"), bare("plugins", "check")
    assert listed.returncode == checked.returncode == 0, listed.stderr + checked.stderr
    rows = {row["name"]: row for row in map(json.loads, listed.stdout.splitlines())}
    lines = dict(line.split("\t") for line in checked.stdout.splitlines())
    needed = 'astroquery, pyvo, requests: pip install "astrollava[fetch]"'
    assert (rows["mast"]["state"], rows["mast"]["needs"]) == ("missing", needed)
    assert lines["mast"] == f"needs {needed}"
    assert lines["samp"] == 'needs pyvo: pip install "astrollava[fetch]"'
    assert rows["legacy"]["state"] == lines["legacy"] == "ok"


def test_without_the_extra_an_export_is_refused_before_the_work(tmp_path: Path) -> None:
    """It described all images first, and failed then, with a ModuleNotFoundError."""
    done = bare("describe", str(tmp_path / "no.fits"), "--export", f"samp:{tmp_path / 'a.vot'}")
    assert done.returncode == 1
    assert "samp cannot be used: pyvo is not installed" in done.stderr
    assert 'pip install "astrollava[fetch]"' in done.stderr
