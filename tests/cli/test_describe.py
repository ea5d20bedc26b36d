"""``astrollava describe`` and ``ask``: what goes where, and with which exit code."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import command, environment, records
from command_line import run as run_process

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SAID = "A disk,much_gory"


def test_the_text_alone_goes_to_standard_output(picture: Path, speaker: list[str]) -> None:
    """`astrollava describe x > text` must hold the text, and nothing that drives a terminal."""
    done = run_process("describe", picture, *speaker)
    assert done.returncode == 0, done.stderr
    assert done.stdout == SAID + "\n"
    assert done.stderr == ""


def test_several_texts_are_told_apart(
    run: Run, picture: Path, image: Path, speaker: list[str]
) -> None:
    done = run("describe", picture, image, *speaker)
    assert done.stdout == f"{picture}\n{SAID}\n\n{image}\n{SAID}\n"


def test_json_is_one_clean_object_a_line(picture: Path, image: Path, speaker: list[str]) -> None:
    """A progress line or a raw control character in it breaks whoever reads it."""
    done = run_process("describe", "--json", picture, image, *speaker)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    first, second = records(done)
    assert (first["source"], second["source"]) == (str(picture), str(image))
    assert first["type"] == "Description"
    # The record is what the model said, not what a terminal may show.
    assert first["text"].startswith("A disk,\x1b[2J")
    assert first["flags"] == []
    assert first["provenance"]["prompt"]["id"] == "describe"
    assert "thumbnail" not in first


def test_verbose_logs_stay_off_standard_output(picture: Path, speaker: list[str]) -> None:
    done = run_process("--verbose", "describe", "--json", picture, *speaker)
    assert done.returncode == 0, done.stderr
    assert len(records(done)) == 1
    assert "astrollava" in done.stderr


def test_standard_input_is_a_source(run: Run, picture: Path, speaker: list[str]) -> None:
    done = run("describe", "--json", "-", *speaker, stdin=picture.read_bytes())
    (record,) = records(done)
    assert record["source"] == "-"
    assert record["provenance"]["source"]["kind"] in {"bytes", "picture"}


def test_an_empty_standard_input_is_called_so(run: Run, speaker: list[str]) -> None:
    """Behind a pipe whose first program failed, "no image format" sends one to the wrong place."""
    done = run("describe", "-", *speaker)
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input is empty" in done.stderr


def test_a_question_before_the_image_is_seen_through(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    """That there is no file "Is there a bar?" does not say that the file came second."""
    done = run("ask", "Is there a bar?", picture)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"astrollava ask {picture} 'Is there a bar?'" in done.stderr
    for question in ("Is there a bar?", "~nobody? " + "really " * 1000):
        done = run("ask", tmp_path / "no.fits", question)
        assert done.returncode == 2
        assert "no.fits" in done.stderr
        assert "astrollava ask" not in done.stderr


def test_an_answer_cut_short_says_so(run: Run, picture: Path, babbler: list[str]) -> None:
    """Half a sentence otherwise looks like all the model had to say."""
    for words in (["describe", picture], ["ask", picture, "What is it?"]):
        done = run(*words, *babbler, "--max-tokens", "3")
        assert (done.returncode, done.stderr) == (0, "note   stopped at --max-tokens\n")
        quiet = run(*words, *babbler, "--max-tokens", "3", "--json")
        assert quiet.stderr == ""
        (record,) = records(quiet)
        assert record["provenance"]["generation"]["finish_reason"] == "length"


def test_options_reach_the_image_and_the_answer(run: Run, image: Path, babbler: list[str]) -> None:
    """An option that is parsed and dropped would change nothing, and nobody would notice."""
    done = run(
        "describe", "--json", image, *babbler,
        "--hdu", "TURN", "--cutout", "20,30,16", "--stretch", "linear", "--interval", "minmax",
        "--max-tokens", "5", "--temperature", "0.5", "--seed", "7", "--prompt", "Say something.",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    provenance = records(done)[0]["provenance"]
    assert provenance["source"]["cutout"] == {"x": [12, 28], "y": [22, 38]}
    assert provenance["source"]["hdu_name"] == "TURN"
    assert provenance["rendering"]["stretch"] == "linear"
    assert provenance["rendering"]["interval"] == "minmax"
    assert provenance["sampling"]["temperature"] == 0.5
    assert provenance["sampling"]["seed"] == 7
    assert provenance["generation"]["generated_tokens"] == 5
    assert provenance["prompt"]["text"] == "Say something."


@pytest.mark.parametrize("name", ["missing", "text", "cut", "table"])
def test_a_source_without_an_image_is_exit_code_2(
    run: Run, name: str, unusable: dict[str, Path], speaker: list[str]
) -> None:
    done = run("describe", unusable[name], *speaker)
    assert done.returncode == 2
    assert done.stdout == ""
    assert unusable[name].name in done.stderr
    assert done.stderr.startswith("error")
    assert "Traceback" not in done.stderr


def test_one_bad_source_does_not_stop_the_others(
    run: Run, unusable: dict[str, Path], picture: Path, speaker: list[str]
) -> None:
    """A night's list of cutouts must not end at the first broken file."""
    done = run("describe", "--json", unusable["cut"], picture, unusable["table"], *speaker)
    assert done.returncode == 2
    cut, good, table = records(done)
    assert cut["source"] == str(unusable["cut"])
    assert cut["error"]["type"] == "CorruptImage"
    assert table["error"]["type"] == "NoImageInFile"
    assert good["text"]
    assert "error" not in good
    assert done.stderr.count("error") >= 2


def test_a_source_an_option_does_not_suit_does_not_stop_the_others(
    run: Run, picture: Path, sky: Path, speaker: list[str]
) -> None:
    """A cutout on the sky is possible in one image and not in the next: that is the image's."""
    options = ["--cutout", "150d,2d,10arcsec", "--json", *speaker]
    done = run("describe", picture, "-", sky, *options, stdin=picture.read_bytes())
    assert done.returncode == 2
    named, piped, good = records(done)
    assert (named["source"], piped["source"]) == (str(picture), "-")
    assert named["error"]["type"] == piped["error"]["type"] == "InvalidRequest"
    assert "WCS" in piped["error"]["message"]
    assert good["text"]
    assert good["source"] == str(sky)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stretch", "wavy"],
        ["--interval", "wavy"],
        ["--cutout", "1,2"],
        ["--cutout", "here,there,10"],
        ["--cutout", "20,20,-5"],
        ["--hdu", "99"],
        ["--temperature", "-1"],
        ["--max-tokens", "0"],
        ["--max-tokens", "many"],
        ["--wobble"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_exit_code_2(
    run: Run, arguments: list[str], image: Path, speaker: list[str]
) -> None:
    done = run("describe", image, *arguments, *speaker)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert arguments[0] in done.stderr or arguments[-1] in done.stderr


def test_a_missing_model_is_exit_code_3(run: Run, picture: Path, tmp_path: Path) -> None:
    done = run("describe", picture, "--model", tmp_path / "no.gguf")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "no.gguf" in done.stderr


def test_a_foreign_model_file_is_exit_code_3(run: Run, picture: Path, speaker: list[str]) -> None:
    done = run("describe", picture, "--model", picture, "--mmproj", speaker[-1])
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_too_long_a_prompt_is_exit_code_4(run: Run, picture: Path, speaker: list[str]) -> None:
    done = run("describe", picture, *speaker, "--prompt", "word " * 600)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_is_one_line_and_exit_code_1(picture: Path, tmp_path: Path) -> None:
    """A user can do nothing with a traceback; who reports the error asks for it with --debug."""
    (tmp_path / "sitecustomize.py").write_text(
        "import astrollava.describer as d\n"
        "def fail(*a, **k): raise ZeroDivisionError('by\\x1b[2J nothing')\n"
        "d.Describer.__init__ = fail\n"
    )
    path = {"PYTHONPATH": str(tmp_path)}
    done = run_process("describe", picture, **path)
    assert done.returncode == 1
    assert "unexpected ZeroDivisionError: by nothing" in done.stderr
    assert "Traceback" not in done.stderr
    assert "--debug" in done.stderr
    debugged = run_process("--debug", "describe", picture, **path)
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr
    assert "\x1b" not in debugged.stderr


def test_control_characters_of_a_file_name_are_not_shown(run: Run, tmp_path: Path) -> None:
    done = run("describe", tmp_path / "a\x1b]0;owned\x07b.fits", "--model", "nothing")
    assert done.returncode in {2, 3}
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


def test_a_name_in_brackets_is_not_markup(
    run: Run, picture: Path, tmp_path: Path, speaker: list[str]
) -> None:
    """Rich would swallow it, or fail on it."""
    path = tmp_path / "[bold]x[dim].png"
    path.write_bytes(picture.read_bytes())
    done = run("describe", path, picture, *speaker)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout


def test_a_reader_that_goes_away_is_no_error(picture: Path, speaker: list[str]) -> None:
    """`astrollava describe *.fits | head -1` must end in silence."""
    process = subprocess.Popen(
        command("describe", picture, picture, picture, *speaker),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


def test_a_page_is_written(run: Run, picture: Path, speaker: list[str], tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    done = run("describe", picture, *speaker, "--html", page)
    assert done.returncode == 0, done.stderr
    assert "A disk" in page.read_text(encoding="utf-8")
    assert "data:image/png;base64," in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_exit_code_2(
    run: Run, picture: Path, speaker: list[str], tmp_path: Path
) -> None:
    done = run("describe", picture, *speaker, "--html", tmp_path / "no" / "out.html")
    assert done.returncode == 2
    assert "--html" in done.stderr


def test_a_page_that_cannot_be_written_costs_no_time(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    """Said after a night of descriptions, they would be lost; so before the model is looked for."""
    missing = tmp_path / "no.gguf"
    done = run("describe", picture, "--model", missing, "--html", tmp_path / "no" / "out.html")
    assert (done.returncode, done.stdout) == (2, "")
    # The look leaves nothing behind, and what was there as it was.
    page = tmp_path / "out.html"
    assert run("describe", picture, "--model", missing, "--html", page).returncode == 3
    assert not page.exists()
    page.write_text("of yesterday")
    assert run("describe", picture, "--model", missing, "--html", page).returncode == 3
    assert page.read_text() == "of yesterday"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_a_page_holds_what_was_made_until_ctrl_c(
    picture: Path, babbler: list[str], tmp_path: Path
) -> None:
    """Hours of descriptions must not be lost because the last ones are not waited for."""
    page = tmp_path / "out.html"
    arguments = ["describe", *[picture] * 1500, *babbler, "--max-tokens", "30", "--html", page]
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert str(picture).encode() in process.stdout.readline()
        # The name of the second source comes when the first is described.
        while str(picture).encode() not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert "data:image/png;base64," in page.read_text(encoding="utf-8")


def test_ask_answers(run: Run, picture: Path, speaker: list[str]) -> None:
    done = run("ask", picture, "Is there a bar?", *speaker)
    assert (done.returncode, done.stdout, done.stderr) == (0, SAID + "\n", "")
    (record,) = records(run("ask", picture, "Is there a bar?", "--json", *speaker))
    assert record["type"] == "Answer"
    assert record["question"] == "Is there a bar?"
    assert record["source"] == str(picture)


def test_an_empty_question_is_called_so(run: Run, picture: Path, tmp_path: Path) -> None:
    done = run("ask", picture, " ", "--model", tmp_path / "no.gguf")
    assert done.returncode == 2
    assert "the question is empty" in done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["describe", "--help"]])
def test_help_and_version_need_no_model(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert "astrollava" in done.stdout
    assert done.stderr == ""


def test_nothing_asked_shows_the_help(run: Run) -> None:
    done = run()
    assert "describe" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["describe", "classify", "extract", "ask", "chat"])
def test_who_would_fetch_here_is_told_where(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was "No such option: --from (Possible options: --prompt)", which leads nowhere."""
    monkeypatch.setenv("COLUMNS", "200")
    done = run(command, "--from", "legacy", "M51")
    assert done.returncode == 2
    assert "No such option: --from. First fetch a file: astrollava fetch TARGET" in done.stderr
    assert "--prompt" not in done.stderr
    assert "(Possible options: --" in run(command, "--hduu", "1", "M51").stderr


@pytest.mark.parametrize("target", ["M51", "202.47 47.195", "13:29:52.7 +47:11:43"])
def test_a_name_on_the_sky_is_no_file_but_can_be_fetched(
    run: Run, target: str, speaker: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there is no such file was all that was said."""
    monkeypatch.chdir(tmp_path)
    done = run("describe", target, *speaker)
    assert done.returncode == 2
    assert "there is no file" in done.stderr
    assert f"astrollava fetch {shlex.quote(target)} --size 3arcmin" in done.stderr
    assert "astrollava fetch" not in run("describe", "m51.fits", *speaker).stderr
