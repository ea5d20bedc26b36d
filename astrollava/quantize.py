"""A model in fewer bits: both files of a pair, checked before and after."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from astrollava.engine import quantize as llama
from astrollava.errors import InvalidRequest
from astrollava.models import ModelFiles, gguf, resolve
from astrollava.models.convert import ask_for_space, mmproj_default, staged
from astrollava.models.facts import stored_as

__all__ = ["quantize"]

#: Called with what is done, the bytes read so far and the bytes in all.
Progress = Callable[[str, int, int], None]

_AS_IT_IS: Final = "as it is"
_WHOLE: Final = frozenset({"F32", "F16", "BF16"})

#: Bits a number at most, where llama.cpp gives some matrices more than the name says.
_BITS: Final[Mapping[str, float]] = MappingProxyType({"f32": 32, "f16": 16, "bf16": 16})
_BITS_OF_BLOCKS: Final = 9.0


def quantize(
    model: str | os.PathLike[str] | ModelFiles,
    kind: str,
    out: str | os.PathLike[str] | None = None,
    *,
    mmproj: str | os.PathLike[str] | None = None,
    mmproj_quantize: str | None = None,
    requantize: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> ModelFiles | None:
    """Store a model in another type.

    Parameters
    ----------
    model : str, path-like or ModelFiles
        What `astrollava.models.resolve` takes, or what it returns.
    kind : str
        Storage type of the language model, one of `astrollava.engine.quantize.TYPES`, for example
        ``"q4_k_m"``.
    out : path-like, optional
        A new or empty folder, by default ``{name}-{kind}`` in the current one. It appears with both
        files in it, or not at all.
    mmproj : path-like, optional
        The projector of a model given by its path.
    mmproj_quantize : str, optional
        Storage type of vision tower and projector, one of `PROJECTOR_TYPES` there. By default like
        the language model in ``"f32"``, ``"f16"`` and ``"bf16"``, else ``"q8_0"``; and left as they
        are if they are quantized already.
    requantize : bool
        Also take apart what is quantized already, which loses more than quantizing once.
    threads : int, optional
        By default one a physical core.
    progress : callable, optional
        Told the step, and its bytes done and in all.
    cancel : threading.Event, optional
        Set from another thread, it ends the work.

    Returns
    -------
    ModelFiles or None
        The new pair, each named by its own type: ``{name}-{kind}-text.gguf`` and
        ``{name}-{mmproj_quantize}-mmproj.gguf``; None where it was cancelled.

    Raises
    ------
    InvalidRequest
        An unknown type, an `out` that is not empty, or a source that is quantized already.
    InvalidModelFile, ProjectorMismatch
        The pair is not sound.
    NotEnoughSpace, ModelError
        The files cannot be written, or llama.cpp refused them.
    """
    kind = llama.check_type(kind)
    if mmproj_quantize is not None:
        mmproj_quantize = llama.check_type(mmproj_quantize, projector=True)
    files = model if isinstance(model, ModelFiles) else resolve(model, mmproj)
    text, tower = gguf.read_header(files.text), gguf.read_header(files.mmproj)
    gguf.check_pair(text, tower)
    mmproj_kind = mmproj_quantize or (mmproj_default(kind) if _is_whole(tower) else _AS_IT_IS)
    stem = _stem(files, text)
    folder = Path(out) if out is not None else Path(f"{stem}-{kind}")
    steps = (
        (text, kind, f"{stem}-{kind}-text.gguf"),
        (tower, mmproj_kind, f"{stem}-{_word(tower, mmproj_kind)}mmproj.gguf"),
    )
    for header, wanted, _ in steps:
        if not requantize and wanted != _AS_IT_IS and not _is_whole(header):
            raise InvalidRequest(
                f"{header.path.name} is quantized already",
                expected="a model in f32, f16 or bf16",
                hint="Take the larger file of the same model; or allow requantizing (--requantize),"
                " which loses more than quantizing once",
            )
    try:
        with staged(folder) as staging:
            ask_for_space(staging, sum(_size(header, wanted) for header, wanted, _ in steps))
            for header, wanted, name in steps:
                _store(header, wanted, staging / name, requantize, threads, progress, cancel)
            gguf.check_pair(*(gguf.read_header(staging / name) for _, _, name in steps))
    except _Cancelled:
        return None
    return ModelFiles(files.name, folder / steps[0][2], folder / steps[1][2], licence=files.licence)


class _Cancelled(Exception):
    """Ends the work and lets the unfinished folder vanish."""


def _store(
    header: gguf.GGUFHeader,
    kind: str,
    target: Path,
    requantize: bool,
    threads: int | None,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> None:
    def report(done: int, tensors: int) -> None:
        if progress is not None:
            progress(f"{target.name}: {kind}", header.size * done // max(tensors, 1), header.size)

    if kind == _AS_IT_IS:
        shutil.copyfile(header.path, target)
    else:
        llama.quantize(
            header.path,
            target,
            kind,
            requantize=requantize,
            threads=threads,
            progress=report,
            cancel=cancel,
        )
    if cancel is not None and cancel.is_set():
        raise _Cancelled


def _is_whole(header: gguf.GGUFHeader) -> bool:
    return all(tensor.type in _WHOLE for tensor in header.tensors)


def _word(header: gguf.GGUFHeader, kind: str) -> str:
    """Return a type as a part of a file's name, empty for one that is not known."""
    if kind != _AS_IT_IS:
        return f"{kind}-"
    stated = stored_as(header).lower()
    return f"{stated}-" if stated in llama.TYPES else ""


def _size(header: gguf.GGUFHeader, kind: str) -> int:
    """Return about how many bytes a file will have, rather too many."""
    if kind == _AS_IT_IS:
        return header.size
    numbers = sum(_count(tensor.shape) for tensor in header.tensors)
    return header.data_offset + int(numbers * _BITS.get(kind, _BITS_OF_BLOCKS) / 8)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _stem(files: ModelFiles, header: gguf.GGUFHeader) -> str:
    """Return a name for the new files, without the type of the old ones."""
    stated = header.metadata.get("astrollava.model.name")
    name = stated if isinstance(stated, str) and stated else files.name
    kinds = "|".join(re.escape(kind) for kind in llama.TYPES)
    name = re.sub(rf"([-._]({kinds}))?([-._]text)?$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    # resolve() tells the two files apart by this word.
    return re.sub("mmproj", "mm-proj", name, flags=re.IGNORECASE) or "model"
