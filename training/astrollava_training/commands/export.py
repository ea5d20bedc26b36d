"""``export``: a finished two-stage run as a pair of GGUF files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export",
        help="write the model of a two-stage run as a pair that Describer opens",
        description="Write the model of a two-stage run as a pair of GGUF files, adapters merged, "
        "and prove against torch that it is the model.",
    )
    export.add_argument("run", type=Path, help="folder of the run")
    export.add_argument(
        "--stage",
        type=int,
        choices=(1, 2),
        help="the model as this stage left it (default: the last that ended)",
    )
    export.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new or empty folder, for the pair and parity.txt",
    )
    export.add_argument(
        "--quantize",
        default="q4_k_m",
        metavar="TYPE",
        help="type of the language model: f16, q8_0, q5_k_m, ... (default: %(default)s)",
    )
    export.add_argument(
        "--mmproj-quantize",
        metavar="TYPE",
        help="type of tower and projector (default: as the language model in f32, f16 and bf16,"
        " else q8_0)",
    )
    export.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="keep the checkpoint of transformers, too, in this new folder",
    )
    export.add_argument(
        "pictures",
        nargs="*",
        default=[],
        help="images to compare on (default: a few made for it)",
    )
    export.set_defaults(work=_export)


def _export(given: argparse.Namespace) -> None:
    from astrollava_training.llava.exporting import explained, export

    files, report = export(
        given.run,
        given.out,
        stage=given.stage,
        quantize=given.quantize,
        mmproj_quantize=given.mmproj_quantize,
        pictures=given.pictures,
        keep=given.checkpoint,
    )
    size = (files.text.stat().st_size + files.mmproj.stat().st_size) / 1e6
    print("In 16 bits the pair computes what torch computes. What is stored, against torch:\n")
    print(f"{report}\n")
    if note := explained(report):
        print(f"{note}\n")
    print(f"{given.out}: {size:.1f} MB; see {given.out / 'parity.txt'}")
