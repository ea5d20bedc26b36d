"""On a terminal: the picture beside the words, a conversation, and Ctrl-C at any moment."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import command, environment

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

from pseudo_terminal import INTERRUPT, Terminal

PROMPT = "›"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def words(shown: str) -> str:
    """Return what a person reads: no control sequences, one space between words."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x01\x02]", "", shown).split())


def test_the_picture_stands_beside_the_words(picture: Path, speaker: list[str]) -> None:
    with Terminal("describe", picture, *speaker) as terminal:
        assert terminal.end() == 0
        last = terminal.shown.rsplit("galaxy.png", 1)[-1]
        assert "▀" in last
        assert "A disk,much_gory" in words(terminal.shown)
        assert "40 × 40 px" in words(terminal.shown)
        assert "tokens in" in words(terminal.shown)
        # The model said "clear the screen": nobody else may.
        assert "\x1b[2J" not in terminal.shown
        assert terminal.shown.rfind(SHOW) > terminal.shown.rfind(HIDE)


def test_a_terminal_without_colours_gets_words_only(picture: Path, speaker: list[str]) -> None:
    with Terminal("describe", picture, *speaker, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert "▀" not in terminal.shown
        assert "A disk,much_gory" in words(terminal.shown)


def test_a_dumb_terminal_gets_no_control_sequence(picture: Path, speaker: list[str]) -> None:
    """Emacs shells and log collectors would show them as rubbish."""
    with Terminal("describe", picture, *speaker, TERM="dumb", COLORTERM="") as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.shown
        assert "A disk,much_gory" in terminal.shown


def test_json_on_a_terminal_is_still_json_only(picture: Path, speaker: list[str]) -> None:
    with Terminal("describe", "--json", picture, *speaker) as terminal:
        assert terminal.end() == 0
        assert terminal.shown.startswith("{")
        assert "\x1b" not in terminal.shown


@pytest.mark.parametrize(("protocol", "start"), [("kitty", "\x1b_Ga=T"), ("iterm2", "\x1b]1337;")])
def test_graphics_are_drawn_once_over_their_room(
    protocol: str, start: str, picture: Path, speaker: list[str]
) -> None:
    """Drawn with every refresh, the picture would be sent ten times a second."""
    with Terminal("describe", picture, *speaker, ASTROLLAVA_PICTURES=protocol) as terminal:
        assert terminal.end() == 0
        assert "▀" not in terminal.shown
        assert terminal.shown.count(start) == 1
        after = terminal.shown.partition(start)[2]
        height = int(re.findall(r"\x1b7\x1b\[(\d+)A", terminal.shown)[-1])
        assert height >= 16
        assert "\x1b8" in after


def test_a_question_is_shown_with_its_answer(picture: Path, speaker: list[str]) -> None:
    with Terminal("ask", picture, "Is there a bar?", *speaker) as terminal:
        assert terminal.end() == 0
        assert "Is there a bar?" in words(terminal.shown)
        assert "A disk,much_gory" in words(terminal.shown)
        assert "▀" in terminal.shown


def test_a_conversation_goes_on_until_quit(picture: Path, speaker: list[str]) -> None:
    with Terminal("chat", picture, *speaker) as terminal:
        assert "▀" in terminal.expect(PROMPT)
        for question in ("What is this?", "How many arms?"):
            terminal.type(question + "\r")
            shown = terminal.expect(PROMPT)
            assert "A disk,much_gory" in words(shown)
            assert "\x1b[2J" not in shown
        terminal.type("/help\r")
        assert "Ctrl-C" in terminal.expect(PROMPT)
        terminal.type("\r")
        terminal.expect(PROMPT)
        terminal.type("/quit\r")
        assert terminal.end() == 0


def test_the_end_of_input_leaves_in_silence(picture: Path, speaker: list[str]) -> None:
    with Terminal("chat", picture, *speaker) as terminal:
        terminal.expect(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown
        assert "error" not in terminal.shown


def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(
    picture: Path, endless: list[str]
) -> None:
    """Long answers must be stoppable without losing the conversation."""
    with Terminal("chat", picture, *endless) as terminal:
        terminal.expect(PROMPT)
        for _ in range(2):
            terminal.type("Go on!\r")
            terminal.expect("monevr")
            terminal.type(INTERRUPT)
            assert "(stopped)" in terminal.expect(PROMPT)
        terminal.type("/quit\r")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.shown


def test_ctrl_c_at_the_prompt_leaves_at_the_second(picture: Path, speaker: list[str]) -> None:
    with Terminal("chat", picture, *speaker) as terminal:
        terminal.expect(PROMPT)
        terminal.type("half a quest")
        terminal.expect("half a quest")
        terminal.wait_for_keys()
        terminal.type(INTERRUPT)
        terminal.expect("once more")
        terminal.expect(PROMPT)
        terminal.wait_for_keys()
        terminal.type(INTERRUPT)
        assert terminal.end() == 130
        assert "Traceback" not in terminal.shown


def test_questions_may_come_from_a_pipe(picture: Path, speaker: list[str]) -> None:
    done = subprocess.run(
        command("chat", picture, *speaker),
        input="What is this?\n\nHow many arms?\n/quit\nNever asked\n",
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "A disk,much_gory\n" * 2


def test_a_conversation_beyond_the_context_is_an_error_not_the_end(
    picture: Path, speaker: list[str]
) -> None:
    with Terminal("chat", picture, *speaker) as terminal:
        terminal.expect(PROMPT)
        terminal.type("word " * 200 + "word " * 200 + "\r")
        assert "error" in terminal.expect("\n\x1b") + terminal.expect(PROMPT)
        terminal.type("/quit\r")
        assert terminal.end() == 4


def test_a_conversation_that_grew_too_long_starts_again(picture: Path, speaker: list[str]) -> None:
    """A count of tokens in "the prompt" says nothing to who asked a short question."""
    long = "word " * 60 + "\n"
    done = subprocess.run(
        command("chat", picture, *speaker),
        input=long * 20,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert done.returncode == 4
    assert "the conversation is too long for the model" in done.stderr
    assert "/new" in done.stderr
    answered = done.stdout.count("A disk")
    assert 1 <= answered < 20
    # The lines behind the one that did not fit are read: the last of them is answered.
    later = subprocess.run(
        command("chat", picture, *speaker),
        input=long * (answered + 2) + "/new\nIs there a bar?\n",
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert later.returncode == 4
    assert later.stderr.count("the conversation is too long for the model") == 2
    assert later.stdout.count("A disk") == answered + 1
    with_new = subprocess.run(
        command("chat", picture, *speaker),
        input=(long + "/new\n") * (answered + 2),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    assert (with_new.returncode, with_new.stderr) == (0, "")
    assert with_new.stdout.count("A disk") == answered + 2


def test_new_forgets_what_was_said(picture: Path, speaker: list[str]) -> None:
    with Terminal("chat", picture, *speaker) as terminal:
        terminal.expect(PROMPT)
        terminal.type("/new\r")
        assert "a new conversation" in words(terminal.expect(PROMPT))
        terminal.type("What is this?\r")
        assert "A disk" in words(terminal.expect(PROMPT))
        terminal.type("/quit\r")
        assert terminal.end() == 0


# Before our first line runs, the interpreter itself answers; nothing can be done about it. So "up"
# is said from inside of `main`, at its first import.
START = """
import sys
from astrollava.cli import main

def say(event, values):
    if event == "import" and values[0] == "astrollava.cli._interrupts":
        print("up", flush=True)

sys.addaudithook(say)
main()
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5])
def test_ctrl_c_ends_the_command_at_any_moment(
    delay: float, picture: Path, endless: list[str]
) -> None:
    """While modules load, llama.cpp logs or tokens come: exit code 130 and not a word."""
    arguments = ["describe", *[picture] * 20, *endless]
    with subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def test_ctrl_c_gives_the_cursor_back(picture: Path, endless: list[str]) -> None:
    """A terminal without a cursor is what rich leaves behind when it is cut off."""
    with Terminal("describe", picture, *endless) as terminal:
        terminal.expect(HIDE)
        terminal.expect("monevr")
        terminal.type(INTERRUPT)
        assert terminal.end() == 130
        assert terminal.shown.rfind(SHOW) > terminal.shown.rfind(HIDE)
        assert "Traceback" not in terminal.shown
