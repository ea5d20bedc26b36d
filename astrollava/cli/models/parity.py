"""``astrollava models parity``: does llama.cpp say what the original model says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astrollava.cli._options import Json, Threads
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line

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
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare a pair with the checkpoint it was made of.

    Both see the same pictures: told are the cosine of each patch's embedding, the error of the
    logits and whether the greedy texts are the same. Needs torch and transformers, and memory for
    all weights in float32.
    """
    from astrollava.parity import parity

    report = parity(
        checkpoint,
        pair,
        images or (),
        question=question,
        max_tokens=max_tokens,
        threads=threads,
        base=base,
        vision_tower=vision_tower,
    )
    if as_json:
        write_json(report.to_dict())
        return
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
