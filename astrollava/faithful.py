"""Files that llama.cpp would read wrongly, made right before it sees them.

Joins what the engine measures of llama.cpp and what the models' room knows of files.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astrollava.models import ModelFiles
    from astrollava.models.gguf import GGUFHeader
    from astrollava.models.repair import Defect

__all__ = ["FaithfulFiles", "RepairedFile", "faithful", "repair_projector"]

_log = logging.getLogger("astrollava")


@dataclasses.dataclass(frozen=True)
class FaithfulFiles:
    """A pair whose images come out as the original model's do.

    Attributes
    ----------
    files : ModelFiles
        The pair to load. Its projector may be a repaired copy.
    given : ModelFiles
        The pair it was made of.
    repaired : tuple of str
        What was repaired: names of `astrollava.models.repair.Defect`.
    twin : Path or None
        For ``Engine(mmproj_twin=...)``: a file that gives the patch llama.cpp loses.
    """

    files: ModelFiles
    given: ModelFiles
    repaired: tuple[str, ...] = ()
    twin: Path | None = None


def faithful(files: ModelFiles) -> FaithfulFiles:
    """Replace a projector file that llama.cpp would read wrongly by a repaired copy.

    That concerns LLaVA-1.5 files: see `astrollava.models.repair`. The copy is made in the cache
    folder at first use. llama.cpp is loaded for such files only.

    Parameters
    ----------
    files : ModelFiles
        A pair.

    Returns
    -------
    FaithfulFiles

    Raises
    ------
    ModelNotFound, InvalidModelFile
        The projector's header cannot be read.
    EngineUnavailable
        llama.cpp is needed and missing.
    NotEnoughSpace, ModelError
        The copy cannot be written.
    """
    from astrollava.models import gguf, repair

    header = gguf.read_header(files.mmproj)
    spoilt = repair.is_beyond_repair(header)
    if not spoilt and not repair.has_class_token(header):
        return FaithfulFiles(files, files)
    from astrollava.engine import class_token_order

    order = class_token_order()
    if spoilt and order != "first":
        _log.warning(
            "%s: this llama.cpp misplaces the class token of its tower, which cannot be mended in"
            " the file: images look different from what the original model sees",
            files.mmproj,
        )
    names = tuple(defect.name for defect in repair.diagnose(header, order))
    right = dataclasses.replace(files, mmproj=repair.repair(header, order)) if names else files
    return FaithfulFiles(right, files, names, _twin(header) if order == "last" else None)


@dataclasses.dataclass(frozen=True)
class RepairedFile:
    """A projector file and what became of it.

    Attributes
    ----------
    path : Path
        The file to use: a repaired copy, or the file given where nothing was wrong.
    defects : tuple of Defect
        What was wrong.
    order : {"first", "last", "unknown"} or None
        Where this llama.cpp puts the class token; None for a file without one.
    """

    path: Path
    defects: tuple[Defect, ...]
    order: str | None


def repair_projector(mmproj: Path, out: Path | None = None) -> RepairedFile:
    """Repair a projector file for the llama.cpp that is installed.

    Parameters
    ----------
    mmproj : Path
        The file. It stays as it is.
    out : Path, optional
        Where the copy is written if one is needed; by default into the cache folder.

    Returns
    -------
    RepairedFile

    Raises
    ------
    ModelNotFound, InvalidModelFile
        There is no such file, or it is no vision projector llama.cpp can bear.
    InvalidRequest
        `out` is the file itself.
    EngineUnavailable
        llama.cpp is needed and missing.
    NotEnoughSpace, ModelError
        The copy cannot be written.
    """
    from astrollava.models import gguf, repair

    header = gguf.read_header(mmproj)
    if not repair.has_class_token(header):
        gguf.check_mmproj(header)
        return RepairedFile(mmproj, (), None)
    from astrollava.engine import class_token_order

    order = class_token_order()
    defects = repair.diagnose(header, order)
    path = repair.repair(header, order, out) if defects else mmproj
    gguf.check_mmproj(gguf.read_header(path))
    return RepairedFile(path, defects, order)


def _twin(header: GGUFHeader) -> Path | None:
    from astrollava.errors import ModelError
    from astrollava.models import gguf, repair

    try:
        copy = repair.twin(header)
        if copy is not None:
            gguf.check_mmproj(gguf.read_header(copy))
    except ModelError as error:
        _log.warning("the first patch of an image is lost, its neighbour stands in: %s", error)
        return None
    return copy
