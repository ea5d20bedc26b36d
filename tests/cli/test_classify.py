"""``astrollava classify``: labels where they belong, and the options that choose them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from astrollava.vocabularies import GALAXY10
from command_line import records

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_line_a_source(run: Run, picture: Path, image: Path, speaker: list[str]) -> None:
    """`astrollava classify *.fits | grep -c Barred` counts lines: nothing else may be there."""
    done = run("classify", picture, image, "--labels", "star, galaxy", *speaker)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line, source in zip(lines, (picture, image), strict=True):
        label, _, share = line.removeprefix(f"{source}: ").partition(" (")
        assert label in {"star", "galaxy"}
        assert share[0].isdigit()
        assert "%" in share


def test_json_has_every_label(run: Run, picture: Path, speaker: list[str]) -> None:
    (record,) = records(run("classify", picture, "--json", *speaker))
    assert record["source"] == str(picture)
    assert record["type"] == "Classification"
    assert record["vocabulary"] == "galaxy10"
    assert set(record["probabilities"]) == set(GALAXY10.labels)
    assert sum(record["probabilities"].values()) == pytest.approx(1)
    assert record["provenance"]["prompt"]["text"] == GALAXY10.question


def test_options_reach_the_labels_and_the_image(run: Run, image: Path, speaker: list[str]) -> None:
    """An option that is parsed and dropped would change nothing, and nobody would notice."""
    options = ["--hdu", "TURN", "--cutout", "20,30,16", "--question", "Star or galaxy?"]
    done = run("classify", image, "--json", "--labels", "star,galaxy", *options, *speaker)
    assert done.returncode == 0, done.stderr
    (record,) = records(done)
    assert set(record["probabilities"]) == {"star", "galaxy"}
    assert record["provenance"]["prompt"]["text"] == "Star or galaxy?"
    assert record["provenance"]["source"]["cutout"] == {"x": [12, 28], "y": [22, 38]}
    assert record["provenance"]["source"]["hdu_name"] == "TURN"


def test_one_bad_source_does_not_stop_the_others(
    run: Run, unusable: dict[str, Path], picture: Path, speaker: list[str]
) -> None:
    done = run("classify", "--json", unusable["table"], picture, *speaker)
    assert done.returncode == 2
    table, good = records(done)
    assert table["error"]["type"] == "NoImageInFile"
    assert good["probabilities"]
    assert done.stderr.startswith("error")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vocabulary", "galaxy11"],
        ["--labels", "galaxy"],
        ["--labels", "star,,galaxy"],
        ["--labels", "star,galaxy", "--vocabulary", "galaxy10"],
    ],
    ids=" ".join,
)
def test_wrong_labels_are_exit_code_2(
    run: Run, arguments: list[str], picture: Path, speaker: list[str]
) -> None:
    done = run("classify", picture, *arguments, *speaker)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_bars(picture: Path, speaker: list[str]) -> None:
    from pseudo_terminal import Terminal

    with Terminal("classify", picture, "--labels", "star,galaxy", *speaker) as terminal:
        assert terminal.end() == 0
        assert "galaxy.png: " in terminal.shown
        assert "━" in terminal.shown
        assert "%" in terminal.shown
