"""``astrollava models convert``: a checkpoint made into a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astrollava.cli._options import MmprojQuantize, Threads
from astrollava.cli._terminal import say
from astrollava.cli.models._signals import ending_in_order
from astrollava.cli.models._words import progress_bars, warnings_shown

__all__ = ["convert"]

_FOLDERS = "Folders beside the checkpoint's"
_FACTS = "What the files say"


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The folder of a LLaVA checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.")],
    quantize: Annotated[
        str,
        typer.Option(
            "--quantize",
            metavar="TYPE",
            help="The language model's type: f16, q8_0, q5_k_m, q4_k_m, ...",
        ),
    ] = "f16",
    mmproj_quantize: MmprojQuantize = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The model that an adapter or projector belongs to.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    vision_tower: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The CLIP of a checkpoint without one.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model's name; by default its folder's.",
            rich_help_panel=_FACTS,
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="SPDX",
            help="The weights' licence; by default what the model card says.",
            rich_help_panel=_FACTS,
        ),
    ] = None,
    render_rule: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="How training made pictures square: pad, crop or stretch.",
            rich_help_panel=_FACTS,
        ),
    ] = None,
    threads: Threads = None,
) -> None:
    """Convert a LLaVA checkpoint of transformers or of the original LLaVA to GGUF.

    Without torch, and without running anything that a checkpoint holds. The two files' paths are
    written to standard output.
    """
    from astrollava.convert import convert

    with ending_in_order(), warnings_shown(), progress_bars() as progress:
        made = convert(
            checkpoint,
            out,
            quantize=quantize,
            mmproj_quantize=mmproj_quantize,
            name=name,
            licence=licence,
            render_rule=render_rule,
            base=base,
            vision_tower=vision_tower,
            threads=threads,
            progress=progress,
        )
    say(str(made.text))
    say(str(made.mmproj))
