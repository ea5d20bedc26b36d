"""``astrollava demo``: what it does, shown on the galaxy that comes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrollava.cli._bars import bar_chart
from astrollava.cli._options import open_describer
from astrollava.cli._terminal import is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.results import Classification, Description

__all__ = ["demo"]


def demo(
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("demo"),
) -> None:
    """Describe the galaxy that comes with astrollava, offline."""
    from astrollava.cli._console import console
    from astrollava.images import example

    source = example()
    _make(folder)
    with open_describer("embedded", None) as describer:
        if is_interactive():
            from astrollava.cli._card import Card

            say("")
            with Card(source.name) as card:
                stream = describer.describe(source, stream=True)
                for piece in stream:
                    card.write(piece)
                card.finish(stream.result)
            description = stream.result
        else:
            description = describer.describe(source)
            say(description.text + "\n")
        labels = describer.classify(source, "galaxy10")
    console().print(bar_chart(labels))
    picture, page = _write(folder, description, labels)
    say(f"\n  Written: {picture}, {page}")
    say("  Next:    astrollava describe your.fits\n")


def _write(folder: Path, description: Description, labels: Classification) -> tuple[Path, Path]:
    from astrollava._html import page

    picture, card = folder / "galaxy.png", folder / "galaxy.html"
    with _writing(folder):
        picture.write_bytes(description.thumbnail)
        card.write_text(page([description, labels]), encoding="utf-8")
    return picture, card


def _make(folder: Path) -> None:
    """Make the folder, before what would be lost without one is made."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidRequest(
            f"{str(error.filename or folder)!r} cannot be written: {error.strerror}",
            hint="Give another folder: astrollava demo -o DIR",
        ) from None
