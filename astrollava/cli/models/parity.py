"""``astrollava models parity``: does llama.cpp say what the original model says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astrollava.cli._options import Json, Threads
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line

if TYPE_CHECKING:
    from astrollava.parity import ParityReport

__all__ = ["parity"]


def parity(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The folder of the original model.")
    ],
    pair: Annotated[
        str, typer.Argument(metavar="PAIR", help="The folder of the two GGUF files made of it.")
    ],
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="SRC", help="A picture to compare on; again for more. Else made up."
        ),
    ] = None,
    question: Annotated[
        str, typer.Option(metavar="TEXT", help="What both are asked.")
    ] = "Describe this image.",
    max_tokens: Annotated[
        int, typer.Option(min=1, max=4096, metavar="N", help="Length of the texts compared.")
    ] = 48,
    base: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The model an adapter belongs to.")
    ] = None,
    vision_tower: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The tower of a checkpoint that holds none."),
    ] = None,
    least_cosine: Annotated[
        float, typer.Option(metavar="X", help="What the cosine of every patch must exceed.")
    ] = 0.999,
    most_logits: Annotated[
        float, typer.Option(metavar="X", help="What the logits' relative error must stay below.")
    ] = 0.02,
    most_gap: Annotated[
        float, typer.Option(metavar="NATS", help="How clear a choice texts may part at, at most.")
    ] = 0.2,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare a pair with the checkpoint it was made of.

    Both see the same pictures: told are the cosine of each patch's embedding, the error of the
    logits and whether the greedy texts are the same. The exit code is 1 if they are not the same
    model; the limits are for f16 and f32, a quantized pair needs wider ones. Needs torch and
    transformers, and memory for all weights in float32.
    """
    from astrollava.parity import Limits, parity

    limits = Limits(cosine=least_cosine, logits=most_logits, gap=most_gap)
    report = parity(
        checkpoint,
        pair,
        images or (),
        question=question,
        max_tokens=max_tokens,
        threads=threads,
        base=base,
        vision_tower=vision_tower,
        limits=limits,
    )
    if as_json:
        write_json(report.to_dict())
    else:
        _show(report)
    if not report.is_same:
        raise typer.Exit(1)


def _show(report: ParityReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from astrollava.cli._console import console

    table = Table.grid(padding=(0, 2, 0, 0))
    for what, value in report.rows():
        table.add_row(Text(what, style="dim"), Text(value))
    out = console()
    out.print(table)
    for original, ours in report.differing[:1]:
        out.print(Text(f"the original: {clean_line(original)}"))
        out.print(Text(f"llama.cpp:    {clean_line(ours)}"))
