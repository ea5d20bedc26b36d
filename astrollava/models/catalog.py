"""The models that can be called by a name: where they are, what for, and what they need."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from astrollava import _plugged
from astrollava.errors import InvalidRequest, ModelNotFound

__all__ = [
    "Entry",
    "ModelFiles",
    "RemoteFile",
    "add",
    "core_names",
    "entries",
    "find",
    "get",
    "near_names",
    "plugin_of",
]

_TABLE: Final = Path(__file__).with_name("catalog.toml")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_REPOSITORY: Final = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_RULES: Final = frozenset({"pad", "crop", "stretch"})


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
        Where it comes from: ``"package"``, ``"path"``, ``"bundle"``, or
        ``"hf:owner/repository@commit"``.
    """

    name: str
    text: Path
    mmproj: Path
    licence: str | None = None
    source: str = "path"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository on the hub.

    Attributes
    ----------
    file : str
        Its name in the repository.
    bytes : int or None
        Its exact size where it is known.
    sha256 : str or None
        Its hash, 64 hexadecimal digits, where it is known. The hub's own is used where it is not.
    about : int or None
        Its size to three digits or so, where the exact one is not known.
    """

    file: str
    bytes: int | None = None
    sha256: str | None = None
    about: int | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise InvalidRequest(
                f"the SHA-256 of {self.file} is {self.sha256!r}",
                expected="64 hexadecimal digits in lower case",
            )


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue.

    Attributes
    ----------
    name : str
        What it is called by: lower case letters, digits, ``.``, ``_`` and ``-``.
    title : str
        Its name in full.
    licence : str
        The licence of its weights.
    image_tokens : int
        Tokens of one picture at the tower's size; 0 where the picture's size decides.
    render_rule : str
        How a picture that is not square was made so in training: ``"pad"``, ``"crop"`` or
        ``"stretch"``.
    good_at, needs, note : str
        For people who choose.
    checked : str
        What of all this was checked, how and when.
    repo, revision : str or None
        The repository on the hub, ``"owner/name"``, and the commit; ``None`` means its ``main``.
    text, mmproj : RemoteFile or None
        The pair of files in it.
    checkpoint : str or None
        The repository of a checkpoint that has to be converted first, instead of a pair.
    unsupported : str
        What this release lacks to run the model; it is then not downloaded. Empty where it runs.
    """

    name: str
    title: str
    licence: str
    image_tokens: int
    render_rule: str
    good_at: str = ""
    needs: str = ""
    note: str = ""
    checked: str = ""
    repo: str | None = None
    revision: str | None = None
    text: RemoteFile | None = None
    mmproj: RemoteFile | None = None
    checkpoint: str | None = None
    unsupported: str = ""

    def __post_init__(self) -> None:
        for given in (self.repo, self.checkpoint):
            if given is not None and not _REPOSITORY.fullmatch(given):
                raise self._wrong(f"the repository {given!r}", "owner/name")
        if not _NAME.fullmatch(self.name):
            raise self._wrong("that name", "lower case letters, digits, '.', '_' and '-'")
        if self.render_rule not in _RULES:
            raise self._wrong(f"the render rule {self.render_rule!r}", "pad, crop or stretch")
        if self.revision is not None and not _COMMIT.fullmatch(self.revision):
            raise self._wrong(f"the revision {self.revision!r}", "40 hexadecimal digits")
        if (self.repo is None) != (self.text is None) or (self.text is None) != (
            self.mmproj is None
        ):
            raise self._wrong("a part of a pair", "repo, text and mmproj together, or none of them")

    @property
    def files(self) -> dict[str, RemoteFile]:
        """Role (``"text"``, ``"mmproj"``) -> file on the hub; empty where there is no pair."""
        if self.text is None or self.mmproj is None:
            return {}
        return {"text": self.text, "mmproj": self.mmproj}

    @property
    def size(self) -> int:
        """Bytes to download, as far as they are known."""
        return sum(f.bytes or f.about or 0 for f in self.files.values())

    @property
    def next_step(self) -> str:
        """The commands that bring it here."""
        if self.repo is not None or self.checkpoint is None:
            return f"astrollava models pull {self.name}"
        folder = self.checkpoint.rsplit("/", 1)[-1]
        return (
            f"hf download {self.checkpoint} --local-dir {folder}, then: astrollava models convert "
            f"{folder} -o {self.name} --quantize q4_k_m"
        )

    def _wrong(self, what: str, expected: str) -> InvalidRequest:
        return InvalidRequest(f"the catalogue entry {self.name!r} has {what}", expected=expected)


_added: dict[str, Entry] = {}


@functools.cache
def _table() -> dict[str, Entry]:
    rows = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["model"]
    return {row["name"]: _entry(row) for row in rows}


def _entry(row: Mapping[str, Any]) -> Entry:
    parts = {role: RemoteFile(**row[role]) for role in ("text", "mmproj") if role in row}
    return Entry(**{**row, **parts})


def entries() -> tuple[Entry, ...]:
    """Return the models of the catalogue, then those that were added, then those of plugins.

    Examples
    --------
    >>> entries()[0].name
    'embedded'
    """
    plugged = [offer.value for offer in _plugged.offered("models").values()]
    return (*_table().values(), *_added.values(), *plugged)


def core_names() -> tuple[str, ...]:
    """Return the names of the models that come in the catalogue itself."""
    return tuple(_table())


def plugin_of(name: str) -> str | None:
    """Return the plugin that a model is of; None for one of the catalogue, and for no model.

    Parameters
    ----------
    name : str
        The model's name, in any case.
    """
    key = name.strip().lower()
    if key in _table() or key in _added:
        return None
    offer = _plugged.offered("models").get(key)
    return None if offer is None else offer.plugin


def add(entry: Entry) -> None:
    """Add a model to the catalogue, for the life of the process.

    A plugin gives models by its hook instead: see `astrollava.hooks`.

    Parameters
    ----------
    entry : Entry
        The model.

    Raises
    ------
    InvalidRequest
        There is a model of that name already: a name must mean the same to everybody.
    """
    if find(entry.name) is not None:
        raise InvalidRequest(
            f"there is a model {entry.name!r} in the catalogue already", hint="Choose another name"
        )
    _added[entry.name] = entry


def find(name: str, *, plugged: bool = True) -> Entry | None:
    """Return the model of that name, or None.

    Parameters
    ----------
    name : str
        Its name, in any case.
    plugged : bool, optional
        Whether plugins are asked for a name that is not in the catalogue.
    """
    key = name.strip().lower()
    entry = _table().get(key) or _added.get(key)
    if entry is not None or not plugged or not _NAME.fullmatch(key):
        return entry
    offer = _plugged.offered("models").get(key)
    return None if offer is None else offer.value


def get(name: str) -> Entry:
    """Return the model of that name.

    Parameters
    ----------
    name : str
        Its name, in any case.

    Raises
    ------
    ModelNotFound
        There is none; names near to it are given.

    Examples
    --------
    >>> get("llava-1.5-7b").image_tokens
    576
    """
    entry = find(name)
    if entry is None:
        near = near_names(name)
        raise ModelNotFound(
            f"there is no model {name!r} in the catalogue",
            hint=f"Did you mean {' or '.join(near)}" if near else "See: astrollava models list",
        )
    return entry


def near_names(name: str) -> list[str]:
    """Return up to three names that look like another, the nearest first.

    They are those of the catalogue and of the models that came on bundles.

    Parameters
    ----------
    name : str
        What somebody wrote.
    """
    from . import _bundled

    known = [entry.name for entry in entries()]
    known += [manifest.name for _, manifest in _bundled.installed()]
    asked = name.strip().lower()
    near = get_close_matches(asked, known, n=3, cutoff=0.6)
    # "llava" or "qwen" is a family for people, and too short to look like any of its names.
    family = [known_name for known_name in known if len(asked) >= 4 and asked in known_name]
    return list(dict.fromkeys([*near, *family]))[:3]
