"""``astrollava demo``: what it does, shown on the galaxy that comes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrollava.cli._options import open_describer
from astrollava.cli._terminal import clean, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table

    from astrollava.results import Classification, Description

__all__ = ["demo"]

_BAR = 28
# More bars, or bars for less, would be noise.
_SHOWN = 5
_LEAST = 0.01


def demo(
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("demo"),
) -> None:
    """Describe the galaxy that comes with astrollava, offline."""
    from astrollava.cli._console import console
    from astrollava.images import example

    source = example()
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
    console().print(_chart(labels))
    picture, page = _write(folder, description, labels)
    say(f"\n  Written: {picture}, {page}")
    say("  Next:    astrollava describe your.fits\n")


def _chart(labels: Classification) -> Table:
    """Draw a bar for each of the most probable labels."""
    from rich.table import Table
    from rich.text import Text

    chart = Table.grid(padding=(0, 2, 0, 0))
    chart.add_column(justify="right")
    chart.add_column(width=_BAR)
    chart.add_column(justify="right")
    ranked = list(labels.probabilities.items())
    shown = [pair for pair in ranked[:_SHOWN] if pair[1] >= _LEAST] or ranked[:1]
    for rank, (label, probability) in enumerate(shown):
        style = "cyan" if rank == 0 and not labels.abstained else "dim"
        chart.add_row(
            Text(f"  {clean(label)}", style="bold" if rank == 0 else ""),
            Text("━" * round(_BAR * probability) or "╸", style=style),
            Text(f"{probability:.0%}", style=style),
        )
    if len(ranked) > len(shown):
        rest = sum(probability for _, probability in ranked[len(shown) :])
        others = f"{len(ranked) - len(shown)} others"
        chart.add_row(Text(others, style="dim"), "", Text(f"{rest:.0%}", style="dim"))
    if labels.abstained:
        chart.add_row("", Text("the model is not sure", style="yellow"), "")
    return chart


def _write(folder: Path, description: Description, labels: Classification) -> tuple[Path, Path]:
    from astrollava._html import page

    picture, card = folder / "galaxy.png", folder / "galaxy.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(description.thumbnail)
        card.write_text(page([description, labels]), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{str(error.filename or folder)!r} cannot be written: {error.strerror}",
            hint="Give another folder: astrollava demo -o DIR",
        ) from None
    return picture, card
