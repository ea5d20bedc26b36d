"""``--export NAME:FILE``: results in the format of a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrollava.cli._terminal import clean_line
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.hooks.exporting import Result

__all__ = ["Export", "Exports", "check_writable"]

Export = Annotated[
    list[str] | None,
    typer.Option(
        "--export", metavar="NAME:FILE", help="Also write a file in the format of a plugin."
    ),
]


class Exports:
    """The files that were asked for; a mistake in one is found before any work is done.

    Parameters
    ----------
    asked : sequence of str, or None
        ``NAME:FILE`` each.

    Raises
    ------
    InvalidRequest
        If one cannot be read, names no exporter, or its file cannot be written.
    """

    def __init__(self, asked: Sequence[str] | None) -> None:
        self._asked: list[tuple[str, Path]] = []
        self._results: list[Result] = []
        for one in asked or ():
            name, colon, file = one.partition(":")
            if not (name.strip() and colon and file):
                raise InvalidRequest(
                    f"--export {one!r} cannot be read",
                    expected="NAME:FILE, such as --export bibtex:cutouts.bib",
                    hint="The names there are: astrollava plugins list",
                )
            from astrollava.hooks import plugins

            plugins().get_exporter(name)
            check_writable(Path(file), "--export NAME:FILE")
            self._asked.append((name.strip().lower(), Path(file)))

    def add(self, result: Result) -> None:
        """Keep a result for the files, if there are any."""
        if self._asked:
            self._results.append(result)

    def write(self) -> None:
        """Write the files; none where there is no result."""
        if not self._results:
            return
        from astrollava.hooks import export

        for name, path in self._asked:
            export(self._results, path, name)


def check_writable(path: Path, option: str) -> None:
    """Raise now what writing would raise when all the work is done.

    Parameters
    ----------
    path : Path
        The file.
    option : str
        What gave it.
    """
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise InvalidRequest(
            f"{clean_line(repr(str(path)))} cannot be written: {error.strerror}",
            hint=f"Give another {option}",
        ) from None
