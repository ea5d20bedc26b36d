"""``astrollava fetch``: an image of a place on the sky, as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import astropy.units as u
import pytest
from astropy.coordinates.name_resolve import sesame_url

import sky_service as sky
from astrollava.cli._failures import settings
from astrollava.cli.fetch import parse_angle
from astrollava.errors import InvalidRequest
from astrollava.images import read
from sky_service import SkyService, serving

Run = Callable[..., CompletedProcess[str]]

PLUGIN = """
from astrollava.hooks import hookimpl
from sky_service import SkyFetcher

astrollava_contract = 1

@hookimpl
def astrollava_fetchers():
    return [SkyFetcher(base_url={url!r})]
"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SkyService]:
    """A service, and a plugin for it that is installed as any is."""
    from astrollava.hooks import manager

    site = tmp_path / "site"
    about = site / "skyplugin-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: skyplugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[astrollava]\nskyplugin = skyplugin_of_a_test\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ASTROLLAVA_PLUGINS", "skyplugin")
    monkeypatch.setattr(manager, "_state", {})
    monkeypatch.delitem(__import__("sys").modules, "skyplugin_of_a_test", raising=False)
    with serving() as service:
        (site / "skyplugin_of_a_test.py").write_text(PLUGIN.format(url=service.url))
        yield service


def test_a_position_becomes_a_file(run: Run, service: SkyService, tmp_path: Path) -> None:
    out = tmp_path / "out.fits"
    done = run("fetch", "13:29:52.7 +47:11:43", "--from", "sky", "--size", "3arcmin", "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    assert "Simulated Sky, g, r, z; 90 x 90 pixels, 2 arcsec/pixel" in done.stderr
    assert "credit" in done.stderr
    image = read(out)
    assert image.bands == ("g", "r", "z")
    assert image.centre == pytest.approx((202.469583, 47.195278), abs=1e-5)


def test_a_name_becomes_a_file(run: Run, service: SkyService, tmp_path: Path) -> None:
    service.route("/sesame/", lambda asked: sky.Reply(b"%J 202.4696 +47.1953 = ...", "text/plain"))
    out = tmp_path / "out.fits"
    with sesame_url.set([service.url + "/sesame/"]):
        assert run("fetch", "M 51", "-o", out).returncode == 0
        service.always(sky.status(500))
        done = run("fetch", "M 52", "-o", out, "--overwrite")
    assert done.returncode == 5
    assert "give the position instead" in done.stderr
    assert read(out).meta["object"] == "M 51"


def test_auto_says_why(run: Run, service: SkyService, tmp_path: Path) -> None:
    done = run("fetch", "202.47 47.195", "-o", tmp_path / "out.fits")
    assert done.returncode == 0, done.stderr
    assert "sky (Simulated Sky): its footprint has the position" in done.stderr


def test_all_bands_and_a_picture(run: Run, service: SkyService, tmp_path: Path) -> None:
    out = tmp_path / "out.fits"
    done = run(
        "fetch", "202.47 47.195", "-o", out, "--all-bands", "--picture", "--pixels", "64", "--json"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["files"] == [str(out), str(out.with_suffix(".png"))]
    assert record["bands"] == ["g", "r", "z"]
    assert record["chosen"]
    assert read(out.with_suffix(".png")).shape == (64, 64)
    assert (out.parent / "out.png").is_file()


OTHERS = """
class Broken(SkyFetcher):
    name, depth, pixel_scale = "broken", 26.0, 1.5 * SkyFetcher.pixel_scale

    def fetch(self, *_, **__):
        raise SystemExit("I am leaving")

class Silent(SkyFetcher):
    name, depth, pixel_scale = "silent", 25.0, 1.25 * SkyFetcher.pixel_scale

    def fetch(self, position, size, *, timeout, **wanted):
        return super().fetch(position, size, timeout=min(timeout, 0.3), **wanted)

@hookimpl
def astrollava_fetchers():
    return [Broken(), Silent(base_url={url!r} + "/silent"), SkyFetcher(base_url={url!r})]
"""


@pytest.mark.parametrize("bands", [[], ["--all-bands"]])
def test_neither_a_broken_plugin_nor_a_silent_host_ends_auto(
    run: Run, service: SkyService, tmp_path: Path, bands: list[str]
) -> None:
    """With --all-bands the best survey alone was asked, and its fault was the end."""

    def silent(asked: sky.Asked) -> sky.Reply:
        service.released.wait(60)
        return sky.Reply(b"")

    service.route("/silent/", silent)
    module = tmp_path / "site" / "skyplugin_of_a_test.py"
    head = PLUGIN.partition("@hookimpl")[0]
    module.write_text(head + OTHERS.format(url=service.url))
    out = tmp_path / "out.fits"
    done = run("fetch", "202.47 47.195", "-o", out, "--size", "6arcmin", *bands)
    assert done.returncode == 0, done.stderr
    assert "sky (Simulated Sky): its footprint has the position" in done.stderr
    assert "broken failed: the plugin of broken failed with SystemExit: I am leaving" in done.stderr
    assert "silent failed: 127.0.0.1 did not answer" in done.stderr
    assert read(out).bands == ("g", "r", "z")


def test_a_family_of_fetchers_is_no_fetcher(run: Run, service: SkyService, tmp_path: Path) -> None:
    """`--from mast` was answered with all the names there are, and none of them was mast."""
    done = run("fetch", "202.47 47.195", "--from", "skyplugin", "-o", tmp_path / "out.fits")
    assert done.returncode == 2
    assert "The plugin skyplugin gives sky: name one of them" in done.stderr
    done = run("fetch", "202.47 47.195", "--from", "ky", "-o", tmp_path / "out.fits")
    assert "Did you mean sky?" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["10", "-60"],
        ["10", "-60.0"],
        ["10d", "-60d"],
        ["0:40:0", "-60:00:00"],
        ["0", "40", "0", "-60", "0", "0"],
        ["10 -60"],
    ],
)
def test_a_southern_declination_is_no_option(
    run: Run, service: SkyService, tmp_path: Path, words: list[str]
) -> None:
    """Without quotes it was "No such option: -6"."""
    out = tmp_path / "out.fits"
    done = run("fetch", *words, "--from", "sky", "-o", out)
    assert done.returncode == 0, done.stderr
    assert read(out).centre == pytest.approx((10, -60), abs=1e-4)
    done = run("fetch", "--from", "sky", "--overwrite", "-o", out, "--", *words)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wrong", "say"),
    [
        (["--sise", "3arcmin"], "there is no option --sise\nDid you mean --size"),
        (["--pixls=3"], "Did you mean --pixels"),
        (["-x"], "there is no option -x"),
    ],
)
def test_a_misspelt_option_is_no_part_of_a_target(
    run: Run, service: SkyService, tmp_path: Path, wrong: list[str], say: str
) -> None:
    done = run("fetch", "10", "-60", "--from", "sky", *wrong, "-o", tmp_path / "out.fits")
    assert done.returncode == 2
    assert say in done.stderr
    assert service.asked == []


def test_a_file_that_is_there_stays_unless_asked(
    run: Run, service: SkyService, tmp_path: Path
) -> None:
    """The only copy of an image was replaced by a cutout, without a word."""
    out, beside = tmp_path / "out.fits", tmp_path / "out.png"
    for there, more in ((out, []), (beside, ["--picture"])):
        there.write_text("mine")
        done = run("fetch", "10 20", "--from", "sky", "-o", out, *more)
        assert done.returncode == 2
        assert f"'{there}' is there already" in done.stderr
        assert "--overwrite replaces the file" in done.stderr
        assert there.read_text() == "mine"
        there.unlink()
    assert service.asked == []
    out.write_text("mine")
    assert run("fetch", "10 20", "--from", "sky", "-o", out, "--overwrite").returncode == 0
    assert read(out).bands == ("g", "r", "z")


def test_a_picture_is_no_target(run: Run, service: SkyService, tmp_path: Path) -> None:
    with sesame_url.set([service.url + "/sesame/"]):
        done = run("fetch", "some/picture.fits", "-o", tmp_path / "out.fits")
    assert done.returncode == 2
    assert "'some/picture.fits' is a file, not a place on the sky" in done.stderr
    assert "use astrollava describe" in done.stderr
    assert service.asked == []


def test_failures_name_themselves(run: Run, service: SkyService, tmp_path: Path) -> None:
    """A script tells a wrong option (2) from a service that has nothing or is down (5)."""
    out = tmp_path / "out.fits"
    service.next(sky.status(404, b"nothing observed there"))
    done = run("fetch", "202.47 47.195", "--from", "sky", "-o", out)
    assert done.returncode == 5
    assert "nothing observed there" in done.stderr
    for wrong, say in (
        (["202.47 47.195", "--from", "skye"], "Did you mean sky"),
        (["202.47 47.195", "--size", "3"], "--size"),
        (["202.47 47.195", "--bands", "q"], "bands q of sky"),
        (["202.47 47.195", "--from", "sky", "--bands", "q"], "g, r, z"),
        (["202.47 97"], "no position"),
        (["202.47 47.195", "--bands", "g", "--all-bands"], "both"),
    ):
        done = run("fetch", *wrong, "-o", out)
        assert done.returncode == 2, (wrong, done.stderr)
        assert say in done.stderr
    asked = len(service.asked)
    for name in ("out.txt", "nowhere/out.fits"):
        done = run("fetch", "202.47 47.195", "-o", tmp_path / name)
        assert done.returncode == 2
    # Before anything is asked for.
    assert len(service.asked) == asked
    assert not out.exists()


@pytest.mark.parametrize("words", ["3arcmin", "3 arcmin", "3'", "180arcsec", '180"', "0.05deg"])
def test_angles(words: str) -> None:
    assert parse_angle(words).to_value(u.arcmin) == pytest.approx(3)


@pytest.mark.parametrize(
    "words", ["", "3", "3kg", "-3arcmin", "nan deg", "inf deg", "[1,2] deg", "0'"]
)
def test_no_angles(words: str) -> None:
    with pytest.raises(InvalidRequest, match="--size"):
        parse_angle(words)


def test_an_image_from_the_cache_says_so_and_can_be_left_there(
    run: Run, service: SkyService, tmp_path: Path
) -> None:
    """An author mended a service and saw the old image, without a word of where it was from."""
    ask = ["fetch", "10 20", "--from", "sky", "--overwrite", "-o", tmp_path / "out.fits"]
    assert "--no-cache" not in run(*ask).stderr
    again = run(*ask)
    assert "cache   fetched 20" in again.stderr
    assert "--no-cache asks again" in again.stderr
    assert json.loads(run(*ask, "--json").stdout)["from_cache"] is True
    assert len(service.asked) == 1
    record = json.loads(run(*ask, "--no-cache", "--json").stdout)
    assert record["from_cache"] is False
    assert len(service.asked) == 2


def test_a_plugin_of_another_version_finds_nothing_of_the_old_one(
    run: Run, service: SkyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mended plugin gave the wrong image of before: its author had raised the wheel's version."""
    from astrollava.hooks import manager

    ask = ["fetch", "10 20", "--from", "sky", "--overwrite", "--json", "-o", tmp_path / "out.fits"]
    whose = {"name": "skyplugin", "distribution": "skyplugin", "version": "1.0"}
    assert json.loads(run(*ask).stdout)["plugin"] == whose
    assert json.loads(run(*ask).stdout)["plugin"] == whose
    assert len(service.asked) == 1
    about = tmp_path / "site" / "skyplugin-1.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("Version: 1.0", "Version: 1.1"))
    monkeypatch.setattr(manager, "_state", {})
    assert json.loads(run(*ask).stdout)["plugin"] == {**whose, "version": "1.1"}
    assert len(service.asked) == 2


FAILING = """
class Failing(SkyFetcher):
    def fetch(self, position, size, **wanted):
        return {}["x"]

@hookimpl
def astrollava_fetchers():
    return [Failing()]
"""


def test_a_plugin_that_fails_is_named_with_its_version(
    run: Run, service: SkyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended as a wrong option does, and nobody knew whom to write to."""
    # Put back at the end: --debug holds for the process.
    monkeypatch.setattr(settings, "debug", False)
    module = tmp_path / "site" / "skyplugin_of_a_test.py"
    module.write_text(PLUGIN.partition("@hookimpl")[0] + FAILING)
    done = run("fetch", "10 20", "--from", "sky", "-o", tmp_path / "out.fits")
    assert done.returncode == 1
    assert "the plugin of sky failed with KeyError: 'x' (skyplugin 1.0)" in done.stderr
    assert "`astrollava --debug …` shows where it came from" in done.stderr
    assert "Traceback" not in done.stderr
    told = run("--debug", "fetch", "10 20", "--from", "sky", "-o", tmp_path / "out.fits")
    assert 'return {}["x"]' in told.stderr
