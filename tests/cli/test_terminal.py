"""What reaches a terminal: words only, whole words, and a picture where it can show one."""

from __future__ import annotations

import base64
import io
import itertools
import re
from unicodedata import category

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from astrollava.cli._terminal import Cleaner, clean, clean_line
from astrollava.cli._wrap import StreamWrapper
from astrollava.cli.picture import (
    HalfBlocks,
    inline_image,
    picture_protocol,
    picture_size,
    print_picture,
)

TERMINAL = {"TERM": "xterm-256color"}


def terminal(width: int = 80, height: int = 40, colors: str = "truecolor") -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=colors,  # type: ignore[arg-type]
        width=width,
        height=height,
    )


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


@given(st.text(st.characters(), max_size=60))
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    """A file name or a model's words could otherwise clear the screen or fake a prompt."""
    left = {c for c in clean(text) if category(c) in {"Cc", "Cs"}}
    assert left <= {"\n", "\t"}
    assert "\n" not in clean_line(text)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "2Jgone"),
        ("a\x08b\rc", "abc"),
        ("gpj.\u202egalaxy", "gpj.galaxy"),
        ("Seyfert\u2019s Sextet, Δλ, 12\u2033", "Seyfert\u2019s Sextet, Δλ, 12\u2033"),
    ],
)
def test_control_sequences_go_and_words_stay(given_text: str, shown: str) -> None:
    assert clean(given_text) == shown


@given(st.data())
def test_a_sequence_cut_between_pieces_is_still_taken_out(data: st.DataObject) -> None:
    """A model writes its text token by token, and no token is a whole sequence."""
    text = "It is \x1b[38;5;1ma \x1b]0;owned\x07disk\x1b[0m, seen edge-on."
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    cleaner = Cleaner()
    edges = [0, *cuts, len(text)]
    shown = "".join(cleaner.feed(text[a:b]) for a, b in itertools.pairwise(edges))
    assert shown == "It is a disk, seen edge-on."


def wrapped(pieces: list[str], width: int, indent: int = 0) -> str:
    written: list[str] = []
    wrapper = StreamWrapper(written.append, width=width, indent=indent)
    for piece in pieces:
        wrapper.feed(piece)
    wrapper.close()
    return "".join(written)


@given(
    st.lists(st.text("ab \n", max_size=12), max_size=12),
    st.integers(8, 30),
    st.integers(0, 4),
)
def test_wrapping_keeps_words_whole_and_lines_short(
    pieces: list[str], width: int, indent: int
) -> None:
    """Pieces end anywhere: a word cut at their seam, lost or doubled would be a lie."""
    text = wrapped(pieces, width, indent)
    assert text.split() == "".join(pieces).split()
    for line in text.splitlines():
        assert len(line) <= width or len(line.split()) == 1
        assert not line or line.startswith(" " * indent)
    assert not text or text.endswith("\n")


def test_wrapping_does_not_depend_on_the_pieces() -> None:
    text = "Two spiral arms wind around a bar.\nA companion lies at the edge of the disk."
    assert wrapped([text], 20) == wrapped(list(text), 20)


def test_without_a_width_nothing_is_wrapped() -> None:
    """Who reads the output from a pipe wraps it himself."""
    assert wrapped(["a " * 200], 0) == ("a " * 200).strip() + "\n"


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        (TERMINAL, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        # tmux hands on the outer terminal's variables but swallows its graphics.
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x"}, "blocks"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "none"),
        ({"TERM": "dumb"}, "none"),
        ({**TERMINAL, "ASTROLLAVA_PICTURES": "none"}, "none"),
        ({**TERMINAL, "ASTROLLAVA_PICTURES": "kitty"}, "kitty"),
        ({**TERMINAL, "ASTROLLAVA_PICTURES": "hologram"}, "blocks"),
    ],
)
def test_the_terminal_decides_how_a_picture_is_shown(
    environment: dict[str, str], protocol: str
) -> None:
    """The wrong protocol fills the screen with base64."""
    assert picture_protocol(terminal(), environment) == protocol


def test_no_picture_goes_into_a_file_or_onto_sixteen_colours() -> None:
    file = Console(file=io.StringIO(), force_terminal=False)
    assert picture_protocol(file, {"TERM": "xterm-kitty"}) == "none"
    assert picture_protocol(terminal(colors="standard"), TERMINAL) == "none"


def test_half_blocks_have_the_colours_of_the_picture() -> None:
    """Rows swapped or channels mixed would show another galaxy."""
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 8, 7]]], dtype=np.uint8)
    out = terminal()
    out.print(HalfBlocks(png(pixels), columns=2, rows=1))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    cells = re.findall(r"\x1b\[38;2;([\d;]+);48;2;([\d;]+)m▀", shown)
    assert cells == [("255;0;0", "0;0;255"), ("0;255;0", "9;8;7")]


@pytest.mark.parametrize("width", [20, 56, 80, 120, 300])
@pytest.mark.parametrize("height", [6, 24, 60])
def test_the_picture_leaves_room_for_words(width: int, height: int) -> None:
    columns, rows = picture_size(terminal(width, height))
    assert columns == 2 * rows
    assert columns <= max(16, width // 2)
    assert rows < max(height, 9)


def test_kitty_gets_the_whole_picture_in_chunks_it_accepts() -> None:
    """A chunk over 4096 bytes is refused, and the terminal would show it as text."""
    pixels = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    sequence = inline_image(png(pixels), "kitty", 30, 15)
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sequence)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == sequence
    assert all(len(data) <= 4096 for _, data in chunks)
    assert [keys.split("m=")[1] for keys, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    assert base64.b64decode("".join(data for _, data in chunks)) == png(pixels)


def test_iterm2_gets_the_whole_picture() -> None:
    picture = png(np.zeros((4, 4, 3), np.uint8))
    sequence = inline_image(picture, "iterm2", 30, 15)
    matched = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", sequence)
    assert matched
    assert "inline=1" in matched[1]
    assert f"size={len(picture)}" in matched[1]
    assert base64.b64decode(matched[2]) == picture


def test_a_picture_by_protocol_makes_room_and_comes_back_below_it() -> None:
    """At the foot of the screen it would otherwise be cut, or be written over."""
    out = terminal()
    print_picture(out, png(np.zeros((4, 4, 3), np.uint8)), {"TERM": "xterm-kitty"})
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    rows = picture_size(out)[1] + 1
    assert shown.startswith("\n" * rows + f"\x1b[{rows}A")
    assert shown.endswith(f"\x1b8\x1b[{rows}B\r")
