"""The sources of a command, one after the other, and the JSON line of each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from astrollava.cli._failures import exit_code, report
from astrollava.cli._options import parse_source
from astrollava.cli._wording import in_options
from astrollava.errors import (
    AstrollavaError,
    ExtractionFailed,
    FetchError,
    GenerationError,
    ImageError,
    InvalidRequest,
    PluginError,
)

__all__ = ["given", "one_by_one", "taken", "write_json"]

Result = TypeVar("Result")


def one_by_one(sources: Sequence[str], work: Callable[[int, str], None], *, as_json: bool) -> int:
    """Do `work` on the number and name of each source; one that fails does not stop the others.

    Parameters
    ----------
    sources : sequence of str
    work : callable
    as_json : bool
        Whether a failure is a JSON line too, besides the message on standard error.

    Returns
    -------
    int
        The exit code of the first failure, or 0.
    """
    codes = []
    for number, source in enumerate(sources):
        try:
            work(number, source)
        # An invalid request too: whether, say, a cutout is possible depends on the source. And a
        # catalogue that does not answer now may answer for the next.
        except (ImageError, GenerationError, InvalidRequest, FetchError, PluginError) as error:
            report(error, source=source)
            codes.append(exit_code(error))
            if as_json:
                write_json({"source": source, "error": _error_record(error)})
    return codes[0] if codes else 0


def given(sources: Sequence[str]) -> Iterator[str | bytes]:
    """Yield what `parse_source` makes of each source."""
    for source in sources:
        try:
            yield parse_source(source)
        except ImageError:
            # Nothing on standard input: to be found by whoever reads it, in its turn.
            yield b""


def taken(results: Iterator[Result | Exception]) -> Result:
    """Take the next result, or raise the error that is in its place."""
    result = next(results)
    if isinstance(result, Exception):
        raise result
    return result


def _error_record(error: AstrollavaError) -> dict[str, str]:
    written = {"text": error.text} if isinstance(error, ExtractionFailed) else {}
    return {"type": type(error).__name__, "message": in_options(str(error)), **written}


def write_json(record: dict[str, Any]) -> None:
    """Write one JSON object on one line of standard output.

    Everything but ASCII is escaped, so that no character can drive a terminal and no encoding
    can refuse it.
    """
    sys.stdout.write(json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()
