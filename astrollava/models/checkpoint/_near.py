"""Where another checkpoint lies that this one names: its base model or its vision tower."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from astrollava.errors import InvalidCheckpoint, ModelNotFound

__all__ = ["cached_name", "existing", "find_folder", "hub_name"]

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def hub_name(value: str) -> str:
    """Return a name of the form ``owner/name``, empty for anything else, such as a path."""
    return value if _HUB_NAME.fullmatch(value) and ".." not in value else ""


def cached_name(folder: Path) -> str:
    """Return the name of a snapshot in the cache of huggingface_hub, empty for another folder."""
    parts = folder.absolute().parts
    named = parts[-3] if len(parts) > 2 and parts[-2] == "snapshots" else ""
    return hub_name(named.removeprefix("models--").replace("--", "/", 1))


def existing(folder: Path, expected: str) -> Path:
    """Return a folder that must be there.

    Raises
    ------
    ModelNotFound
        There is none, or it is a file.
    """
    if folder.is_file():
        raise ModelNotFound(
            f"{folder} is a file",
            expected=expected,
            hint=f"Give the folder that it is in: {folder.absolute().parent}",
        )
    if not folder.is_dir():
        raise ModelNotFound(f"there is no folder {folder}", expected=expected)
    return folder


def find_folder(
    folder: Path, reference: str, given: Path | None, *, what: str, option: str
) -> Path:
    """Find the folder of a checkpoint that another one refers to.

    Parameters
    ----------
    folder : Path
        The checkpoint that refers to it.
    reference : str
        What it calls it. Only its name is used: a path in a downloaded file leads nowhere.
    given : Path or None
        What the user says.
    what, option : str
        For the error: what is looked for, and how to give it.

    Returns
    -------
    Path
        `given`; else the folder of that name inside or beside `folder`; else what the Hugging Face
        cache holds of it.

    Raises
    ------
    ModelNotFound
        There is none.
    """
    if given is not None:
        return existing(given, f"the folder of the {what}")
    name = re.split(r"[/\\]", reference.rstrip("/\\"))[-1]
    if re.fullmatch(r"\w[\w.-]{0,95}", name, re.ASCII):
        for near in (folder / name, folder.resolve().parent / name):
            if (near / "config.json").is_file() and near.resolve() != folder.resolve():
                return near
    if hub_name(reference) and (cached := _cached(reference)):
        return cached
    raise ModelNotFound(
        f"{folder} needs the {what} {reference or 'it was made of'!r:.120}, which is not beside it",
        expected=f"its folder as {option}",
        hint=f"Download it and give {option}" if reference else "",
    )


def _cached(name: str) -> Path | None:
    """Return the snapshot of a model in the cache of huggingface_hub."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    model = cache / f"models--{name.replace('/', '--')}"
    try:
        commit = (model / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise InvalidCheckpoint(f"{model / 'refs' / 'main'} holds no commit")
    found = model / "snapshots" / commit
    return found if (found / "config.json").is_file() else None
