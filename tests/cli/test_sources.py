"""What all commands do alike with a source: one that is none, and the line of JSON that says so."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
