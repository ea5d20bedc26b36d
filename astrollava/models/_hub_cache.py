"""The hub's cache on disk, shared with every program that uses it.

The layout is documented by huggingface_hub ("Understand caching")::

    models--owner--name/
        blobs/<hash>                      the content, named by its hash
        blobs/<hash>.incomplete           the beginning of one
        refs/main                         the commit a name stands for
        snapshots/<commit>/<file>         links into blobs
    .locks/models--owner--name/<hash>.lock

Only what is on disk is looked at here; nothing asks the network.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from astrollava.errors import DownloadFailed

__all__ = ["RepositoryCache", "is_hash", "safe_name"]

_HASH: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_PART: Final = re.compile(r"(?!\.{1,2}$)[^/\\:\x00-\x1f]{1,200}")


def is_hash(text: str | None) -> bool:
    """Say whether the hub would name content so: a SHA-256, or a git SHA-1 for small files."""
    return text is not None and _HASH.fullmatch(text) is not None


def safe_name(file: str) -> str:
    """Return the name of a file in a repository if it stays inside the folder it is put in.

    Raises
    ------
    DownloadFailed
        It would not.
    """
    if not all(_PART.fullmatch(part) for part in file.split("/")):
        raise DownloadFailed(
            f"the hub names a file {file!r}, which does not stay inside its folder"
        )
    return file


@dataclass(frozen=True)
class RepositoryCache:
    """The folder of one repository.

    Attributes
    ----------
    repo : str
        ``"owner/name"``.
    """

    repo: str

    @property
    def root(self) -> Path:
        """The cache all repositories are in."""
        # Asked for each time: what names it may be set after the import.
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)

    @property
    def folder(self) -> Path:
        """The repository's own folder."""
        return self.root / self._name

    @property
    def _name(self) -> str:
        return "models--" + self.repo.replace("/", "--")

    def blob(self, content: str) -> Path:
        """Return where the content of that hash is kept."""
        return self.folder / "blobs" / content

    def partial(self, content: str) -> Path:
        """Return where the beginning of that content is kept."""
        return self.folder / "blobs" / f"{content}.incomplete"

    def lock(self, content: str) -> Path:
        """Return the lock that whoever writes that content holds."""
        return self.root / ".locks" / self._name / f"{content}.lock"

    def commit(self, revision: str | None) -> str | None:
        """Return the commit a revision stands for, as far as the cache knows."""
        if revision is not None and _COMMIT.fullmatch(revision):
            return revision
        reference = self.folder / "refs" / (revision or "main")
        with contextlib.suppress(OSError, UnicodeDecodeError):
            commit = reference.read_text(encoding="ascii").strip()
            return commit if _COMMIT.fullmatch(commit) else None
        return None

    def find(
        self, file: str, revision: str | None = None, content: str | None = None
    ) -> Path | None:
        """Return a file of the repository, or None where it is not in the cache.

        Parameters
        ----------
        file : str
            Its name in the repository.
        revision : str, optional
            A commit, branch or tag; ``main`` by default.
        content : str, optional
            Its hash. A file of that hash is taken from any commit.
        """
        commit = self.commit(revision)
        for snapshot in self._snapshots(first=commit):
            path = snapshot / file
            named = self.content(path)
            same = content is not None and named == content
            # Where there are no links a file does not tell its hash: its commit has to do.
            right_commit = snapshot.name == commit and (content is None or named is None)
            if (same or right_commit) and path.is_file():
                return path
        return None

    def names(self, revision: str | None = None) -> list[str]:
        """Return the names of the files of a revision that are in the cache."""
        commit = self.commit(revision)
        folder = self.folder / "snapshots" / (commit or "")
        if commit is None or not folder.is_dir():
            return []
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def content(self, path: Path) -> str | None:
        """Return the hash the cache keeps a file under, or None where it does not tell."""
        try:
            name = path.readlink().name
        except OSError:
            return None
        return name if is_hash(name) else None

    def link(self, file: str, commit: str, content: str) -> Path:
        """Make the content of that hash the file of that commit; return its path."""
        path = self.folder / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        blob = self.blob(content)
        try:
            temporary.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:
            # Windows without the right to make links: the snapshot holds the file itself.
            shutil.copy2(blob, temporary)
        temporary.replace(path)
        return path

    def refer(self, revision: str, commit: str) -> None:
        """Note which commit a branch or tag stands for."""
        if revision == commit:
            return
        path = self.folder / "refs" / safe_name(revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(commit, encoding="ascii")
        temporary.replace(path)

    def discard(self, file: str) -> int:
        """Remove a file from all commits, and what nothing refers to any more; return the bytes."""
        contents = set()
        freed = 0
        for snapshot in self._snapshots():
            path = snapshot / file
            if content := self.content(path):
                contents.add(content)
            elif path.is_file():
                freed += path.stat().st_size
            path.unlink(missing_ok=True)
        kept = {self.content(path) for path in (self.folder / "snapshots").rglob("*")}
        for content in contents - kept:
            for path in (self.blob(content), self.partial(content)):
                if path.is_file():
                    freed += path.stat().st_size
                    path.unlink()
        self._tidy()
        return freed

    def _snapshots(self, first: str | None = None) -> Iterator[Path]:
        folder = self.folder / "snapshots"
        if folder.is_dir():
            found = sorted(p for p in folder.iterdir() if _COMMIT.fullmatch(p.name))
            yield from sorted(found, key=lambda path: path.name != first)

    def _tidy(self) -> None:
        """Remove folders that hold nothing; what is not empty stays."""
        folders = [p for p in self.folder.rglob("*") if p.is_dir() and not p.is_symlink()]
        for folder in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not any((self.folder / part).exists() for part in ("blobs", "snapshots")):
            shutil.rmtree(self.folder, ignore_errors=True)
