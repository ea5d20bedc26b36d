"""``astrollava models quantize``: a model in fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astrollava.cli._options import Mmproj, MmprojQuantize, Threads
from astrollava.cli._terminal import say
from astrollava.cli.models._signals import ending_in_order
from astrollava.cli.models._words import progress_bars, warnings_shown

__all__ = ["quantize"]


def quantize(
    pair: Annotated[
        str,
        typer.Argument(metavar="PAIR", help="A folder with a pair, a .gguf file, or a name."),
    ],
    kind: Annotated[
        str, typer.Argument(metavar="TYPE", help="q4_k_m, q5_k_m, q6_k, q8_0, f16, ...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="A new folder; by default NAME-TYPE, here."
        ),
    ] = None,
    mmproj_quantize: MmprojQuantize = None,
    requantize: Annotated[
        bool,
        typer.Option(
            "--requantize",
            metavar="",
            help="Also take apart what is quantized, which loses more than quantizing once.",
        ),
    ] = False,
    mmproj: Mmproj = None,
    threads: Threads = None,
) -> None:
    """Store both files of a model in fewer bits.

    K-quants such as q4_k_m give the matrices that matter most more bits than the name says.
    """
    from astrollava.quantize import quantize

    with ending_in_order(), warnings_shown(), progress_bars() as progress:
        made = quantize(
            pair,
            kind,
            out,
            mmproj=mmproj,
            mmproj_quantize=mmproj_quantize,
            requantize=requantize,
            threads=threads,
            progress=progress,
        )
    if made is not None:
        say(str(made.text))
        say(str(made.mmproj))
