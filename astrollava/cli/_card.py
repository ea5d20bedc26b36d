"""A result on a terminal: the picture at the left, the words beside it as they come."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from astrollava.cli._console import console
from astrollava.cli._flags import flag_lines
from astrollava.cli._terminal import Cleaner, clean, clean_line
from astrollava.cli.picture import HalfBlocks, inline_image, picture_protocol, picture_size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from astrollava.results import Answer, Description, Provenance

__all__ = ["Card", "small_print"]

#: Lines longer than this tire the eye.
_READABLE = 76
# Narrower than this, words beside a picture would be a column of single words.
_SIDE_BY_SIDE = 56


def small_print(provenance: Provenance) -> list[str]:
    """Return what the image and the run were, in short lines free of control characters."""
    lines = (
        _image_line(provenance.source),
        _rendering_line(provenance.rendering),
        _run_line(provenance.model, provenance.generation),
    )
    return [line for line in lines if line]


def _image_line(source: Mapping[str, Any]) -> str:
    parts = []
    shape: Sequence[int] = source.get("shape") or ()
    if len(shape) >= 2:
        parts.append(f"{shape[-1]} × {shape[-2]} px")
    centre = source.get("centre")
    if centre is not None:
        parts.append(f"{centre[0]:.4f}° {centre[1]:+.4f}°")
    scale = source.get("pixel_scale")
    if scale is not None:
        parts.append(f"{scale:.3g}″/px")
    return clean_line(" · ".join(parts))


def _rendering_line(rendering: Mapping[str, Any]) -> str:
    channels = list(rendering.get("channels", {}).values())
    parts = []
    if len(set(channels)) > 1:
        parts.append(f"colours from {' '.join(channels)}")
    # The numbers after the colon stand in the provenance; here the name says enough.
    parts += [
        f"{str(rendering[key]).partition(':')[0]} {key}"
        for key in ("stretch", "interval")
        if rendering.get(key) not in {None, "none"}
    ]
    return clean_line(" · ".join(parts))


def _run_line(model: Mapping[str, Any], generation: Mapping[str, Any]) -> str:
    parts = [str(model.get("name", ""))]
    if "seconds" in generation and "generated_tokens" in generation:
        parts.append(f"{generation['generated_tokens']} tokens in {generation['seconds']:.1f} s")
    return clean_line(" · ".join(part for part in parts if part))


class Card:
    """A picture with words beside it, drawn while the words come.

    Parameters
    ----------
    title : str
        Shown above the words; untrusted.
    question : str
        Shown under the title; untrusted.
    """

    def __init__(self, title: str, question: str = "") -> None:
        self._out = out = console()
        self._title = clean_line(title)
        self._question = clean_line(question)
        self._protocol = picture_protocol(out, os.environ)
        self._columns, self._rows = picture_size(out)
        self._beside = out.width >= _SIDE_BY_SIDE
        self._png = b""
        self._words = ""
        self._cleaner = Cleaner()
        self._result: Description | Answer | None = None
        self._live: Live | None = None

    def __enter__(self) -> Card:
        from rich.live import Live

        self._live = Live(
            console=self._out,
            get_renderable=self._renderable,
            refresh_per_second=10,
            vertical_overflow="visible",
        )
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._live is not None
        # A card that never got a word is taken away: the error message stands alone.
        self._live.transient = kind is not None and not self._words
        self._live.__exit__(kind, error, trace)
        if kind is None:
            self._draw_inline()
            self._out.print()

    def show(self, png: bytes) -> None:
        """Show the picture the model sees."""
        self._png = png

    def write(self, piece: str) -> None:
        """Add a piece of the text."""
        self._words += self._cleaner.feed(piece)

    def finish(self, result: Description | Answer) -> None:
        """Show the whole result: its text, its flags and how it was made."""
        self._png = result.thumbnail
        self._words = clean(result.text)
        self._result = result

    def _renderable(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table

        words = self._column()
        left = self._left()
        if left is None:
            return Padding(words, (0, 0, 0, 2))
        if not self._beside:
            return Group(left, Padding(words, (1, 0, 0, 2)))
        grid = Table.grid(padding=(0, 3, 0, 0))
        grid.add_column(width=self._columns, no_wrap=True)
        grid.add_column(max_width=_READABLE)
        grid.add_row(left, words)
        return Padding(grid, (0, 0, 0, 2))

    def _left(self) -> RenderableType | None:
        from rich.text import Text

        # The room is taken when the image proved readable: an error shall not scroll the screen.
        if self._protocol == "none" or not (self._png or self._words):
            return None
        if self._protocol == "blocks" and self._png:
            return HalfBlocks(self._png, self._columns, self._rows)
        # Room for the picture until it is there, or for the protocol that draws it afterwards.
        return Text("\n" * (self._rows - 1))

    def _column(self) -> RenderableType:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        lines: list[RenderableType] = [Text(self._title, style="bold", overflow="fold")]
        if self._question:
            lines.append(Text(self._question, style="italic", overflow="fold"))
        lines.append(Text())
        known = getattr(self._result, "catalogued", None)
        if known is not None:
            lines.append(Text("visible:", style="dim"))
        lines.append(self._text() if self._words else Spinner("dots", style="dim"))
        if known is not None:
            said = [clean_line(str(fact)) for fact in known] or ["nothing"]
            lines.append(Text("\ncatalogued:", style="dim"))
            lines += [Text(line, overflow="fold") for line in said]
        if self._result is not None:
            for kind, words, reason in flag_lines(self._result):
                note = Text("\n⚑ ", style="yellow")
                note.append(kind, style="bold").append(f" “{words}”\n")
                note.append(reason, style="not bold")
                lines.append(note)
            small = ["", *small_print(self._result.provenance)]
            lines.append(Text("\n".join(small), style="dim"))
        return Group(*lines)

    def _text(self) -> Text:
        from rich.text import Text

        text = Text(self._words.strip(), overflow="fold")
        result = self._result
        # Spans count the characters of the text as it came: they fit where nothing was taken out.
        if result is not None and text.plain == result.text:
            for flag in result.flags:
                text.stylize("yellow underline", flag.start, flag.end)
        return text

    def _draw_inline(self) -> None:
        """Draw over the room left free, for the protocols that rich knows nothing of."""
        if self._protocol not in {"kitty", "iterm2"} or not self._png:
            return
        height = len(self._out.render_lines(self._renderable(), pad=False))
        if height >= self._out.height:
            return
        picture = inline_image(self._png, self._protocol, self._columns, self._rows)
        indent = "\x1b[2C" if self._beside else ""
        # Save the cursor, go to the first line of the card, draw, restore the cursor.
        self._out.file.write(f"\x1b7\x1b[{height}A\r{indent}{picture}\x1b8")
        self._out.file.flush()
