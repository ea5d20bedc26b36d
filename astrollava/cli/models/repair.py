"""``astrollava models repair``: a projector file that llama.cpp reads as it was meant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from astrollava.cli._options import Json
from astrollava.cli._sources import write_json
from astrollava.cli._terminal import clean_line, say

__all__ = ["repair"]


def repair(
    mmproj: Annotated[
        Path, typer.Argument(metavar="MMPROJ", help="The projector file of a LLaVA-1.5.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Where the copy goes; by default to the cache."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find what is wrong with a projector file, and write a copy in which it is right.

    The path of the file to use is written to standard output: the copy, or the file itself where
    nothing is wrong. Loading a model does all this by itself.
    """
    from astrollava.faithful import repair_projector

    done = repair_projector(mmproj, out)
    if as_json:
        write_json(
            {
                "file": str(mmproj),
                "class_token": done.order,
                "defects": [{"name": d.name, "problem": d.problem} for d in done.defects],
                "use": str(done.path),
            }
        )
        return
    for defect in done.defects:
        sys.stderr.write(f"{defect.name:16}{clean_line(defect.problem)}\n")
    if not done.defects:
        sys.stderr.write("nothing to repair\n")
    say(clean_line(str(done.path)))
