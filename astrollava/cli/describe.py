"""``astrollava describe``: words for images."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._failures import exit_code, report
from astrollava.cli._flags import note_flags
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
    Stretch,
    Temperature,
    Threads,
    image_arguments,
    open_describer,
    parse_source,
    sampling_arguments,
)
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import GenerationError, ImageError, InvalidRequest

if TYPE_CHECKING:
    from astrollava.describer import Describer
    from astrollava.results import Description

__all__ = ["describe", "error_record", "write_json", "write_page"]


def describe(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SRC...", help="FITS files or pictures; - reads standard input."),
    ],
    as_json: Json = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with the pictures.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Say this to the model instead.")
    ] = None,
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
    """Describe what images show.

    A source that fails is reported on standard error, and the others go on.
    """
    arguments = image_arguments(hdu, cutout, bands, stretch, interval, combine)
    arguments |= sampling_arguments(max_tokens, temperature, seed)
    if prompt is not None:
        arguments["prompt"] = prompt
    on_screen = not as_json and is_interactive()
    if on_screen:
        say("")
    results: list[Description] = []
    codes: list[int] = []
    with open_describer(model, mmproj, gpu_layers, threads) as describer:
        for number, source in enumerate(sources):
            try:
                if on_screen:
                    result = _on_screen(describer, source, arguments)
                else:
                    result = describer.describe(parse_source(source), **arguments)
                    if as_json:
                        write_json({"source": source, **result.to_dict()})
                    else:
                        if len(sources) > 1:
                            say(("\n" if number else "") + clean_line(source))
                        say(result.text)
                        note_flags(result)
            except (ImageError, GenerationError) as error:
                report(error, source=source)
                codes.append(exit_code(error))
                if as_json:
                    write_json({"source": source, "error": error_record(error)})
                continue
            results.append(result)
    if html is not None and results:
        write_page(html, results)
    if codes:
        raise typer.Exit(codes[0])


def _on_screen(describer: Describer, source: str, arguments: dict[str, Any]) -> Description:
    from astrollava.cli._card import Card

    with Card(source if source != "-" else "standard input") as card:
        stream = describer.describe(parse_source(source), stream=True, **arguments)
        card.show(stream.thumbnail)
        for piece in stream:
            card.write(piece)
        card.finish(stream.result)
    return stream.result


def error_record(error: ImageError | GenerationError) -> dict[str, str]:
    """Return `error` as it stands in the JSON of a source that failed."""
    return {"type": type(error).__name__, "message": str(error)}


def write_json(record: dict[str, Any]) -> None:
    """Write one JSON object on one line of standard output.

    Everything but ASCII is escaped, so that no character can drive a terminal and no encoding
    can refuse it.
    """
    sys.stdout.write(json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_page(path: Path, results: list[Description]) -> None:
    """Write a page with a card for each of `results`.

    Raises
    ------
    InvalidRequest
        If the file cannot be written.
    """
    from astrollava._html import page

    try:
        path.write_text(page(results), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{str(path)!r} cannot be written: {error.strerror}", hint="Give another --html FILE"
        ) from None
