"""``--export NAME:FILE``: results in the format of a plugin."""

from __future__ import annotations

import os
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
        "--export",
        metavar="NAME:FILE",
        help="Also write a file with an exporter of a plugin, such as samp:said.vot; see"
        " astrollava plugins list.",
    ),
]


class Exports:
    """The files that were asked for; a mistake in one is found before any work is done.

    Parameters
    ----------
    asked : sequence of str, or None
        ``NAME:FILE`` each.
    inputs : sequence of str
        The files that are read, with ``-`` for standard input: none is written over.
    html : Path, optional
        The page that is written besides.

    Raises
    ------
    InvalidRequest
        If one cannot be read, names no exporter, or its file cannot be written, is read too or is
        to be written twice.
    PluginError
        If an exporter needs what is not installed.
    """

    def __init__(
        self, asked: Sequence[str] | None, inputs: Sequence[str], html: Path | None = None
    ) -> None:
        self._asked: list[tuple[str, Path]] = []
        self._results: list[Result] = []
        outputs: list[Path] = []
        if html is not None:
            _check_apart(html, "--html FILE", inputs, outputs)
            check_writable(html, "--html FILE")
            outputs.append(html)
        for one in asked or ():
            name, colon, file = one.partition(":")
            if not (name.strip() and colon and file):
                raise InvalidRequest(
                    f"--export {one!r} cannot be read",
                    expected="NAME:FILE, such as --export samp:said.vot",
                    hint=_names(),
                )
            from astrollava.hooks import check_packages, plugins

            check_packages(plugins().get_exporter(name))
            _check_apart(Path(file), "--export NAME:FILE", inputs, outputs)
            check_writable(Path(file), "--export NAME:FILE")
            outputs.append(Path(file))
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


def _names() -> str:
    from astrollava.hooks import plugins

    names = ", ".join(plugins().exporters)
    return f"The exporters there are: {names}" if names else "No plugin gives an exporter"


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


def _check_apart(path: Path, option: str, inputs: Sequence[str], outputs: Sequence[Path]) -> None:
    """Raise if a file that is to be written is one that is read, or that is written already."""
    read = ("/dev/stdin" if name == "-" else os.path.expanduser(name) for name in inputs)
    if any(_is_same(path, other) for other in read):
        reason = "is read too, and would be lost"
    elif any(_is_same(path, other) for other in outputs):
        reason = "is to be written twice"
    else:
        return
    raise InvalidRequest(
        f"{clean_line(repr(str(path)))} {reason}",
        expected="a file of its own for each output",
        hint=f"Give another {option}",
    )


def _is_same(one: str | Path, other: str | Path) -> bool:
    """Return whether both are one file, by whatever names; a terminal or pipe may be shared."""
    try:
        if os.path.exists(one) and os.path.exists(other):
            return os.path.isfile(one) and os.path.samefile(one, other)
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False
