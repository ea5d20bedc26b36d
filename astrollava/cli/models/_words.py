"""Sizes and states in words, and the progress of long steps."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

__all__ = ["progress_bars", "size_words", "warnings_shown"]


def size_words(count: int | None) -> str:
    """Return a number of bytes as people say it.

    Examples
    --------
    >>> size_words(1_705_125_856), size_words(85_000), size_words(None)
    ('1.7 GB', '85 kB', '?')
    """
    if not count:
        return "?"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            number = count / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{count} B"


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what draws a bar for each step on standard error, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from astrollava.cli._console import err
    from astrollava.cli._terminal import clean_line

    console = err()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bars.add_task(clean_line(step), total=total)
        bars.update(tasks[step], completed=done)

    with bars:
        yield show


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write a warning as errors are written: not wrapped, without control characters."""
        from rich.text import Text

        from astrollava.cli._console import err
        from astrollava.cli._terminal import clean_line

        words = Text("warning  ").append(clean_line(record.getMessage()))
        err().print(words, soft_wrap=True)


@contextlib.contextmanager
def warnings_shown() -> Iterator[None]:
    """Write the log's warnings to standard error; ``--debug`` shows the log by itself."""
    logger = logging.getLogger("astrollava")
    if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        yield
        return
    handler = _Shown(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
