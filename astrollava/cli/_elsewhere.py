"""Who looks for `astrollava fetch` in a command that reads files is told where it is."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

from typer.core import TyperCommand

__all__ = ["ReadingCommand", "how_to_fetch"]

#: Options that a command about files would have if it fetched.
_OF_FETCH: Final = ("--from", "--size", "--fetch", "--pixels")
#: How names of files end, and positions and names of objects do not.
_SUFFIX: Final = re.compile(r"\.[A-Za-z]\w*$")


class ReadingCommand(TyperCommand):
    """A command whose sources are files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and say where an option is that belongs to `fetch`."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # By what it has: the class is click's own or typer's copy of it, by typer's version.
            known: Any = error
            if getattr(error, "option_name", None) in _OF_FETCH and hasattr(error, "possibilities"):
                known.message = (
                    f"No such option: {known.option_name}. First fetch a file:"
                    " astrollava fetch TARGET --from NAME --size ANGLE -o FILE.fits"
                )
                known.possibilities = None
            raise


def how_to_fetch(source: str) -> str:
    """Return the command that gets an image of `source`, where that looks like no file's name.

    Examples
    --------
    >>> how_to_fetch("M 51")
    "astrollava fetch 'M 51' --size 3arcmin -o cutout.fits"
    >>> how_to_fetch("m51.fits")
    ''
    """
    if not source.strip() or re.search(r"[/\\]", source) or _SUFFIX.search(source):
        return ""
    return f"astrollava fetch {shlex.quote(source)} --size 3arcmin -o cutout.fits"
