"""`astrollava plugins`, `--export`, and models of plugins on the command line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

from astrollava.errors import ServiceError
from astrollava.hooks import (
    Entry,
    Exporter,
    Fact,
    FactProvider,
    Plugins,
    RemoteFile,
    hookimpl,
    manager,
)
from loopback_hub import serving, use
from plugin_files import Shelf
from tiny_pair import write_pair

Run = Callable[..., CompletedProcess[str]]
Use = Callable[..., Plugins]


class Listing(Exporter):
    """Writes what was said."""

    name = "listing"
    suffix = ".txt"

    def write(self, results: Any, path: Path) -> None:
        path.write_text("".join(f"{type(r).__name__}: {r}\n" for r in results), encoding="utf-8")


class Stubborn(Exporter):
    """Writes nothing, or fails."""

    suffix = ".txt"

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, results: Any, path: Path) -> None:
        if self.name == "failing":
            raise KeyError("no such key")


class Plugin:
    astrollava_contract = 1

    @hookimpl
    def astrollava_exporters(self) -> list[Exporter]:
        return [Listing(), Stubborn("failing"), Stubborn("silent")]

    @hookimpl
    def astrollava_models(self) -> list[Entry]:
        files = {role: RemoteFile(f"{role}.gguf", about=2000) for role in ("text", "mmproj")}
        return [Entry("wren", "A wren", "MIT", 4, "pad", repo="garden/wren", **files)]


@pytest.fixture
def bird(astrollava_plugins: Use) -> Plugins:
    return astrollava_plugins(bird=Plugin())


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A folder of the path for plugins; those installed in earnest are not looked at."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(manager, "_state", {})
    return Shelf(folder)


def test_sound_broken_and_blocked_are_listed(
    run: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretch = "@hookimpl\ndef astrollava_stretches():\n    return {'curve': abs}\n"
    shelf.put("sound", stretch)
    shelf.put("bad", "raise ValueError('out\\nof \\x1b[31morder')")
    shelf.put("shy", stretch)
    monkeypatch.setenv("ASTROLLAVA_PLUGINS", "sound,bad,nobody")
    listed = run("plugins", "list")
    assert listed.returncode == 0, "a broken plugin is no failure of the list"
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in listed.stdout.splitlines()}
    assert rows["sound"] == ["ok", "dist-sound 1.0", "stretches: curve"]
    assert rows["bad"][:2] == ["broken", "dist-bad 1.0"]
    assert rows["bad"][2].endswith("fails with ValueError: out of order")
    assert "\x1b" not in listed.stdout
    assert rows["shy"][0] == "blocked"
    assert "ASTROLLAVA_PLUGINS names no plugin: nobody" in listed.stderr
    records = [json.loads(line) for line in run("plugins", "list", "--json").stdout.splitlines()]
    by_name = {record["name"]: record for record in records}
    assert by_name["sound"]["gives"] == {"stretches": ["curve"]}
    assert by_name["bad"]["state"] == "broken"
    assert by_name["shy"] == {"name": "shy", "state": "blocked"}


def test_one_is_shown_with_what_it_gives(run: Run, bird: Plugins) -> None:
    shown = run("plugins", "show", "bird")
    assert shown.returncode == 0
    assert "exporters\tlisting\n  suffix\t.txt\n" in shown.stdout
    assert "models\twren\n  title\tA wren\n" in shown.stdout
    record = json.loads(run("plugins", "show", "bird", "--json").stdout)
    assert record["things"]["models"]["wren"]["repo"] == "garden/wren"
    missing = run("plugins", "show", "bord")
    assert missing.returncode == 2
    assert "Did you mean bird" in missing.stderr


def test_a_broken_one_is_shown_with_its_traceback(run: Run, shelf: Shelf) -> None:
    module = shelf.put("bad", "def deep():\n    return 1 / 0\n\ndeep()")
    shown = run("plugins", "show", "bad")
    assert shown.returncode == 0
    assert "ZeroDivisionError: division by zero" in shown.stdout
    assert f"{module}.py" in shown.stdout


def test_the_check_finds_faults_and_says_so_in_its_exit_code(run: Run, shelf: Shelf) -> None:
    """What a plugin is used for in a workflow of its authors."""
    shelf.put("good", "@hookimpl\ndef astrollava_stretches():\n    return {'a': lambda x: x}\n")
    assert run("plugins", "check", "good").returncode == 0
    manager._state.clear()
    shelf.put("loud", "@hookimpl\ndef astrollava_stretches():\n    return {'b': lambda x: 2 * x}\n")
    shelf.put("bad", "1 / 0")
    done = run("plugins", "check", "good", "loud", "bad")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "good\tok" in lines
    assert "loud\tstretch b: it gives values outside [0, 1], or none" in lines
    assert any(line.startswith("bad\t") and "ZeroDivisionError" in line for line in lines)
    found = run("plugins", "check", "loud", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout.splitlines()[0])["about"] == "stretch b"
    assert run("plugins", "check", "nobody").returncode == 2


def test_the_check_says_what_is_well_too(
    run: Run, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line in JSON for what is well, a program cannot tell it from what was not looked at."""
    give = "@hookimpl\ndef astrollava_stretches():\n    return {'a': lambda x: x, 'b': abs}\n"
    shelf.put("good", give)
    shelf.put("told", "@hookimpl\ndef astrollava_after_describe(result): ...\n")
    shelf.put("shy", "1 / 0")
    monkeypatch.setenv("ASTROLLAVA_PLUGINS", "-shy")
    names = ("good", "told", "shy")
    done = run("plugins", "check", *names, "--json")
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(each["plugin"], each["about"]): each["status"] for each in found} == {
        ("shy", ""): "blocked",
        ("good", "stretch a"): "ok",
        ("good", "stretch b"): "ok",
        ("told", ""): "ok",
    }
    lines = run("plugins", "check", *names).stdout.splitlines()
    assert lines == ["shy\tblocked", "good\tok", "told\tok"]
    monkeypatch.delenv("ASTROLLAVA_PLUGINS")
    manager._state.clear()
    done = run("plugins", "check", "shy", "told", "--json")
    assert done.returncode == 1
    (broken, told) = (json.loads(line) for line in done.stdout.splitlines())
    assert (broken["status"], told["status"]) == ("broken", "ok")
    assert "ZeroDivisionError" in broken["fault"]


def test_what_a_plugin_gives_is_traced_to_it(run: Run, bird: Plugins) -> None:
    """`plugins show tesscut`: what is used by that name is no plugin."""
    done = run("plugins", "show", "wren")
    assert done.returncode == 2
    assert "wren is a model of the plugin bird" in done.stderr


def test_a_broken_plugin_ends_no_command(
    run: Run, shelf: Shelf, picture: Path, speaker: list[str]
) -> None:
    """The fault of others: one plugin that fails to import, and nothing works any more."""
    shelf.put("leaves", "import sys; sys.exit('I am leaving')")
    shelf.put("loud", "@hookimpl\ndef astrollava_after_describe():\n    raise ValueError('no')\n")
    done = run("describe", picture, *speaker)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("A disk")
    assert run("models", "list").returncode == 0


LOUD = """
print("hello")

@hookimpl
def astrollava_stretches():
    print("hello")
    return {"curve": curve}

def curve(values):
    print("hello")
    return values

@hookimpl
def astrollava_after_describe():
    print("hello")
"""


def test_what_a_plugin_prints_is_not_in_the_output(
    run: Run, shelf: Shelf, picture: Path, image: Path, speaker: list[str]
) -> None:
    """A plugin's greeting was the first line of what should have been JSON."""
    shelf.put("loud", LOUD)
    for arguments in (
        ["plugins", "list", "--json"],
        ["plugins", "check", "--json"],
        ["describe", image, "--hdu", "SCI", "--stretch", "curve", "--json", *speaker],
        ["describe", picture, picture, "--json", *speaker],
    ):
        manager._state.clear()
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert [json.loads(line) for line in done.stdout.splitlines()]
        assert "hello" in done.stderr


def test_a_plugin_that_fails_to_listen_is_named_once(
    run: Run, shelf: Shelf, picture: Path, speaker: list[str]
) -> None:
    """It did what it was installed for never again, and nothing said so."""
    shelf.put("deaf", "@hookimpl\ndef astrollava_after_describe():\n    raise ValueError('no')\n")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = run("describe", picture, picture, "--json", *speaker)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line == "note  the plugin deaf failed in astrollava_after_describe with ValueError: no"
    assert "hooks\tastrollava_after_describe\n" in run("plugins", "show", "deaf").stdout


# Facts ---------------------------------------------------------------------------------------


class Almanac(FactProvider):
    """Knows one object, and is out of order when told to be."""

    name, credit, url = "almanac", "Almanac", "https://almanac.example"
    down = False

    def facts(self, position: SkyCoord, radius: u.Quantity, *, timeout: float = 60.0) -> Any:
        if self.down:
            raise ServiceError("almanac answered 500", status=400)
        apart = 0.5 * u.arcsec
        return (
            Fact("name", "M\x1b[31m 1", "", "Almanac: M 1", "", apart),
            Fact("redshift", 0.002, "", "Almanac: M 1", "1999A", apart),
        )


@pytest.fixture
def almanac(astrollava_plugins: Use) -> Almanac:
    class Giving:
        astrollava_contract = 1
        one = Almanac()

        @hookimpl
        def astrollava_fact_providers(self) -> list[FactProvider]:
            return [self.one]

    astrollava_plugins(almanac=Giving())
    return Giving.one


def test_what_catalogues_say_stands_apart_from_what_is_seen(
    run: Run, almanac: Almanac, sky: Path, speaker: list[str], tmp_path: Path
) -> None:
    """There was no way to ask for it on the command line, and the card had no place for it."""
    page = tmp_path / "page.html"
    asked = ["describe", sky, "--facts", "almanac", *speaker]
    done = run(*asked, "--html", page)
    assert done.returncode == 0, done.stderr
    seen, *known = done.stdout.splitlines()
    assert seen.startswith("visible: A disk")
    assert known == [
        "catalogued: name M [31m 1 (Almanac: M 1, 0.5 arcsec away)",
        "catalogued: redshift 0.002 (Almanac: M 1, 0.5 arcsec away, 1999A)",
    ]
    html = page.read_text(encoding="utf-8")
    assert html.index(">visible:<") < html.index("A disk") < html.index(">catalogued:<")
    record = json.loads(run(*asked, "--json").stdout)
    assert "0.002" not in record["text"]
    assert [fact["kind"] for fact in record["catalogued"]] == ["name", "redshift"]
    plain = run("describe", sky, *speaker)
    assert "visible" not in plain.stdout


def test_a_catalogue_that_is_down_fails_its_image_alone(
    run: Run, almanac: Almanac, sky: Path, speaker: list[str], tmp_path: Path
) -> None:
    """Its error went past the sources that were still to come."""
    almanac.down = True
    done = run("describe", sky, tmp_path / "no.fits", "--facts", "almanac", "--json", *speaker)
    assert done.returncode == 5
    kinds = [json.loads(line)["error"]["type"] for line in done.stdout.splitlines()]
    assert kinds == ["ServiceError", "ImageNotFound"]


def test_a_catalogue_that_does_not_exist_is_found_before_any_work(
    run: Run, almanac: Almanac, sky: Path
) -> None:
    done = run("describe", sky, "--facts", "almanak", "--model", "/nowhere/model.gguf")
    assert done.returncode == 2
    assert "Did you mean almanac" in done.stderr


# Models --------------------------------------------------------------------------------------


def test_a_plugins_model_is_seen_by_every_command(run: Run, bird: Plugins) -> None:
    listed = run("models", "list")
    (line,) = (line for line in listed.stdout.splitlines() if line.startswith("wren\t"))
    assert line.endswith("\tplugin bird")
    records = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert {r["name"]: r["plugin"] for r in records if r["plugin"]} == {"wren": "bird"}
    shown = run("models", "show", "wren")
    assert shown.returncode == 0
    assert "plugin\tbird" in shown.stdout
    assert "astrollava models pull wren" in shown.stdout
    assert json.loads(run("models", "show", "wren", "--json").stdout)["plugin"] == "bird"


def test_a_plugins_model_is_pulled_and_used(
    run: Run, bird: Plugins, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: from the name in a plugin to a description."""
    with serving() as hub:
        pair = zip(("text.gguf", "mmproj.gguf"), write_pair(tmp_path / "wren"), strict=True)
        hub.repositories["garden/wren"] = {name: path.read_bytes() for name, path in pair}
        use(monkeypatch, hub, tmp_path / "hub")
        pulled = run("models", "pull", "wren")
        assert pulled.returncode == 0, pulled.stderr
        described = run("describe", picture, "--model", "wren", "--max-tokens", "2", "--json")
    assert described.returncode == 0, described.stderr
    assert json.loads(described.stdout)["provenance"]["model"]["licence"] == "MIT"


# Exports -------------------------------------------------------------------------------------


def test_results_are_exported(
    run: Run, bird: Plugins, picture: Path, image: Path, speaker: list[str], tmp_path: Path
) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    exports = ["--export", f"listing:{one}", "--export", f" Listing :{two}"]
    done = run("describe", picture, tmp_path / "missing.png", image, *exports, *speaker)
    assert done.returncode == 2, "one source is missing"
    lines = one.read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines] == ["Description", "Description"]
    assert two.read_bytes() == one.read_bytes()
    run("classify", picture, "--labels", "star,galaxy", "--export", f"listing:{one}", *speaker)
    assert one.read_text(encoding="utf-8").startswith("Classification: ")
    run("ask", picture, "What?", "--export", f"listing:{one}", *speaker)
    assert one.read_text(encoding="utf-8").startswith("Answer: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("listing", "The exporters there are: listing, failing, silent"),
        (":a.txt", "cannot be read"),
        ("listing:", "cannot be read"),
        ("lisitng:a.txt", "Did you mean listing"),
        ("listing:/nowhere/at/all/a.txt", "cannot be written"),
    ],
)
def test_a_wrong_export_is_found_before_any_work(
    run: Run, bird: Plugins, picture: Path, given: str, said: str
) -> None:
    """Hours of descriptions, and then no file: the model named here does not exist."""
    done = run("describe", picture, "--export", given, "--model", "/nowhere/model.gguf")
    assert done.returncode == 2
    assert said in done.stderr
    assert "model.gguf" not in done.stderr


@pytest.mark.parametrize("command", ["describe", "ask", "classify", "extract"])
@pytest.mark.parametrize("alias", ["itself", "dotted", "hard link", "symbolic link"])
def test_an_image_is_never_written_over(
    run: Run, bird: Plugins, picture: Path, tmp_path: Path, command: str, alias: str
) -> None:
    """`--export listing:h.fits` of h.fits left a list where the only copy of the image was."""
    source, target = tmp_path / "h.png", tmp_path / "other.png"
    source.write_bytes(picture.read_bytes())
    if alias == "hard link":
        target.hardlink_to(source)
    elif alias == "symbolic link":
        target.symlink_to(source)
    else:
        target = source if alias == "itself" else Path(f"{tmp_path}/../{tmp_path.name}/h.png")
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    more = {"ask": ["What?"], "extract": [str(schema)]}.get(command, [])
    outputs = [["--export", f"listing:{target}"]]
    outputs += [["--html", str(target)]] if command == "describe" else []
    outputs += [["--export", f"listing:{schema}"]] if command == "extract" else []
    for output in outputs:
        done = run(command, source, *more, *output, "--model", "/nowhere/model.gguf")
        assert (done.returncode, done.stdout) == (2, "")
        assert "is read too" in done.stderr
        assert f"Give another {output[0]}" in done.stderr
        assert "model.gguf" not in done.stderr
    assert source.read_bytes() == picture.read_bytes()
    assert schema.read_text() == '{"type": "object"}'


@pytest.mark.parametrize("there", [False, True])
def test_no_output_is_written_over_by_another(
    run: Run, bird: Plugins, picture: Path, tmp_path: Path, there: bool
) -> None:
    """The second of two took the place of the first, which was said to be written."""
    file = tmp_path / "a.txt"
    if there:
        file.write_text("of yesterday")
    export = ["--export", f"listing:{file}"]
    for first in (export, ["--html", str(file)]):
        done = run("describe", picture, *first, *export, "--model", "/nowhere/model.gguf")
        assert (done.returncode, done.stdout) == (2, "")
        assert "is to be written twice" in done.stderr
    assert file.exists() == there


@pytest.mark.parametrize(
    ("name", "said"), [("failing", "failed with KeyError"), ("silent", "wrote no file")]
)
def test_an_exporter_that_fails_leaves_what_was_said(
    run: Run, bird: Plugins, picture: Path, speaker: list[str], tmp_path: Path, name: str, said: str
) -> None:
    done = run("describe", picture, "--export", f"{name}:{tmp_path / 'a.txt'}", *speaker)
    assert done.returncode == 1
    assert done.stdout.startswith("A disk")
    assert said in done.stderr
