"""``astrollava extract``: an object of a JSON schema from one image."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrollava.cli._exports import Export, Exports
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
from astrollava.cli._terminal import clean_line, is_interactive, say
from astrollava.errors import ImageNotFound, InvalidRequest, InvalidSchema

if TYPE_CHECKING:
    from astrollava.results import Extraction

__all__ = ["extract"]

#: Bytes of a schema file: one that can be held to is far smaller.
_LARGEST = 4 * 2**20


def extract(
    source: Source,
    schema: Annotated[
        str,
        typer.Argument(metavar="SCHEMA", help="A file with a JSON schema."),
    ],
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Ask this, in place of a list of the properties."),
    ] = None,
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
    """Fill in a JSON schema from an image: what comes out always satisfies it.

    With --json comes all of the result, its probabilities and how it was made; without, the object.
    """
    wanted = _read(schema, source)
    arguments = image_arguments(hdu, cutout, bands, stretch, interval, combine)
    arguments |= sampling_arguments(max_tokens, temperature, seed)
    exports = Exports(export, [source, schema])

    def extract_one(_: int, source: str) -> None:
        result = describer.extract(parse_source(source), wanted, prompt=prompt, **arguments)
        exports.add(result)
        if as_json:
            write_json({"source": source, **result.to_dict()})
        else:
            say(_written(result))
            note_flags(result)

    with open_describer(model, mmproj, gpu_layers, threads) as describer:
        failed = one_by_one([source], extract_one, as_json=as_json)
    exports.write()
    if failed:
        raise typer.Exit(failed)


def _read(path: str, source: str) -> dict[str, Any]:
    """Return the schema in a file."""
    file = Path(os.path.expanduser(path))
    # Not only files: a shell may hand over a pipe, as <(jq ...) does.
    if not file.exists():
        if _is_schema(source):
            raise ImageNotFound(
                f"there is no file {path!r}, and {source!r} looks like a schema",
                expected="the image first and the schema after it",
            )
        raise InvalidSchema(f"there is no file {path!r}", expected="a file with a JSON schema")
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InvalidSchema(f"{path} is too large", expected=f"at most {_LARGEST} bytes")
        found = json.loads(content)
    except OSError as error:
        raise InvalidSchema(
            f"{path} cannot be read ({error.strerror})", expected="a file with a JSON schema"
        ) from error
    except InvalidRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidSchema(
            f"{path} is no JSON ({clean_line(str(error))[:200]})",
            expected="the image first and the schema after it"
            if _is_schema(source)
            else "a JSON schema",
        ) from error
    if not isinstance(found, dict):
        raise InvalidSchema(f"{path} holds a {type(found).__name__}", expected="a JSON schema")
    return found


def _is_schema(source: str) -> bool:
    return os.path.splitext(source)[1].lower() == ".json"


def _written(result: Extraction) -> str:
    """Return the object on several lines for people, on one that any encoding takes otherwise."""
    value, seen = result.to_dict()["value"], is_interactive()
    return json.dumps(value, ensure_ascii=not seen, indent=2 if seen else None)
