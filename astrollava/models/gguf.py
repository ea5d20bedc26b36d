"""GGUF files from anywhere: read their headers and tell whether llama.cpp can bear them.

llama.cpp trusts a model file: many a wrong number in it ends the process. `read_header` takes
nothing on trust and `check_pair` turns what would kill into `InvalidModelFile`, in pure Python and
before llama.cpp sees the file.
"""

from __future__ import annotations

import logging

from astrollava.errors import InvalidModelFile, ProjectorMismatch

from ._header import GGUFHeader, LazyArray, Limits, TensorInfo, Value, read_header
from ._mmproj_rules import CHECKED_PROJECTORS, check_mmproj, output_width, projector_type
from ._text_rules import CHECKED_ARCHITECTURES, check_text

__all__ = [
    "CHECKED_ARCHITECTURES",
    "CHECKED_PROJECTORS",
    "GGUFHeader",
    "LazyArray",
    "Limits",
    "TensorInfo",
    "Value",
    "check_mmproj",
    "check_pair",
    "check_text",
    "fully_checked",
    "output_width",
    "projector_type",
    "read_header",
]

_log = logging.getLogger("astrollava")


def check_pair(text: GGUFHeader, mmproj: GGUFHeader) -> None:
    """Hold a language model and a projector against what llama.cpp can bear.

    Parameters
    ----------
    text, mmproj : GGUFHeader
        The headers of the two files.

    Raises
    ------
    InvalidModelFile
        One of the files is damaged, or is something else: the two may be swapped, a LoRA adapter, a
        part of a split model, a speech recogniser.
    ProjectorMismatch
        The projector makes embeddings of another length than the language model takes.

    Notes
    -----
    What is not known passes. For architectures and projectors outside `CHECKED_ARCHITECTURES` and
    `CHECKED_PROJECTORS` that is more than for those inside: see `fully_checked`.
    """
    kinds = text.metadata.get("general.architecture"), mmproj.metadata.get("general.architecture")
    if kinds[0] == "clip" and kinds[1] != "clip":
        raise InvalidModelFile(
            f"the two files are swapped: {text.path.name} is the projector and "
            f"{mmproj.path.name} the language model",
            expected="the language model first, the projector as mmproj",
        )
    check_text(text)
    check_mmproj(mmproj)
    made = output_width(mmproj)
    taken = text.metadata[f"{text.metadata['general.architecture']}.embedding_length"]
    if made is not None and made != taken:
        raise ProjectorMismatch(
            f"{mmproj.path.name} makes embeddings of length {made}, {text.path.name} takes {taken}",
            expected="a projector made for this language model",
            hint="Give the mmproj file that came with the model",
        )
    if not fully_checked(text, mmproj):
        _log.warning(
            "%s (%s) and %s (%s) are of kinds that astrollava checks in general terms only",
            text.path.name,
            text.metadata["general.architecture"],
            mmproj.path.name,
            projector_type(mmproj),
        )


def fully_checked(text: GGUFHeader, mmproj: GGUFHeader) -> bool:
    """Say whether the checks of `check_pair` mirror llama.cpp's graphs for this pair.

    Parameters
    ----------
    text, mmproj : GGUFHeader
        The headers of the two files.

    Returns
    -------
    bool
        True for the kinds that are checked tensor by tensor and fuzzed against llama.cpp. For any
        other a file made to do harm may still end the process.
    """
    return (
        text.metadata.get("general.architecture") in CHECKED_ARCHITECTURES
        and projector_type(mmproj) in CHECKED_PROJECTORS
        and mmproj.metadata.get("clip.has_audio_encoder") is not True
        and mmproj.metadata.get("clip.has_gen_audio_encoder") is not True
    )
