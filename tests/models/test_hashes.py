"""Hashes of large files are kept: a stale one would vouch for another file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from astrollava.models import store


def test_a_hash_is_kept_and_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing 4 GB at each start takes seconds; a changed file under an old hash would be a lie."""
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(store, "_WORTH_KEEPING", 1)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF one")
    first = store.sha256(path)
    assert first == hashlib.sha256(b"GGUF one").hexdigest()
    store._sha256.cache_clear()
    reads: list[Path] = []
    real = store._hash
    monkeypatch.setattr(store, "_hash", lambda p, progress: reads.append(p) or real(p, progress))
    assert store.sha256(path) == first
    assert reads == []
    times = path.stat()
    path.write_bytes(b"GGUF two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.sha256(path) == hashlib.sha256(b"GGUF two").hexdigest()
