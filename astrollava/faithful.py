"""Files that llama.cpp would read wrongly, made right before it sees them.

Joins what the engine measures of llama.cpp and what the models' room knows of files.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from astrollava.models import ModelFiles
    from astrollava.models.gguf import GGUFHeader
    from astrollava.models.repair import Defect

__all__ = ["FaithfulFiles", "LostPatchWarning", "RepairedFile", "faithful", "repair_projector"]

_log = logging.getLogger("astrollava")

Made = TypeVar("Made")


class LostPatchWarning(UserWarning):
    """The first patch of every image is lost: answers may differ from the original model's."""


@dataclasses.dataclass(frozen=True)
class FaithfulFiles:
    """A pair whose images come out as the original model's do.

    Copies that the cache folder could not take are in a temporary one. It lives as long as this
    object, which is needed until llama.cpp has read the files and no longer.

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
    folder at first use, and in a temporary folder each time where that cannot be written. llama.cpp
    is loaded for such files only.

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
        The copy cannot be written in either place.

    Warns
    -----
    LostPatchWarning
        The twin cannot be written in either place.
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
    spare = _Spare()
    try:
        right = files
        if names:
            copy = spare.make(lambda folder: repair.repair(header, order, folder=folder))
            right = dataclasses.replace(files, mmproj=copy)
        twin = _twin(header, spare) if order == "last" else None
    except BaseException:
        spare.remove()
        raise
    made = FaithfulFiles(right, files, names, twin)
    weakref.finalize(made, spare.remove)
    return made


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
        Where the copy is written if one is needed, a file that does not exist; by default into the
        cache folder.

    Returns
    -------
    RepairedFile

    Raises
    ------
    ModelNotFound, InvalidModelFile
        There is no such file, or it is no vision projector llama.cpp can bear.
    InvalidRequest
        `out` exists.
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


class _Spare:
    """A temporary folder for copies that the cache folder cannot take."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def make(self, write: Callable[[Path | None], Made]) -> Made:
        """Write into the cache folder, given as None, or where that cannot be, into this one."""
        from astrollava.errors import InvalidModelFile, ModelError, ModelNotFound

        try:
            return write(None)
        except (InvalidModelFile, ModelNotFound):
            raise
        except ModelError as error:
            try:
                self._folder = self._folder or Path(tempfile.mkdtemp(prefix="astrollava-"))
            except OSError:
                raise error from None
            made = write(self._folder)
            _log.info("a temporary copy is made at each start: %s", error)
            return made

    def remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _twin(header: GGUFHeader, spare: _Spare) -> Path | None:
    from astrollava.errors import ModelError
    from astrollava.models import gguf, repair

    try:
        copy = spare.make(lambda folder: repair.twin(header, folder=folder))
        if copy is not None:
            gguf.check_mmproj(gguf.read_header(copy))
    except ModelError as error:
        # Not the log, which nobody sees by default: the answers are other ones.
        warnings.warn(
            "the first patch of every image is lost and its neighbour stands in, so that answers"
            f" may differ from the original model's: {error}",
            LostPatchWarning,
            stacklevel=4,
        )
        return None
    return copy
