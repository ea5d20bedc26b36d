"""``astrollava-train`` as it is typed: orders, names, errors, and a reader that goes away."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
torch = pytest.importorskip("torch")

from astrollava.errors import InvalidRequest  # noqa: E402
from astrollava_training import cli  # noqa: E402
from astrollava_training.cli import main  # noqa: E402
from astrollava_training.dataset.rows import find_files  # noqa: E402
from astrollava_training.kinds import PACKAGED, find_recipe, load_any, packaged  # noqa: E402

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "order",
    [
        "export RUN a.png b.png -o DIR --quantize q8_0",
        "export RUN -o DIR a.png b.png --quantize q8_0",
        "export RUN -o DIR --quantize q8_0 a.png b.png",
        "export -o DIR --quantize q8_0 RUN a.png b.png",
        "export RUN a.png -o DIR b.png --quantize q8_0",
    ],
)
def test_pictures_may_stand_behind_options(order: str) -> None:
    """argparse would refuse what stands behind ``-o DIR``, the order in which one thinks of it."""
    given = cli._parser().parse_args(order.split())
    assert (given.run, given.out, given.quantize) == (Path("RUN"), Path("DIR"), "q8_0")
    assert given.pictures == ["a.png", "b.png"]


def test_other_commands_take_their_arguments_in_any_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parse = cli._parser().parse_args
    assert parse(["export", "RUN", "-o", "DIR"]).pictures == []
    assert parse(["run", "--resume", "embedded", "--set", "a.b=1"]).recipe == Path("embedded")
    assert parse(["retention", "q.json", "--seed", "3", "before", "after", "other"]).after == [
        "after",
        "other",
    ]
    score = parse(["ratings", "score", "key.json", "--seed", "3", "a.csv", "b.csv"])
    assert score.tables == [Path("a.csv"), Path("b.csv")]
    assert parse(["evaluate", "--limit", "3"]).model == "embedded"
    with pytest.raises(SystemExit):
        parse(["export", "RUN", "-o", "DIR", "--quantise", "q8_0", "a.png"])
    assert "--quantise" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(["export", "-o", "DIR"])
    assert "required: run\n" in capsys.readouterr().err


def test_a_packaged_recipe_is_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed by pip nobody has a folder ``recipes``, which the guide names."""
    monkeypatch.chdir(tmp_path)
    for named in ("astrollava-7b", "astrollava-7b.toml", "recipes/astrollava-7b.toml"):
        assert find_recipe(named) == PACKAGED / "astrollava-7b.toml"
    mine = tmp_path / "recipes" / "astrollava-7b.toml"
    mine.parent.mkdir()
    mine.write_text("")
    assert find_recipe("recipes/astrollava-7b.toml") == Path("recipes/astrollava-7b.toml")
    assert find_recipe("astrollava-7b") == PACKAGED / "astrollava-7b.toml"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("astrolava-7b", "astrolava-7b is no file"),
        ("astrolava-7b", "Did you mean 'astrollava-7b'?"),
        ("elsewhere/astrollava-7b.toml", "elsewhere/astrollava-7b.toml is no file"),
        ("nothing.toml", "one that comes along: ablation-no-stage-1, astrollava-7b, "),
        (".", ". is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["run", "tower", "bench", "publish"])
def test_no_recipe_names_those_there_are(
    named: str, said: str, command: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """``[Errno 2]`` helps nobody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "votes.csv").touch()
    data = [] if command == "bench" else ["--data", "votes.csv"]
    assert main([command, named, *data]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Errno" not in err


def test_help_names_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    told = "".join(capsys.readouterr().out.split())
    for name in packaged():
        assert name in told


def test_recipes_lie_where_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guide said that the help tells where to find one to copy, and it told names alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tower").touch()
    assert main(["recipes"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(listed) == packaged()
    assert all(load_any(file).name == name for name, file in listed.items())
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "`astrollava-train recipes`" in " ".join(capsys.readouterr().out.split())
    assert "`astrollava-train recipes`" in (HERE / "docs" / "training.md").read_text("utf-8")


COMMANDS = (
    *("run", "tower", "export", "bench", "evaluate", "compare", "trust", "questions", "retention"),
    *("recipes", "ratings", "ratings sheet", "ratings score", "publish"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_no_place_of_one_machine_and_explains_all(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that only a checkout has was the default of whoever installed by pip.

    And a few options had no word of help, a few commands no description.
    """
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command.split(), "--help"])
    told = capsys.readouterr().out
    assert str(HERE) not in told
    assert not re.search(r"(?<![\w<])(?:/|\.\./|~/)\w", told.replace("https://", ""))
    parser = cli._parser()
    for name in command.split():
        [parser] = [
            action.choices[name]
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
        ]
    assert parser.description
    assert all(action.help for action in parser._actions if action.option_strings)


@pytest.mark.parametrize(
    "given",
    [
        "bench r --steps 0",
        "bench r --price nan",
        "bench r --price -1",
        "evaluate --resamples -1",
        "evaluate --resamples 1000000000000",
        "evaluate --limit 1",
        "trust --seed -1",
        "run r --workers -1",
        "ratings sheet -o x --raters 0",
        "compare a b --seed 1.5",
    ],
)
def test_a_number_that_is_none_is_refused_before_anything_is_read(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ended, hours later, in numpy's words: "negative dimensions are not allowed"."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(given.split())
    *_, said = capsys.readouterr().err.splitlines()
    option, value = re.findall(r"(--\S+) (\S+)$", given)[0]
    assert f"argument {option}: {value!r}, expected a " in said


def test_data_that_are_not_found_name_the_option_that_finds_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "no data at 'a.json' in ." did not say that ``--data`` names another folder."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "astrollava-7b", "--data", "dat"]) == 2
    assert "--data dat: it is not there" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["run", "astrollava-7b", "--data", "file"]) == 2
    assert "--data file: it is no folder" in capsys.readouterr().err
    with pytest.raises(InvalidRequest) as caught:
        find_files(["captions.json"], Path())
    assert f"in {tmp_path}" in str(caught.value)
    assert "the folder that --data names" in str(caught.value)


@pytest.mark.parametrize("named", ["file", "file/run"])
@pytest.mark.parametrize("command", [["run", "astrollava-7b"], ["tower", "tower"]])
def test_a_run_into_a_file_is_refused_in_words(
    command: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ "file/cache: Not a directory" came after the weights had been read."""
    (tmp_path / "file").touch()
    assert main([*command, "--data", str(tmp_path), "-o", str(tmp_path / named)]) == 2
    assert f"{tmp_path / 'file'} is a file. Expected a folder for" in capsys.readouterr().err


def test_a_command_without_stages_that_is_stopped_speaks_of_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``evaluate`` said that its finished stages are kept."""
    monkeypatch.setattr("astrollava_training.commands.evaluate._evaluate", failing(STOPPED))
    assert main(["evaluate"]) == 130
    assert capsys.readouterr().err == "astrollava-train: stopped\n"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_none_is_an_error_of_one_line(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch's own is a traceback with a list of twenty names."""
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'kind = "two-stage"\nname = "x"\n[model]\nstart = "s"\n[stage2]\ndata = ["a.json"]\n'
        'template = "v1"\ntrains = ["projector"]\nlr = 1e-3\nbatch = 1\n'
    )
    assert main(["run", str(recipe), "--data", str(tmp_path), "--device", device]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"there is no device {device!r}. Expected cpu" in line


STOPPED = KeyboardInterrupt()


def failing(error: BaseException) -> Callable[[argparse.Namespace], None]:
    def work(_: argparse.Namespace) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "runs/x"), 2, "runs/x: Permission denied"),
        (OSError(28, "No space left on device"), 2, "astrollava-train: No space left on device"),
        (RuntimeError("shapes"), 1, "unexpected RuntimeError: shapes"),
    ],
)
def test_what_nobody_expected_is_told_and_its_traceback_kept(
    error: Exception, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A night's training that breaks off with a line alone could not be looked into."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("astrollava_training.commands.run._run", failing(error))
    assert main(["run", "embedded"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert "Errno" not in err
    kept = list(tmp_path.glob("astrollava-train-*.txt"))
    assert [path.name in err for path in kept] == [True] * (code == 1)
    assert all("RuntimeError: shapes" in path.read_text() for path in kept)
    assert main(["--debug", "run", "embedded"]) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    """``astrollava-train … | head -1`` ended with a traceback of BrokenPipeError."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "astrollava_training", *arguments]
    # Unbuffered, argparse would see the pipe itself, and take no notice.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=HERE, env=environment
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
