"""From what a user calls a model to the two files it is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidRequest, ModelNotFound

from . import _bundled, _hub, catalog, store
from ._hf_names import PREFIX
from ._local import from_path, unknown
from ._progress import Progress
from .catalog import ModelFiles

__all__ = ["resolve"]

_EMBEDDED: Final = Path(__file__).parent / "embedded" / "astrollava-embedded-v0"


def resolve(
    model: str | os.PathLike[str] = "embedded",
    mmproj: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    progress: Progress | None = None,
) -> ModelFiles:
    """Find the files of a model; download them where they are called by a name and not here.

    Parameters
    ----------
    model : str or path-like
        A name of the catalogue (see `astrollava.models.catalog.entries`),
        ``hf:owner/repository:QUANTIZATION``, the name of a model that came on a bundle, a
        ``.gguf`` file, or a folder with a language model and a projector. A name of the catalogue
        goes before a folder of that name: write ``./name`` for the folder. A folder goes before a
        plugin's model of that name.
    mmproj : path-like, optional
        The projector of a model given by its path. By default the one ``.gguf`` file beside the
        model that has ``mmproj`` in its name.
    download : bool, optional
        Whether files that are not here may be downloaded; ``HF_HUB_OFFLINE=1`` forbids it, too.
    progress : callable, optional
        Called with what is done, the bytes done and the bytes in all. By default a bar is drawn on
        standard error where that is a terminal.

    Returns
    -------
    ModelFiles
        Both files exist; their contents are not looked at, but for those just downloaded, which
        have the hashes they should have, and for a language model without one projector beside it.

    Raises
    ------
    ModelNotFound
        There is no such name or file, or not exactly one projector beside the model, or it is not
        here and may not be downloaded.
    InvalidModelFile
        A language model without one projector beside it is damaged or no GGUF file.
    InvalidRequest
        A projector was given for a model that has its own.
    DownloadFailed, HashMismatch, NotEnoughSpace
        The files could not be brought here.

    Examples
    --------
    >>> resolve("embedded").mmproj.name
    'astrollava-embedded-v0-mmproj.gguf'
    """
    if not isinstance(model, str):
        return _at(Path(model), str(model), mmproj)
    name = model.strip()
    if not name:
        # As a path it would be the folder that one is in.
        raise unknown(model, Path(model))
    if name.lower() == "embedded":
        _refuse_projector(name, mmproj)
        return _embedded()
    if not name.lower().startswith(PREFIX):
        found = from_path(Path(model).expanduser(), mmproj)
        # What is here must not depend on which plugins are installed, nor wait for them.
        entry = catalog.find(name, plugged=found is None)
        # What the catalogue can bring means the same in every folder; "./" in front says otherwise.
        if found is not None and (entry is None or entry.repo is None):
            return found
        if entry is None and _bundled.find(name) is None:
            return _at(Path(model), model, mmproj)
    _refuse_projector(name, mmproj)
    return _called(name, download=download, progress=progress)


def _at(path: Path, given: str, mmproj: str | os.PathLike[str] | None) -> ModelFiles:
    path = path.expanduser()
    found = from_path(path, mmproj)
    if found is None:
        raise unknown(given, path)
    return found


def _called(name: str, *, download: bool, progress: Progress | None) -> ModelFiles:
    bundled = _bundled.find(name)
    if bundled is not None:
        folder, manifest = bundled
        return manifest.model(folder)
    files = store.cached(name)
    if files is not None:
        return files
    if not download or _hub.is_offline():
        raise ModelNotFound(
            f"{name} is not on this machine"
            + (", and HF_HUB_OFFLINE forbids to download it" if _hub.is_offline() else ""),
            hint=f"Where there is a network: astrollava models pull {name}. For a machine without "
            "one: astrollava bundle create -h",
        )
    return store.pull(name, progress=progress)


def _refuse_projector(model: str, mmproj: str | os.PathLike[str] | None) -> None:
    if mmproj is not None:
        raise InvalidRequest(
            f"a projector, {os.fspath(mmproj)}, was given for {model!r}, which has its own",
            hint="Leave mmproj away, or give the path of the language model as well",
        )


def _embedded() -> ModelFiles:
    text, mmproj = (_EMBEDDED.with_name(f"{_EMBEDDED.name}-{r}.gguf") for r in ("text", "mmproj"))
    for file in (text, mmproj):
        if not file.is_file():
            raise ModelNotFound(
                f"the embedded model's file {file} is missing from this installation",
                hint="Install astrollava anew, or make it in a checkout with: make embedded-model",
            )
    return ModelFiles("embedded", text, mmproj, source="package")
