"""What all commands do alike with a source: one that is none, and the line of JSON that says so."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import command_line
from astrollava.errors import ImageNotFound
from command_line import records

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def given(tmp_path: Path) -> dict[str, list[str]]:
    """Command -> what stands around its source."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "boolean"}', encoding="utf-8")
    return {"ask": ["Is there a bar?"], "extract": [str(schema)]}


@pytest.mark.parametrize("command", ["describe", "ask", "chat", "classify", "extract"])
def test_every_command_says_how_to_fetch_what_is_no_file(
    command: str, run: Run, given: dict[str, list[str]], speaker: list[str]
) -> None:
    """Only describe and classify said where images of "M 51" come from."""
    done = run(command, "M 51", *given.get(command, []), *speaker)
    assert done.returncode == 2
    assert "there is no file 'M 51'" in done.stderr
    assert "For an image of it: astrollava fetch 'M 51' --size 3arcmin" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["describe", "ask", "classify", "extract"])
def test_with_json_a_source_that_failed_is_a_line_too(
    command: str, run: Run, given: dict[str, list[str]], speaker: list[str]
) -> None:
    """Of ask and extract nothing came, though the guide promises a line for each source."""
    done = run(command, "gone.fits", *given.get(command, []), "--json", *speaker)
    assert done.returncode == 2
    [record] = records(done)
    assert record["source"] == "gone.fits"
    assert record["error"]["type"] == "ImageNotFound"
    assert record["error"]["message"].startswith("there is no file 'gone.fits'")


def test_the_error_keeps_its_file_between_processes() -> None:
    """`filename` held the hint: FileNotFoundError takes three arguments for number, words, file."""
    error = ImageNotFound("there is no file", hint="Look elsewhere", filename="a.fits")
    again = pickle.loads(pickle.dumps(error))
    assert (again.filename, again.hint, str(again)) == ("a.fits", "Look elsewhere", str(error))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe", ""], "the path is empty"),
        (["describe", "TORN"], "is a damaged picture (Truncated File Read)"),
        (["describe", "g.png", "--model", ""], "there is no model ''"),
        (["describe", "g.png", "--hdu", "9" * 5000], "there is no file 'g.png'"),
        (["describe", "g.png", "--bands", "9" * 5000], "there is no file 'g.png'"),
        (["extract", "schema.json", "TORN"], "expected the image first and the schema after it"),
        (["bundle", "create", "b.zip", "--set", "temperature=NaN"], "expected a finite number"),
        (["bundle", "use", "."], ". is no bundle, but a folder"),
        (["models", "convert", "TORN", "-o", "x"], "Give the folder that it is in: /"),
        (["demo", "-o", "TORN"], "cannot be written: File exists"),
    ],
)
def test_what_is_given_wrongly_is_named(
    arguments: list[str], said: str, run: Run, tmp_path: Path, picture: Path
) -> None:
    """An empty name was the folder one was in, a torn file the disk's fault, NaN a bundle's."""
    torn = tmp_path / "torn.jpg"
    Image.open(picture).save(torn)
    torn.write_bytes(torn.read_bytes()[:200])
    done = run(*(str(torn) if word == "TORN" else word for word in arguments))
    assert done.returncode in (2, 3)
    assert said in done.stderr
    assert (done.stdout, "unexpected" in done.stderr) == ("", False)


def test_an_address_of_a_hub_that_is_none_is_named(tmp_path: Path) -> None:
    """The hub's client could not be imported: "unexpected ValueError: Invalid IPv6 URL"."""
    done = command_line.run(
        "models", "pull", "hf:a/b", HF_ENDPOINT="http://[", HF_HUB_CACHE=str(tmp_path)
    )
    assert done.returncode == 2
    assert "HF_ENDPOINT is 'http://['" in done.stderr


SHELL = pytest.mark.skipif(os.name == "nt", reason="of a POSIX shell")


@SHELL
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("--version >&-", 0),
        ("models list >&-", 0),
        ("describe gone.fits >&- 2>&-", 2),
        ("describe - <&-", 2),
        ("--help >/dev/full", 1),
    ],
)
def test_streams_may_be_closed_or_full(how: str, code: int, tmp_path: Path) -> None:
    """Each ended with a traceback; what is opened next got the number of a closed stream."""
    if "/dev/full" in how and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    line = f"{shlex.quote(sys.executable)} -m astrollava {how}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr


@SHELL
@pytest.mark.parametrize("arguments", [[], ["--help"], ["describe", "-h"], ["models", "list"]])
def test_a_reader_that_goes_away_is_told_by_the_exit_code(arguments: list[str]) -> None:
    """Help pages ended with 1, which is for what nobody expected."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command_line.command(*arguments),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=command_line.environment(),
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
