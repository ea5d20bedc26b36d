"""From what a user calls a model to the two files it is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest, ModelNotFound

__all__ = ["NAMES", "ModelFiles", "resolve"]

_EMBEDDED: Final = Path(__file__).parent / "embedded" / "astrollava-embedded-v0"

#: The names `resolve` knows.
NAMES: Final = ("embedded",)

_ACCEPTED: Final = (
    f"a name ({', '.join(NAMES)}), a .gguf file with its mmproj, or a folder that holds both"
)


@dataclass(frozen=True)
class ModelFiles:
    """A language model and its vision projector.

    Attributes
    ----------
    name : str
        What to call the model.
    text, mmproj : Path
        The two GGUF files.
    licence : str or None
        Its licence where the catalogue knows it.
    source : str
        Where it comes from: ``"package"`` or ``"path"``.
    """

    name: str
    text: Path
    mmproj: Path
    licence: str | None = None
    source: str = "path"


def resolve(
    model: str | os.PathLike[str] = "embedded", mmproj: str | os.PathLike[str] | None = None
) -> ModelFiles:
    """Find the files of a model.

    Parameters
    ----------
    model : str or path-like
        A name of the catalogue (`NAMES`), a ``.gguf`` file, or a folder with a language model and
        a projector.
    mmproj : path-like, optional
        The projector of a model given by its path. By default the one ``.gguf`` file beside the
        model that has ``mmproj`` in its name.

    Returns
    -------
    ModelFiles
        Both files exist; their contents are not looked at.

    Raises
    ------
    ModelNotFound
        There is no such name or file, or not exactly one projector beside the model.
    InvalidRequest
        A projector was given for a model of the catalogue, which has its own.

    Examples
    --------
    >>> resolve("embedded").mmproj.name
    'astrollava-embedded-v0-mmproj.gguf'
    """
    if isinstance(model, str) and model.strip().lower() in NAMES:
        if mmproj is not None:
            raise InvalidRequest(
                f"a projector, {os.fspath(mmproj)}, was given for {model!r}, which has its own",
                hint="Leave mmproj away, or give the path of the language model as well",
            )
        return _embedded()
    path = Path(model).expanduser()
    if path.is_dir():
        return _from_folder(path, mmproj)
    if path.is_file():
        return _from_file(path, mmproj)
    raise _unknown(str(model), path)


def _embedded() -> ModelFiles:
    text, mmproj = (_EMBEDDED.with_name(f"{_EMBEDDED.name}-{r}.gguf") for r in ("text", "mmproj"))
    for file in (text, mmproj):
        if not file.is_file():
            raise ModelNotFound(
                f"the embedded model's file {file} is missing from this installation",
                hint="Install astrollava anew, or make it in a checkout with: make embedded-model",
            )
    return ModelFiles("embedded", text, mmproj, source="package")


def _from_folder(folder: Path, mmproj: str | os.PathLike[str] | None) -> ModelFiles:
    texts = [f for f in _models(folder) if not _looks_like_mmproj(f)]
    if len(texts) != 1:
        raise ModelNotFound(
            f"{folder} holds {_listing(texts, 'language models')}",
            expected="exactly one .gguf file without mmproj in its name",
            hint="Give the path of the .gguf file itself" if texts else "",
        )
    return _from_file(texts[0], mmproj, name=folder.resolve().name)


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
        others = [f for f in _models(path.parent) if f.name != path.name]
        raise ModelNotFound(
            f"{path.parent} holds {_listing(beside, 'projectors')} for {path.name}"
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


def _looks_like_mmproj(path: Path) -> bool:
    return "mmproj" in path.name.lower()


def _listing(files: list[Path], what: str) -> str:
    return f"{len(files)} {what} ({_names(files)})" if files else f"no {what}"


def _names(files: list[Path]) -> str:
    shown = ", ".join(f.name for f in files[:8]) or "no .gguf files"
    return shown + (f" and {len(files) - 8} more" if len(files) > 8 else "")


def _unknown(model: str, path: Path) -> ModelNotFound:
    if path.suffix.lower() == ".gguf" or os.sep in model or path.is_absolute():
        near = []
        if path.parent.is_dir():
            near = get_close_matches(path.name, [f.name for f in _models(path.parent)], n=3)
        return ModelNotFound(
            f"there is no file or folder {model}",
            expected=_ACCEPTED,
            hint=f"Near it: {', '.join(near)}" if near else "",
        )
    near = get_close_matches(model.strip().lower(), NAMES, n=3, cutoff=0.5)
    return ModelNotFound(
        f"there is no model {model!r}",
        expected=_ACCEPTED,
        hint=f"Did you mean {' or '.join(near)}" if near else "",
    )
