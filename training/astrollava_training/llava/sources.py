"""Pretrained weights by name: a folder here, or a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint, ModelNotFound

__all__ = ["find_folder", "read_config"]

_ON_HUB: Final = re.compile(r"[\w.-]+/[\w.-]+")
_BESIDE: Final = ("*.json", "*.txt", "*.model", "*.jinja", "README.md")


def find_folder(name: str, what: str) -> Path:
    """Return the folder of a checkpoint, downloaded where it is not here.

    Parameters
    ----------
    name : str
        A folder, or ``owner/name`` on the hub; it is kept in the hub's own cache, and with
        ``HF_HUB_OFFLINE=1`` only looked for there.
    what : str
        What it is, for errors: ``"the language model"``.

    Raises
    ------
    ModelNotFound
        If there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not _ON_HUB.fullmatch(name):
        raise ModelNotFound(
            f"{what} {name!r} is no folder", expected="a folder, or owner/name on the hub"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, allow_patterns=[*_BESIDE, "*.safetensors"]))
        if not list(found.glob("*.safetensors")):
            # Weights of before safetensors; where there are both, once is enough.
            found = Path(snapshot_download(name, allow_patterns=[*_BESIDE, "*.bin"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"{what} {name!r} is not here and cannot be downloaded: {error}",
            expected="a folder, or a repository of the hub that can be reached",
            hint=f"Download it where there is a network: hf download {name}",
        ) from error
    return found


def read_config(folder: Path, what: str) -> dict[str, Any]:
    """Return the ``config.json`` of a folder, or raise `InvalidCheckpoint`."""
    try:
        values = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidCheckpoint(
            f"{what} in {folder} has no readable config.json: {error}", expected="a checkpoint"
        ) from None
    if not isinstance(values, dict):
        raise InvalidCheckpoint(f"{folder / 'config.json'} holds no object")
    return values
