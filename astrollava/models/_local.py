"""Finding a pair of model files on this disk, by the path of one of them or of their folder."""

from __future__ import annotations

import os
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from astrollava.errors import ModelNotFound

from . import _bundled
from ._header import read_header
from .catalog import ModelFiles, near_names

__all__ = ["from_path", "unknown"]

_ACCEPTED: Final = (
    "a name (see: astrollava models list), hf:owner/repository:QUANTIZATION, a .gguf file with its "
    "mmproj, or a folder that holds both"
)


def from_path(path: Path, mmproj: str | os.PathLike[str] | None) -> ModelFiles | None:
    """Return the pair at a path, or None where there is nothing."""
    if path.is_dir():
        return _from_folder(path, mmproj)
    if path.is_file():
        return _from_file(path, mmproj)
    return None


def _from_folder(folder: Path, mmproj: str | os.PathLike[str] | None) -> ModelFiles:
    texts = [f for f in _models(folder) if not _looks_like_mmproj(f)]
    if not texts and mmproj is None and (bundled := _bundled.at(folder)) is not None:
        return _of_bundle(bundled.model(folder), folder)
    if not texts and _looks_like_checkpoint(folder):
        raise ModelNotFound(
            f"{_named(folder)} holds no .gguf files, but what looks like a checkpoint",
            expected="exactly one .gguf file without mmproj in its name",
            hint=f"Make a model of it: astrollava models convert {shlex.quote(str(folder))} -o DIR",
        )
    if len(texts) != 1:
        raise ModelNotFound(
            f"{_named(folder)} holds {_listing(texts, 'language models')}",
            expected="exactly one .gguf file without mmproj in its name",
            hint="Give the path of the .gguf file itself" if texts else "",
        )
    return _from_file(texts[0], mmproj, name=folder.resolve().name)


def _of_bundle(files: ModelFiles, folder: Path) -> ModelFiles:
    for file in (files.text, files.mmproj):
        if not file.is_file():
            raise ModelNotFound(
                f"the bundle in {_named(folder)} lacks its {file.relative_to(folder)}",
                hint="Unpack it again, into a new folder: astrollava bundle use BUNDLE -o DIR",
            )
    return files


def _from_file(
    path: Path, mmproj: str | os.PathLike[str] | None, name: str | None = None
) -> ModelFiles:
    if mmproj is not None:
        given = Path(mmproj).expanduser()
        if not given.is_file():
            raise ModelNotFound(
                f"there is no projector file {given}", expected="the path of an mmproj .gguf file"
            )
        return ModelFiles(name or path.stem, path, given)
    if path.suffix.lower() != ".gguf":
        raise ModelNotFound(f"{path} is no .gguf file", expected=_ACCEPTED)
    if _looks_like_mmproj(path):
        raise ModelNotFound(
            f"{path} is a projector (mmproj) by its name, and no language model was given",
            hint="Give the language model's file first and this one as mmproj",
        )
    beside = [f for f in _models(path.parent) if _looks_like_mmproj(f)]
    if len(beside) != 1:
        # A file that no projector would make whole is the worse news.
        read_header(path)
        others = [f for f in _models(path.parent) if f.name != path.name]
        raise ModelNotFound(
            f"{_named(path.parent)} holds {_listing(beside, 'projectors')} for {path.name}"
            + ("" if beside else f"; beside it: {_names(others)}"),
            expected="exactly one .gguf file with mmproj in its name beside the model",
            hint="Give the projector's path as mmproj",
        )
    return ModelFiles(name or path.stem, path, beside[0])


def _models(folder: Path) -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.suffix.lower() == ".gguf" and f.is_file())
    except OSError as error:
        raise ModelNotFound(f"{folder} cannot be read: {error}") from None


def _named(folder: Path) -> str:
    """Name a folder so that it means something in a message: "." does not."""
    return str(folder.resolve() if folder.name in {"", ".."} else folder)


def _looks_like_mmproj(path: Path) -> bool:
    return "mmproj" in path.name.lower()


def _looks_like_checkpoint(folder: Path) -> bool:
    if any(folder.glob("*.safetensors")):
        return True
    # Other things are called .bin, too.
    return (folder / "config.json").is_file() and any(folder.glob("*.bin"))


def _listing(files: list[Path], what: str) -> str:
    return f"{len(files)} {what} ({_names(files)})" if files else f"no {what}"


def _names(files: list[Path]) -> str:
    shown = ", ".join(f.name for f in files[:8]) or "no .gguf files"
    return shown + (f" and {len(files) - 8} more" if len(files) > 8 else "")


def unknown(model: str, path: Path) -> ModelNotFound:
    """Make the error for a model that is neither on this disk nor in the catalogue."""
    if path.suffix.lower() == ".gguf" or os.sep in model or path.is_absolute():
        near = []
        if path.parent.is_dir():
            near = get_close_matches(path.name, [f.name for f in _models(path.parent)], n=3)
        return ModelNotFound(
            f"there is no file or folder {model}",
            expected=_ACCEPTED,
            hint=f"Near it: {', '.join(near)}" if near else "",
        )
    near = near_names(model)
    return ModelNotFound(
        f"there is no model {model!r}",
        expected=_ACCEPTED,
        hint=f"Did you mean {' or '.join(near)}" if near else "",
    )
