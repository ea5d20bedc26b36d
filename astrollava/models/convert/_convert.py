"""A LLaVA checkpoint, written as the pair of GGUF files llama.cpp reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from astrollava.models import gguf
from astrollava.models._progress import Progress
from astrollava.models.catalog import ModelFiles
from astrollava.models.checkpoint import Checkpoint

from ._hashing import Hashing
from ._mmproj import mmproj_metadata, mmproj_tensors
from ._staging import ask_for_space, staged
from ._storage import check_quantization, file_type, mmproj_default
from ._text import text_metadata, text_tensors, vocabulary_size
from ._writer import Plan, Value, plan
from .chat import chat_template
from .vocabulary import vocabulary

__all__ = ["convert", "write_pair"]

_FILES: Final = "astrollava.checkpoint.files"
_HASHES: Final = "astrollava.checkpoint.sha256"


def convert(
    checkpoint: Checkpoint,
    out: Path,
    *,
    quantize: str = "f16",
    mmproj_quantize: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress | None = None,
) -> ModelFiles:
    """Write a checkpoint as a pair of GGUF files.

    Weights pass through memory piece by piece: it takes a few hundred megabytes whatever the size
    of the model.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `open_checkpoint`.
    out : Path
        A new or empty folder. It appears with both files in it, or not at all.
    quantize : str
        Storage of the language model's matrices, one of `QUANTIZATIONS`. Vectors stay f32;
        matrices whose rows do not fill the blocks of the type are f16.
    mmproj_quantize : str, optional
        The same for tower and projector; by default as `mmproj_default` says.
    name : str, optional
        Name of the model and of its files; by default that of the checkpoint.
    licence : str, optional
        Of the weights; by default what the checkpoint's model card says.
    progress : callable, optional
        Told about every piece: what is done, the bytes done and the bytes in all.

    Returns
    -------
    ModelFiles
        The files, each named by its own type: ``{name}-{quantize}-text.gguf`` and
        ``{name}-{mmproj_quantize}-mmproj.gguf``.

    Raises
    ------
    InvalidRequest
        An unknown storage type, or an `out` that is not empty.
    InvalidCheckpoint
        A weight is missing, of another shape than the configuration says, or not finite.
    UnsupportedModel
        A part of the model has no equal in llama.cpp.
    NotEnoughSpace, ModelError
        The files cannot be written.
    """
    with staged(out) as folder:
        files = write_pair(
            checkpoint,
            folder,
            quantize=quantize,
            mmproj_quantize=mmproj_quantize,
            name=name,
            licence=licence,
            progress=progress,
        )
    return ModelFiles(
        files.name, out / files.text.name, out / files.mmproj.name, licence=files.licence
    )


def write_pair(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    quantize: str,
    mmproj_quantize: str | None,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress | None = None,
    reserve: Callable[[int, int], int] = lambda text, mmproj: 0,
) -> ModelFiles:
    """Write a pair into a folder that is there; the arguments are those of `convert`.

    Parameters
    ----------
    reserve : callable
        Told the bytes of both files; returns how many more must be free on the disk.
    """
    wanted = mmproj_default(quantize) if mmproj_quantize is None else mmproj_quantize
    kinds = check_quantization(quantize), check_quantization(wanted)
    title = name or checkpoint.source.rpartition("/")[2]
    licence = licence or checkpoint.licence
    about = _about(checkpoint, title, licence)
    text = _plan_text(checkpoint, about, kinds[0])
    mmproj = _plan_mmproj(checkpoint, about, kinds[1])
    ask_for_space(folder, text.size + mmproj.size + reserve(text.size, mmproj.size))
    stem = re.sub(r"[^\w.-]+", "-", title).strip("-.") or "model"
    # resolve() tells the two apart by this word.
    stem = re.sub("mmproj", "mm-proj", stem, flags=re.IGNORECASE)
    names = (f"{stem}-{kinds[0].lower()}-text.gguf", f"{stem}-{kinds[1].lower()}-mmproj.gguf")
    files = ModelFiles(title, folder / names[0], folder / names[1], licence=licence)
    total, done = text.size + mmproj.size, 0
    with (
        Hashing(checkpoint.files) as hashing,
        files.text.open("xb") as first,
        files.mmproj.open("xb") as second,
    ):
        parts = ((text, first), (mmproj, second))
        for part, file in parts:
            for count in part.write(file):
                done += count
                if progress is not None:
                    progress("converting", min(done, total), total)
        for part, file in parts:
            part.rewrite_header(file, {_HASHES: hashing.result()})
            # Before the folder gets its name: it must not show files the disk has not.
            file.flush()
            os.fsync(file.fileno())
    gguf.check_pair(gguf.read_header(files.text), gguf.read_header(files.mmproj))
    return files


def _about(checkpoint: Checkpoint, title: str, licence: str | None) -> dict[str, Value]:
    """Return what both files say of where they come from."""
    keys: dict[str, Value] = {"general.name": title}
    if licence:
        keys["general.license"] = licence
    if "/" in checkpoint.source:
        keys["general.source.huggingface.repository"] = checkpoint.source
    keys["astrollava.checkpoint.layout"] = checkpoint.layout
    if checkpoint.stated_name:
        keys["astrollava.checkpoint.name_or_path"] = checkpoint.stated_name
    keys[_FILES] = tuple(_label(checkpoint, path) for path in checkpoint.files)
    # Of the same length as the hashes, which are known at the end.
    keys[_HASHES] = ("0" * 64,) * len(checkpoint.files)
    return keys


def _label(checkpoint: Checkpoint, path: Path) -> str:
    inside = path.parent == checkpoint.folder
    return path.name if inside else f"{path.parent.name}/{path.name}"


def _plan_text(checkpoint: Checkpoint, about: dict[str, Value], kind: str) -> Plan:
    tokens = vocabulary_size(checkpoint)
    template = chat_template(checkpoint.tokenizer_folder, checkpoint.config)
    metadata: dict[str, Value] = {
        "general.architecture": checkpoint.language.architecture,
        "general.type": "model",
        **about,
        "general.file_type": file_type(kind),
        "general.quantization_version": 2,
        "astrollava.model.name": str(about["general.name"]),
        **text_metadata(checkpoint.language, tokens),
        **vocabulary(
            checkpoint.tokenizer_folder, tokens, in_pieces=checkpoint.layout == "original-llava"
        ),
    }
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    return plan(metadata, text_tensors(checkpoint), kind)


def _plan_mmproj(checkpoint: Checkpoint, about: dict[str, Value], kind: str) -> Plan:
    metadata: dict[str, Value] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        **about,
        "general.file_type": file_type(kind),
        "general.quantization_version": 2,
        **mmproj_metadata(checkpoint),
    }
    return plan(metadata, mmproj_tensors(checkpoint), kind)
