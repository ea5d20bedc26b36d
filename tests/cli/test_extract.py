"""``astrollava extract``: objects on standard output, and why there is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import records

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "bar": {"type": "boolean", "description": "Is there a bar?"},
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "note": {"type": "string", "maxLength": 9},
    },
    "required": ["bar", "size", "note"],
}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "galaxy.json"
    path.write_text(json.dumps(SCHEMA), encoding="utf-8")
    return path


def test_one_object_a_line(run: Run, picture: Path, schema: Path, babbler: list[str]) -> None:
    done = run("extract", picture, schema, *babbler)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    value = json.loads(done.stdout)
    assert isinstance(value["bar"], bool)
    assert 1 <= value["size"] <= 9


def test_json_has_all_of_the_result(
    run: Run, picture: Path, schema: Path, babbler: list[str]
) -> None:
    options = ["--prompt", "Fill it in.", "--temperature", "1", "--seed", "3", "--json"]
    (record,) = records(run("extract", picture, schema, *options, *babbler))
    assert record["type"] == "Extraction"
    assert record["source"] == str(picture)
    assert record["value"] == json.loads(record["text"])
    assert sum(record["probabilities"]["bar"].values()) == pytest.approx(1)
    assert record["provenance"]["prompt"]["text"] == "Fill it in."
    assert record["provenance"]["prompt"]["schema"] == SCHEMA
    assert record["provenance"]["sampling"]["seed"] == 3


def test_a_text_that_was_cut_off_is_told_and_kept(
    run: Run, picture: Path, schema: Path, babbler: list[str]
) -> None:
    done = run("extract", picture, schema, "--max-tokens", "5", "--json", *babbler)
    assert done.returncode == 4
    assert "--max-tokens was reached" in done.stderr
    (record,) = records(done)
    assert record["error"]["type"] == "ExtractionFailed"
    assert record["error"]["text"].startswith('{"')
    plain = run("extract", picture, schema, "--max-tokens", "5", *babbler)
    assert (plain.returncode, plain.stdout) == (4, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[]", "holds a list"),
        (b" " * 5_000_000, "is too large"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"type": "string", "format": "date"}', "'format'"),
        (b'{"type": "\x1b[31mred"}', "is no JSON"),
        (b'{"type": "\\u001b[31mred"}', "stands at"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told(
    run: Run, picture: Path, tmp_path: Path, babbler: list[str], content: bytes, words: str
) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    done = run("extract", picture, path, *babbler)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "\x1b" not in done.stderr


def test_a_schema_that_is_not_there_is_told(run: Run, picture: Path, schema: Path) -> None:
    done = run("extract", picture, "none.json")
    assert done.returncode == 2
    assert "there is no file 'none.json'" in done.stderr
    assert "cannot be read" in run("extract", picture, picture.parent).stderr
    swapped = run("extract", schema, "cutout.fits")
    assert "the image first and the schema after it" in swapped.stderr
