"""``astrollava ask``: one question about one image."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from astrollava.cli._options import (
    Combine,
    Cutout,
    GpuLayers,
    Hdu,
    Interval,
    Json,
    MaxTokens,
    Mmproj,
    Model,
    Seed,
    Source,
    Stretch,
    Temperature,
    Threads,
    image_arguments,
    open_describer,
    parse_source,
    sampling_arguments,
)
from astrollava.cli._terminal import clean, console, is_interactive
from astrollava.cli.describe import note_flags, write_json

__all__ = ["ask"]


def ask(
    source: Source,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    as_json: Json = False,
    hdu: Hdu = None,
    cutout: Cutout = None,
    stretch: Stretch = None,
    interval: Interval = None,
    combine: Combine = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    model: Model = "embedded",
    mmproj: Mmproj = None,
    gpu_layers: GpuLayers = 0,
    threads: Threads = None,
) -> None:
    """Ask a question about an image."""
    arguments = image_arguments(hdu, cutout, stretch, interval, combine)
    arguments |= sampling_arguments(max_tokens, temperature, seed)
    with open_describer(model, mmproj, gpu_layers, threads) as describer:
        if as_json:
            answer = describer.ask(parse_source(source), question, **arguments)
            write_json({"source": source, **answer.to_dict()})
            return
        out = console()
        if not is_interactive(out, os.environ):
            answer = describer.ask(parse_source(source), question, **arguments)
            out.print(clean(answer.text), soft_wrap=True)
            note_flags(answer)
            return
        from astrollava.cli._card import Card

        out.print()
        with Card(out, source if source != "-" else "standard input", question) as card:
            conversation = describer.chat(parse_source(source), **arguments)
            card.show(conversation.thumbnail)
            stream = conversation.ask(question, stream=True)
            for piece in stream:
                card.write(piece)
            card.finish(stream.result)
