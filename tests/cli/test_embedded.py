"""The commands as the README shows them: the embedded model, no options, no network."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from astrollava.images import example
from command_line import records, run

#: Any attempt to reach a network fails at once with this in the environment of the child.
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def test_describe_says_something_about_the_example() -> None:
    done = run("describe", "--json", example(), **NO_NETWORK)
    assert done.returncode == 0, done.stderr
    (record,) = records(done)
    assert len(record["text"].split()) > 5
    assert record["provenance"]["model"]["name"].startswith("astrollava-embedded")
    assert record["provenance"]["source"]["centre"]


def test_real_images_are_described_one_by_one(shared_data: Path) -> None:
    """Bands, WCS, bad pixels and integer data of real files, through the whole house."""
    names = ("decals_a.fits", "decals_bad_pixels.fits", "HorseHead.fits", "M13_blue_0001.fits")
    paths = [shared_data / "fits" / name for name in names]
    done = run("describe", "--json", *paths, **NO_NETWORK)
    assert done.returncode == 0, done.stderr
    assert [record["source"] for record in records(done)] == [str(path) for path in paths]
    assert all(record["text"] for record in records(done))


def test_a_truncated_real_file_is_named(shared_data: Path) -> None:
    path = shared_data / "fits" / "decals_incomplete.fits"
    done = run("describe", "--json", path)
    assert done.returncode == 2
    (record,) = records(done)
    assert record["error"]["type"] == "CorruptImage"


def test_the_demo_shows_and_writes(tmp_path: Path) -> None:
    """`make demo` is the first thing a new user runs."""
    folder = tmp_path / "new" / "demo"
    done = run("demo", "-o", folder, **NO_NETWORK)
    assert done.returncode == 0, done.stderr
    assert "%" in done.stdout
    assert "galaxy.png" in done.stdout
    assert "galaxy.html" in done.stdout
    assert (folder / "galaxy.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "galaxy.html").read_text(encoding="utf-8")
    assert " ".join(done.stdout.split()[:3]) in html.unescape(page)


def test_a_demo_that_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file where the folder should go")
    done = run("demo", "-o", tmp_path / "demo")
    assert done.returncode == 2
    assert "-o DIR" in done.stderr


def test_the_doctor_finds_this_house_in_order() -> None:
    done = run("doctor", "--json", **NO_NETWORK)
    checks = records(done)
    problems = [check for check in checks if check["status"] == "problem"]
    assert (done.returncode, problems, done.stderr) == (0, [], "")
    names = {check["name"] for check in checks}
    assert names >= {
        "python", "packages", "extras", "cache folder", "llama.cpp", "processor", "amx", "gpu",
        "class token", "terminal", "model files", "model header", "model hashes", "memory",
        "self-check",
    }  # fmt: skip
    assert all(set(check) == {"name", "status", "detail", "advice"} for check in checks)
    sight = [check["detail"] for check in checks if check["name"] == "self-check"]
    assert any("blank" in line for line in sight)
    assert any("swapped" in line for line in sight)


def test_the_doctor_speaks_to_people() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "✓" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "name", ["describe", "ask", "chat", "classify", "extract", "demo", "doctor"]
)
def test_every_command_has_help(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert name in done.stdout


def test_a_terminal_of_no_width_shows_the_help_all_the_same() -> None:
    """COLUMNS=0, as some shells in editors and schedulers say, left every line empty."""
    done = run("describe", "--help", COLUMNS="0")
    assert "Usage: astrollava describe" in done.stdout


def test_what_it_was_never_taught_is_said_beside_the_answer_in_one_line() -> None:
    """An answer in circles stood there as any other; repeated whole, it would hide the note."""
    done = run("ask", example(), "Are there tidal tails?")
    assert done.returncode == 0, done.stderr
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("note   untaught")]
    assert note.endswith("“tidal”, “tails”.")
    assert done.stdout.strip() not in note
    assert len(note) < 160
