"""Words wrapped at word boundaries while they are still coming."""

from __future__ import annotations

from collections.abc import Callable

from astrollava.cli._terminal import Cleaner

__all__ = ["StreamWrapper"]


class StreamWrapper:
    """Writes a text piece by piece, never breaking a word that fits a line.

    Parameters
    ----------
    write : callable
        Takes what may be shown now.
    width : int
        Cells in a line, the indent included; no wrapping where 0.
    indent : int
        Spaces before each line.
    """

    def __init__(self, write: Callable[[str], object], *, width: int, indent: int = 0) -> None:
        self._write = write
        self._width = width
        self._indent = " " * indent
        self._column = 0
        self._space = ""
        self._word = ""
        self._cleaner = Cleaner()

    def feed(self, piece: str) -> None:
        """Take a piece of any length, in which a word may begin or end."""
        for character in self._cleaner.feed(piece):
            if character == "\n":
                self._end_word()
                self._end_line()
            elif character.isspace():
                self._end_word()
                self._space += " "
            else:
                self._word += character

    def close(self) -> None:
        """Write the last word and end the line."""
        self._end_word()
        if self._column:
            self._end_line()

    def _end_line(self) -> None:
        self._write("\n")
        self._column = 0
        self._space = ""

    def _end_word(self) -> None:
        if not self._word:
            return
        from rich.cells import cell_len

        length = cell_len(self._word)
        if self._column and self._width and self._column + len(self._space) + length > self._width:
            self._end_line()
        if not self._column:
            self._write(self._indent)
            self._column = len(self._indent)
            self._space = ""
        self._write(self._space + self._word)
        self._column += len(self._space) + length
        self._space = self._word = ""
