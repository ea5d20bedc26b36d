"""A picture in a terminal: graphics where it has them, coloured half blocks where not.

The graphics protocols are those of kitty
(https://sw.kovidgoyal.net/kitty/graphics-protocol/) and iTerm2
(https://iterm2.com/documentation-images.html).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

__all__ = [
    "HalfBlocks",
    "Protocol",
    "inline_image",
    "picture_protocol",
    "picture_size",
    "print_picture",
]

Protocol = Literal["kitty", "iterm2", "blocks", "none"]

# A cell of a terminal is about twice as high as wide, so half a cell is a square pixel.
_UPPER_HALF = "\u2580"
# A payload longer than this must be cut into chunks (kitty's protocol, "chunked" transfer).
_CHUNK = 4096


def picture_protocol(out: Console, environment: Mapping[str, str]) -> Protocol:
    """Tell how to show a picture on `out`.

    Parameters
    ----------
    out : rich.console.Console
    environment : mapping
        The environment variables. ``ASTROLLAVA_PICTURES`` set to ``kitty``, ``iterm2``,
        ``blocks`` or ``none`` decides for a terminal; nothing is shown where there is none, where
        ``NO_COLOR`` is set or where ``TERM`` is ``dumb``.
    """
    terminal = environment.get("TERM", "")
    if not out.is_terminal or environment.get("NO_COLOR") or terminal in {"dumb", "unknown"}:
        return "none"
    wanted = environment.get("ASTROLLAVA_PICTURES", "")
    if wanted in {"kitty", "iterm2", "blocks", "none"}:
        return wanted  # type: ignore[return-value]
    program = environment.get("TERM_PROGRAM", "")
    # tmux and screen inherit the variables of the terminal around them but not its graphics.
    if not ("TMUX" in environment or terminal.startswith(("screen", "tmux"))):
        if terminal in {"xterm-kitty", "xterm-ghostty"} or program == "ghostty":
            return "kitty"
        if program in {"iTerm.app", "WezTerm"} or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
    return "blocks" if out.color_system in {"truecolor", "256"} else "none"


def picture_size(out: Console) -> tuple[int, int]:
    """Return the ``(columns, rows)`` of cells a square picture may take on `out`."""
    columns = min(max(out.width * 2 // 5, 16), 44, 2 * max(out.height - 4, 4))
    return columns - columns % 2, columns // 2


@dataclass(frozen=True)
class HalfBlocks:
    """A picture drawn with coloured half blocks; rich prints it.

    Attributes
    ----------
    png : bytes
        The picture.
    columns, rows : int
        The cells it takes.
    """

    png: bytes
    columns: int
    rows: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from PIL import Image
        from rich.color import Color
        from rich.segment import Segment
        from rich.style import Style

        with Image.open(io.BytesIO(self.png)) as picture:
            small = picture.convert("RGB").resize(
                (self.columns, 2 * self.rows), Image.Resampling.LANCZOS
            )
        flat = small.tobytes()
        width = 3 * self.columns
        for row in range(self.rows):
            top = flat[2 * row * width : (2 * row + 1) * width]
            bottom = flat[(2 * row + 1) * width : (2 * row + 2) * width]
            for at in range(0, width, 3):
                style = Style(
                    color=Color.from_rgb(*top[at : at + 3]),
                    bgcolor=Color.from_rgb(*bottom[at : at + 3]),
                )
                yield Segment(_UPPER_HALF, style)
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(self.columns, self.columns)


def inline_image(png: bytes, protocol: Protocol, columns: int, rows: int) -> str:
    """Return the control sequence that draws `png` at the cursor in `columns` by `rows` cells.

    Parameters
    ----------
    png : bytes
    protocol : {"kitty", "iterm2"}
    columns, rows : int
    """
    payload = base64.standard_b64encode(png).decode("ascii")
    if protocol == "kitty":
        return "".join(_kitty(payload, columns, rows))
    return (
        f"\x1b]1337;File=inline=1;size={len(png)};width={columns};height={rows};"
        f"preserveAspectRatio=1;doNotMoveCursor=1:{payload}\x07"
    )


def _kitty(payload: str, columns: int, rows: int) -> Iterator[str]:
    # Transmit and show (a=T) a PNG (f=100), leave the cursor (C=1), do not answer (q=2).
    keys = f"a=T,f=100,C=1,q=2,c={columns},r={rows},"
    for start in range(0, len(payload), _CHUNK):
        more = int(start + _CHUNK < len(payload))
        yield f"\x1b_G{keys}m={more};{payload[start : start + _CHUNK]}\x1b\\"
        keys = ""


def print_picture(out: Console, png: bytes, environment: Mapping[str, str]) -> None:
    """Print a picture on lines of its own, where `out` can show one."""
    from rich.padding import Padding

    protocol = picture_protocol(out, environment)
    columns, rows = picture_size(out)
    if protocol == "blocks":
        out.print(Padding(HalfBlocks(png, columns, rows), (0, 0, 1, 2)))
    elif protocol != "none":
        # Make room first: at the foot of the screen the picture would otherwise be cut.
        out.file.write("\n" * (rows + 1) + f"\x1b[{rows + 1}A\x1b[2C\x1b7")
        out.file.write(inline_image(png, protocol, columns, rows) + f"\x1b8\x1b[{rows + 1}B\r")
        out.file.flush()
