"""``astrollava ask``: one question about one image."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._exports import Export, Exports
from astrollava.cli._flags import note_cut, note_flags
from astrollava.cli._options import (
    Bands,
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
from astrollava.cli._sources import one_by_one, write_json
from astrollava.cli._terminal import is_interactive, say
from astrollava.errors import ImageNotFound, InvalidRequest

if TYPE_CHECKING:
    from astrollava.describer import Describer
    from astrollava.results import Answer

__all__ = ["ask"]


def ask(
    source: Source,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")],
    as_json: Json = False,
    export: Export = None,
    hdu: Hdu = None,
    cutout: Cutout = None,
    bands: Bands = None,
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
    if not question.strip():
        raise InvalidRequest(
            "the question is empty",
            hint="Write it after the image: astrollava ask cutout.fits 'Is there a bar?'",
        )
    arguments = image_arguments(hdu, cutout, bands, stretch, interval, combine)
    arguments |= sampling_arguments(max_tokens, temperature, seed)
    exports = Exports(export, [source])

    def ask_one(_: int, source: str) -> None:
        _refuse_swapped(source, question)
        if as_json:
            answer = describer.ask(parse_source(source), question, **arguments)
            write_json({"source": source, **answer.to_dict()})
        elif is_interactive():
            answer = _on_screen(describer, source, question, arguments)
            note_cut(answer, indent=2)
        else:
            answer = describer.ask(parse_source(source), question, **arguments)
            say(answer.text)
            note_flags(answer)
            note_cut(answer)
        exports.add(answer)

    with open_describer(model, mmproj, gpu_layers, threads) as describer:
        failed = one_by_one([source], ask_one, as_json=as_json)
    exports.write()
    if failed:
        raise typer.Exit(failed)


def _refuse_swapped(source: str, question: str) -> None:
    """Tell who wrote the question first; such a file is no question anyone asks."""
    # Not pathlib's, which raises for a question like "~what?" and for a very long one.
    first, second = os.path.expanduser(source), os.path.expanduser(question)
    if source != "-" and not os.path.exists(first) and os.path.isfile(second):
        raise ImageNotFound(
            f"there is no file {source!r}, and {question!r} is one",
            expected="the image first and the question after it",
            hint=f"astrollava ask {shlex.quote(question)} {shlex.quote(source)}",
        )


def _on_screen(
    describer: Describer, source: str, question: str, arguments: dict[str, Any]
) -> Answer:
    from astrollava.cli._card import Card

    say("")
    with Card(source if source != "-" else "standard input", question) as card:
        conversation = describer.chat(parse_source(source), **arguments)
        card.show(conversation.thumbnail)
        stream = conversation.ask(question, stream=True)
        for piece in stream:
            card.write(piece)
        card.finish(stream.result)
    return stream.result
