"""``hf:owner/repository:Q4_K_M``: which files of a repository are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from astrollava.errors import InvalidRequest, ModelNotFound

from .catalog import RemoteFile

__all__ = ["PREFIX", "HubName", "choose_pair", "parse"]

PREFIX: Final = "hf:"

_NAME: Final = re.compile(
    r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?::(?P<quantization>[\w.-]{1,32}))?(?:@(?P<revision>[\w.-]{1,96}))?"
)
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
# As file names write it: letter, digits, and what refines it; "UD-" and "i1-" in front are the
# publisher's own marks.
_TAG: Final = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?I?Q\d(?:_[A-Za-z0-9]+)*|BF16|F16|F32|FP16|FP32|MXFP4(?:_MOE)?)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
#: What is taken where nothing is asked for: good at its size first.
_TEXT_ORDER: Final = ("Q4_K_M", "Q8_0", "Q5_K_M", "Q6_K", "Q4_K_S", "Q4_0", "F16", "BF16")
#: A tower loses little with eight bits and much with four.
_MMPROJ_ORDER: Final = ("Q8_0", "F16", "BF16", "F32")


@dataclass(frozen=True)
class HubName:
    """A name taken apart.

    Attributes
    ----------
    repo : str
        ``"owner/repository"``.
    quantization : str or None
        ``"Q4_K_M"`` and the like.
    revision : str or None
        A commit, branch or tag.
    """

    repo: str
    quantization: str | None = None
    revision: str | None = None


def parse(name: str) -> HubName:
    """Take ``hf:owner/repository[:QUANTIZATION][@revision]`` apart.

    Raises
    ------
    InvalidRequest
        It is not of that form.

    Examples
    --------
    >>> parse("hf:ggml-org/gemma-3-4b-it-GGUF:Q4_K_M").quantization
    'Q4_K_M'
    """
    match = _NAME.fullmatch(name.strip()[len(PREFIX) :])
    if match is None or ".." in match["repo"]:
        raise InvalidRequest(
            f"{name!r} names no model on the hub",
            expected="hf:owner/repository, hf:owner/repository:Q4_K_M, with @revision at the end",
        )
    return HubName(match["repo"], match["quantization"], match["revision"])


def choose_pair(name: HubName, files: Sequence[RemoteFile]) -> dict[str, RemoteFile]:
    """Choose a language model and a projector.

    Parameters
    ----------
    name : HubName
        What was asked for.
    files : sequence of RemoteFile
        What there is.

    Returns
    -------
    dict
        ``"text"`` and ``"mmproj"``.

    Raises
    ------
    ModelNotFound
        One of them is not there, or it is not clear which is meant.
    """
    models = [f for f in files if f.file.lower().endswith(".gguf")]
    projectors = [f for f in models if "mmproj" in f.file.lower()]
    texts = [f for f in models if f not in projectors]
    if not texts:
        raise ModelNotFound(
            f"{name.repo} has no GGUF language model",
            hint="A checkpoint has to be converted: astrollava models convert -h",
        )
    if not projectors:
        raise ModelNotFound(
            f"{name.repo} has no projector: its model reads words only",
            expected="a .gguf file with mmproj in its name beside the language model",
        )
    whole = [f for f in texts if not _SPLIT.search(f.file)]
    if name.quantization is None:
        text = _by_order(whole, _TEXT_ORDER)
        if text is None:
            raise ModelNotFound(
                f"{name.repo} has {_tags(texts)}",
                hint=f"Say which: hf:{name.repo}:QUANTIZATION",
            )
    else:
        fitting = [f for f in whole if _tag(f.file) == name.quantization.upper()]
        if len(fitting) != 1:
            split = any(_tag(f.file) == name.quantization.upper() for f in texts if f not in whole)
            reason = " split into parts, which cannot be used" if split else ""
            raise ModelNotFound(
                f"{name.repo} has {len(fitting) or 'no'} {name.quantization}{reason}; "
                f"it has {_tags(whole)}",
                expected="exactly one file of that quantization",
            )
        text = fitting[0]
    mmproj = _by_order(projectors, _MMPROJ_ORDER)
    if mmproj is None:
        raise ModelNotFound(
            f"{name.repo} has {len(projectors)} projectors: "
            + ", ".join(f.file for f in projectors[:8]),
            hint="Download one of them and give both files by their paths",
        )
    return {"text": text, "mmproj": mmproj}


def _tag(file: str) -> str:
    found = _TAG.findall(file.rsplit("/", 1)[-1])
    tag = found[-1].upper() if found else ""
    return "F" + tag.removeprefix("FP") if tag.startswith("FP") else tag


def _by_order(files: Sequence[RemoteFile], order: Sequence[str]) -> RemoteFile | None:
    if len(files) == 1:
        return files[0]
    for tag in order:
        fitting = [f for f in files if _tag(f.file) == tag]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _tags(files: Sequence[RemoteFile]) -> str:
    tags = sorted({_tag(f.file) or f.file for f in files})
    shown = ", ".join(tags[:12]) or "none that is whole"
    return shown + (f" and {len(tags) - 12} more" if len(tags) > 12 else "")
