"""Labels and their probabilities as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astrollava.cli._terminal import clean

if TYPE_CHECKING:
    from rich.table import Table

    from astrollava.results import Classification

__all__ = ["bar_chart"]

_BAR = 28
# More bars, or bars for less, would be noise.
_SHOWN = 5
_LEAST = 0.01


def bar_chart(labels: Classification) -> Table:
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
    if labels.empty:
        chart.add_row("", Text("the model sees nothing to label", style="yellow"), "")
    elif labels.abstained:
        chart.add_row("", Text("the model is not sure", style="yellow"), "")
    return chart
