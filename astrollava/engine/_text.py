"""From token bytes to text that is safe to show: whole characters, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["TextAssembler"]


class TextAssembler:
    """Turns the bytes of tokens into pieces of text.

    Parameters
    ----------
    stop : sequence of str
        Text ends before the first of these to appear. What might still become one is held back.

    Attributes
    ----------
    stopped : bool
        True once a stop string was seen.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._begun = b""
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """Add the bytes of a token and return the text that can be shown now, perhaps none."""
        data = self._begun + data
        text, used = codecs.utf_8_decode(data, "replace", False)
        self._begun = data[used:]
        if not self._stop:
            return text
        text = self._held + text
        found = [at for at in map(text.find, self._stop) if at >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = len(text) - self._doubtful(text)
        self._held = text[keep:]
        return text[:keep]

    def _doubtful(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        longest = max(map(len, self._stop)) - 1
        for n in range(min(longest, len(text)), 0, -1):
            end = text[-n:]
            if any(stop.startswith(end) for stop in self._stop):
                return n
        return 0

    def finish(self) -> str:
        """Return what was held back; half a character is dropped."""
        held, self._held = self._held, ""
        return held
