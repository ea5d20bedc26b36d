"""From an exception to one clear message and an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TextIO, TypeVar

import typer

from astrollava.cli._elsewhere import how_to_fetch
from astrollava.cli._terminal import clean, clean_line
from astrollava.cli._wording import in_options
from astrollava.errors import (
    AstrollavaError,
    FetchError,
    GenerationError,
    ImageNotFound,
    ModelError,
    PluginError,
    UnknownFetcher,
)

__all__ = ["Settings", "exit_code", "guarded", "report", "settings", "warnings_in_words"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Settings:
    """What the options before the command's name ask for."""

    debug: bool = os.environ.get("ASTROLLAVA_DEBUG", "") not in {"", "0"}


settings = Settings()


def exit_code(error: BaseException) -> int:
    """Return the exit code `astrollava.cli` documents for `error`."""
    match error:
        case KeyboardInterrupt():
            return 130
        case BrokenPipeError():
            return 141
        case ModelError():
            return 3
        case GenerationError():
            return 4
        case FetchError() if not isinstance(error, UnknownFetcher):
            return 5
        # No option of the user's will help: it is as unexpected as a fault of our own.
        case PluginError():
            return 1
        case AstrollavaError():
            return 2
        case _:
            return 1


def report(error: BaseException, *, source: str | None = None) -> None:
    """Say on standard error what went wrong, what was expected and what to do."""
    from rich.table import Table
    from rich.text import Text

    from astrollava.cli._console import err

    words = Text()
    if source is not None and source not in str(error):
        words.append(clean_line(source), style="bold").append(": ")
    if isinstance(error, AstrollavaError):
        words.append(clean_line(in_options(error.problem)))
        if error.expected:
            words.append("\nexpected ", style="dim").append(clean_line(in_options(error.expected)))
        if error.hint:
            words.append("\n" + clean_line(in_options(error.hint)))
        if isinstance(error, ImageNotFound) and (command := how_to_fetch(error.filename or "")):
            words.append(f"\nFor an image of it: {clean_line(command)}")
        failed_within = isinstance(error, PluginError) and error.__cause__ is not None
    else:
        words.append(f"unexpected {type(error).__name__}")
        if str(error):
            words.append(f": {clean_line(str(error))}")
        failed_within = True
    if failed_within and not settings.debug:
        words.append("\n`astrollava --debug …` shows where it came from")
    screen = err()
    if screen.is_terminal:
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(overflow="fold")
        row.add_row(Text("  error", style="bold red"), words)
        screen.print(row)
    else:
        # Not wrapped: a path must stay whole to be searched for.
        screen.print(Text("error  ").append(words), soft_wrap=True)
    if settings.debug:
        sys.stderr.writelines(clean(line) for line in traceback.format_exception(error))


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Let `command` end with a message and an exit code where it would end with a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError as error:
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt as error:
            if settings.debug:
                report(error)
            raise typer.Exit(exit_code(error)) from None
        except Exception as error:
            report(error)
            raise typer.Exit(exit_code(error)) from None

    return run


@contextmanager
def warnings_in_words() -> Iterator[None]:
    """Say astrollava's own warnings as a line on standard error, without the place in its code."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.partition(".")[0] == "astrollava":
                typer.echo(f"note  {clean_line(in_options(str(message)))}", err=True)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
