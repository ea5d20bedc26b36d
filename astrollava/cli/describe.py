"""``astrollava describe``: words for images."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
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
    Sources,
    Stretch,
    Temperature,
    Threads,
    image_arguments,
    open_describer,
    parse_source,
    sampling_arguments,
)
from astrollava.cli._sources import given, one_by_one, taken, write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.describer import Describer
    from astrollava.results import Description

__all__ = ["describe"]


def describe(
    sources: Sources,
    as_json: Json = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with the pictures.")
    ] = None,
    export: Export = None,
    facts: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Catalogues to ask about what is in the middle: simbad,ned."
        ),
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
    if facts is not None:
        from astrollava.hooks import plugins

        # A name that no catalogue has is wrong for every source.
        for name in facts.split(","):
            plugins().get_fact_provider(name)
        arguments["facts"] = facts
    exports = Exports(export, sources, html)
    on_screen = not as_json and is_interactive()
    if on_screen:
        say("")
    results: list[Description] = []

    def describe_one(number: int, source: str) -> None:
        if on_screen:
            result = _on_screen(describer, source, arguments)
        else:
            result = (
                taken(ahead) if ahead else describer.describe(parse_source(source), **arguments)
            )
            if as_json:
                write_json({"source": source, **result.to_dict()})
            else:
                if len(sources) > 1:
                    say(("\n" if number else "") + clean_line(source))
                say(str(result))
                note_flags(result)
        if not as_json:
            note_cut(result, indent=2 if on_screen else 0)
        exports.add(result)
        if html is not None:
            results.append(result)

    with ExitStack() as undo:
        describer = undo.enter_context(open_describer(model, mmproj, gpu_layers, threads))
        ahead = None
        if len(sources) > 1 and not on_screen:
            ahead = describer.describe_many(
                given(sources), on_error="return", progress=False, **arguments
            )
            undo.callback(ahead.close)
        try:
            failed = one_by_one(sources, describe_one, as_json=as_json)
        finally:
            # After a Ctrl-C too: what was made until then may have taken hours.
            if html is not None and results:
                _write_page(html, results)
            exports.write()
    if failed:
        raise typer.Exit(failed)


def _on_screen(describer: Describer, source: str, arguments: dict[str, Any]) -> Description:
    from astrollava.cli._card import Card

    with Card(source if source != "-" else "standard input") as card:
        stream = describer.describe(parse_source(source), stream=True, **arguments)
        card.show(stream.thumbnail)
        for piece in stream:
            card.write(piece)
        card.finish(stream.result)
    return stream.result


def _write_page(path: Path, results: list[Description]) -> None:
    from astrollava._html import page

    try:
        path.write_text(page(results), encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{str(path)!r} cannot be written: {error.strerror}", hint="Give another --html FILE"
        ) from None
