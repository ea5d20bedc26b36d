"""``astrollava classify``: labels for images."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._bars import bar_chart
from astrollava.cli._exports import Export, Exports
from astrollava.cli._options import (
    Bands,
    Combine,
    Cutout,
    GpuLayers,
    Hdu,
    Interval,
    Json,
    Mmproj,
    Model,
    Sources,
    Stretch,
    Threads,
    image_arguments,
    open_describer,
    parse_source,
)
from astrollava.cli._sources import given, one_by_one, taken, write_json
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import InvalidRequest

if TYPE_CHECKING:
    from astrollava.vocabularies import Vocabulary

__all__ = ["classify"]


def classify(
    sources: Sources,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Labels of your own, two or more.")
    ] = None,
    vocabulary: Annotated[
        str | None, typer.Option(metavar="NAME", help="A set of labels: galaxy10, the default.")
    ] = None,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Ask this before the labels are scored.")
    ] = None,
    as_json: Json = False,
    export: Export = None,
    hdu: Hdu = None,
    cutout: Cutout = None,
    bands: Bands = None,
    stretch: Stretch = None,
    interval: Interval = None,
    combine: Combine = None,
    model: Model = "embedded",
    mmproj: Mmproj = None,
    gpu_layers: GpuLayers = 0,
    threads: Threads = None,
) -> None:
    """Label what images show, with the probability of each label.

    A source that fails is reported on standard error, and the others go on.
    """
    arguments: dict[str, Any] = image_arguments(hdu, cutout, bands, stretch, interval, combine)
    arguments["vocabulary"] = _vocabulary(labels, vocabulary, question)
    exports = Exports(export, sources)
    drawn = is_interactive()

    def classify_one(_: int, source: str) -> None:
        result = taken(ahead) if ahead else describer.classify(parse_source(source), **arguments)
        exports.add(result)
        if as_json:
            write_json({"source": source, **result.to_dict()})
            return
        say(clean_line(f"{source}: {result}"))
        if drawn:
            from astrollava.cli._console import console

            console().print(bar_chart(result))
            say("")

    with ExitStack() as undo:
        describer = undo.enter_context(open_describer(model, mmproj, gpu_layers, threads))
        ahead = None
        if len(sources) > 1:
            ahead = describer.classify_many(
                given(sources), on_error="return", progress=False, **arguments
            )
            undo.callback(ahead.close)
        try:
            failed = one_by_one(sources, classify_one, as_json=as_json)
        finally:
            exports.write()
    if failed:
        raise typer.Exit(failed)


def _vocabulary(labels: str | None, name: str | None, question: str | None) -> Vocabulary:
    """Return the labels to score, or raise once what would be wrong for every source."""
    from astrollava import vocabularies

    chosen = vocabularies.get("galaxy10" if name is None else name)
    if labels is not None:
        chosen = vocabularies.from_labels(_own(labels, name))
    if question is None:
        return chosen
    return vocabularies.from_labels(chosen.answers, question=question, name=chosen.name)


def _own(labels: str, name: str | None) -> list[str]:
    if name is not None:
        raise InvalidRequest(
            "--labels and --vocabulary are both given", hint="Give one of them: both are labels"
        )
    own = [label.strip() for label in labels.split(",")]
    if not any(own):
        raise InvalidRequest(
            "--labels is empty",
            expected="two labels or more, with commas between them",
            hint="For example --labels star,galaxy",
        )
    return own
