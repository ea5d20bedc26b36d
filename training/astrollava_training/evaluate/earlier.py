"""An earlier report in the folder of a new one: put in its place, or left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.report import REPORT, plain

__all__ = ["check_earlier"]


def check_earlier(out: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder with a report that was made otherwise: it would be written over.

    Parameters
    ----------
    out : pathlib.Path
        The folder.
    settings : mapping
        What makes this report, by the names that its ``about`` has for it. Names that an earlier
        version did not write are not compared.

    Raises
    ------
    InvalidRequest
        It has one, or a file of that name which is no report.
    """
    path = out / REPORT
    if not path.exists():
        return
    try:
        about = dict(json.loads(path.read_bytes())["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{path} is no report of evaluate ({type(error).__name__}: {error})",
            hint="Write this report into another folder with -o, or remove that file",
        ) from None
    other = [
        f"{name} {_told(about[name])} there, {_told(here)} here"
        for name, here in plain(settings).items()
        if name in about and about[name] != here
    ]
    if other:
        raise InvalidRequest(
            f"{path} is a report made otherwise: {'; '.join(other)}",
            expected="a folder without a report, or one made with the same settings",
            hint="Write this report into another folder with -o, or remove that file to put this"
            " one in its place: answers beside it that fit are kept, and not asked for again",
        )


def _told(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else repr(value)
