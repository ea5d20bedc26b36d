"""Messages that speak of Python's arguments, in the words of the command line."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["in_options"]

#: Argument -> the option that gives it.
_OPTIONS: Final = {
    "bands": "--bands",
    "combine": "--combine",
    "cutout": "--cutout",
    "hdu": "--hdu",
    "interval": "--interval",
    "max_tokens": "--max-tokens",
    "mmproj": "--mmproj",
    "n_gpu_layers": "--gpu-layers",
    "pixels": "--pixels",
    "seed": "--seed",
    "size": "--size",
    "stretch": "--stretch",
    "temperature": "--temperature",
    "threads": "--threads",
    "timeout": "--timeout",
}

# What is at an address must stay whole: it is to be looked at with a browser.
_ADDRESS: Final = r"(?P<address>(?:https?://|[?&])\S*)"

# A value ends where a word does: `bands=3.fits` is the name of a file. So is what follows a slash
# or a quote.
_ARGUMENT: Final = re.compile(
    rf"{_ADDRESS}|(?<![\w/.'\"-])(?P<name>{'|'.join(_OPTIONS)})="
    r"(?:\[(?P<list>[^\]]*)\]|'(?P<text>[^']*)'|(?P<word>-?\w+)(?!\w|\.\w|&)|(?=[\s,;)]|$))"
)

_PHRASES: Final = {
    "cutout=(position, size)": "--cutout X,Y,SIZE",
    "cutout=((x, y), 256)": "--cutout X,Y,256",
    'fetch="auto" chooses': "--from auto chooses",
    "fetched with fetch='auto' and a size, or by astrollava": "fetched by astrollava",
    "hdu=None": "no --hdu",
    "leave fetch out": "use astrollava describe",
    "a SkyCoord, a position in words": "a position",
    " as mmproj": " with --mmproj",
    "a position with fetch=..., or an image with a WCS": "an image with a WCS, such as"
    " astrollava fetch writes",
    "Leave mmproj away": "Leave --mmproj away",
    "or a list of labels": "or --labels A,B,C",
    "Pass your own labels as a list": "Give your own labels with --labels A,B,C",
    "max_tokens was reached": "--max-tokens was reached",
    "with max_tokens or n_ctx": "with --max-tokens, or a larger n_ctx from Python",
    # What there is no option for.
    "raise max_pixels": "raise max_pixels from Python",
    "a larger n_ctx": "a larger n_ctx from Python",
    "a smaller n_ctx": "a smaller n_ctx from Python",
}

_PHRASE: Final = re.compile(
    "|".join([_ADDRESS, *map(re.escape, sorted(_PHRASES, key=len, reverse=True))])
)


def in_options(message: str) -> str:
    """Return `message` with options where it names arguments of `Describer`.

    Examples
    --------
    >>> in_options("Choose planes, such as bands=[0, 5, 9]")
    'Choose planes, such as --bands 0,5,9'
    >>> in_options("Try again with max_tokens or n_ctx")
    'Try again with --max-tokens, or a larger n_ctx from Python'
    """
    # In one pass: what one phrase becomes may hold another.
    message = _PHRASE.sub(lambda found: _PHRASES.get(found[0], found[0]), message)
    return _ARGUMENT.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    if found["address"] is not None:
        return found[0]
    option = _OPTIONS[found["name"]]
    if found["list"] is not None:
        parts = [part.strip().strip("'") for part in found["list"].split(",")]
        return f"{option} {','.join(parts)}"
    value = found["text"] if found["text"] is not None else found["word"]
    if value is None:
        return option
    return f"{option} {value}" if value and " " not in value else f"{option} '{value}'"
